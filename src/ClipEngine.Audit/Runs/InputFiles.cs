using System.Security.Cryptography;
using ClipEngine.Audit.Results;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// Names and hashes of what was read. Weights take seconds to hash and are as large in the next run, so hashes of large files are
/// looked up in the user's cache (<see cref="FileHashCache"/>). Images and tables are hashed each time: that costs a fraction of
/// decoding them, needs no trust in a file system's clock, and leaves no entry for each of 100,000 faces behind.
/// </summary>
internal static class InputFiles
{
    /// <summary>Bytes from which on a file's hash is worth an entry in the cache.</summary>
    internal const long LargeFile = 16 << 20;

    /// <summary>Hashes one file.</summary>
    /// <param name="role">What it was read for.</param>
    /// <param name="path">The file.</param>
    /// <param name="cache">Where hashes of large files are kept; null for the user's cache.</param>
    public static InputFile Describe(string role, string path, FileHashCache? cache = null)
    {
        long length = new FileInfo(path).Length;
        return new InputFile(role, Path.GetFileName(path), length < LargeFile ? Hash(path) : (cache ?? new FileHashCache()).GetSha256(path), length);
    }

    private static string Hash(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
