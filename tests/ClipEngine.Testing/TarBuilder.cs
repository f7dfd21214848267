using System.Formats.Tar;

namespace ClipEngine.Testing;

/// <summary>Tar archives for tests, made by the platform's own writer.</summary>
public static class TarBuilder
{
    /// <summary>Writes an archive.</summary>
    /// <param name="path">The file.</param>
    /// <param name="members">Names and contents, in order.</param>
    /// <param name="format">The archive's dialect.</param>
    /// <returns>The path.</returns>
    public static string Write(string path, IEnumerable<(string Name, byte[] Content)> members, TarEntryFormat format = TarEntryFormat.Ustar)
    {
        using FileStream stream = File.Create(path);
        using var writer = new TarWriter(stream, format);
        foreach ((string name, byte[] content) in members)
        {
            TarEntry entry = format switch
            {
                TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
                TarEntryFormat.Pax => new PaxTarEntry(TarEntryType.RegularFile, name),
                TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, name),
                _ => new UstarTarEntry(TarEntryType.RegularFile, name),
            };
            entry.DataStream = new MemoryStream(content);
            writer.WriteEntry(entry);
        }

        return path;
    }
}
