using System.Globalization;

namespace ClipEngine.Checkpoints;

/// <summary>What was seen of a file of weights on its first use.</summary>
/// <param name="Sha256">Its SHA-256.</param>
/// <param name="Bytes">Its length; null in records of earlier versions.</param>
/// <param name="WrittenAt">When it was last written to, in ticks of UTC; null in records of earlier versions.</param>
internal readonly record struct SeenFile(string Sha256, long? Bytes, long? WrittenAt)
{
    /// <summary>A file as it lies there, behind links.</summary>
    public static SeenFile Of(string path, string sha256)
    {
        string real = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
        var file = new FileInfo(real);
        return new SeenFile(sha256, file.Length, file.LastWriteTimeUtc.Ticks);
    }
}

/// <summary>Records of files seen before, one small text file each, in a folder: hash, length and time, with spaces between.</summary>
internal sealed class SeenFiles(string folder)
{
    private const int LongestRecord = 200;

    /// <summary>Where the record of a name lies.</summary>
    public string PathOf(string name) => Path.Combine(folder, name + ".sha256-seen");

    /// <summary>The record, or null where there is none that can be read.</summary>
    public SeenFile? Read(string name)
    {
        var record = new FileInfo(PathOf(name));
        if (!record.Exists || record.Length > LongestRecord)
            return null;
        string[] parts = File.ReadAllText(record.FullName).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return parts.Length is 1 or 3 && HubCache.IsHash(parts[0]) ? new SeenFile(parts[0], Number(parts, 1), Number(parts, 2)) : null;
    }

    /// <summary>Writes the record; a folder that cannot be written to keeps none.</summary>
    public void TryWrite(string name, SeenFile file)
    {
        if (Read(name) == file)
            return;
        try
        {
            Directory.CreateDirectory(folder);
            Files.AtomicFile.WriteAllText(PathOf(name), string.Create(CultureInfo.InvariantCulture, $"{file.Sha256} {file.Bytes} {file.WrittenAt}\n"));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A read-only cache: every use is then a first one.
        }
    }

    private static long? Number(string[] parts, int index) =>
        index < parts.Length && long.TryParse(parts[index], NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;
}
