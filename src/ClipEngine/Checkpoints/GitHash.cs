using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ClipEngine.Checkpoints;

/// <summary>Git's hash of a file: SHA-1 over a header and the bytes. Hubs state it, and name blobs after it, for small files.</summary>
internal static class GitHash
{
    /// <summary>Of a file.</summary>
    public static string Of(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        return Of(stream);
    }

    /// <summary>Of a stream from its beginning.</summary>
    public static string Of(Stream stream)
    {
        stream.Position = 0;
#pragma warning disable CA5350 // Git's own object name, checked beside TLS; there is no other hash of these files.
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
#pragma warning restore CA5350
        hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {stream.Length}\0")));
        byte[] buffer = new byte[1 << 16];
        for (int read = stream.Read(buffer); read > 0; read = stream.Read(buffer))
            hash.AppendData(buffer, 0, read);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
