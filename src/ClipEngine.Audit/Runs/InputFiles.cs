using System.Security.Cryptography;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Runs;

/// <summary>Names and hashes of what was read.</summary>
internal static class InputFiles
{
    /// <summary>Hashes one file.</summary>
    public static InputFile Describe(string role, string path)
    {
        using FileStream stream = File.OpenRead(path);
        string hash = Convert.ToHexStringLower(SHA256.HashData(stream));
        return new InputFile(role, Path.GetFileName(path), hash, stream.Length);
    }
}
