using System.Security.Cryptography;
using ClipEngine.Native;

namespace ClipEngine.Files;

/// <summary>
/// SHA-256 of files, computed once: the result is kept in the user's cache folder under the file's identity (file system, inode,
/// size, times of change) and found again as long as none of them differs.
/// </summary>
/// <remarks>
/// An entry is one small file, written whole or not at all, so that any number of processes may share the folder. A damaged
/// entry, a read-only or missing folder: the hash is computed again and nobody is bothered. Thread-safe.
/// </remarks>
public sealed class FileHashCache
{
    private const string Version = "clipengine-sha256-1";

    // A file that changed a moment ago may change again within the clock's tick and keep its times.
    private static readonly TimeSpan s_settled = TimeSpan.FromSeconds(2);

    private readonly string _folder;

    /// <summary>A cache in a folder.</summary>
    /// <param name="folder">Created when the first hash is kept; null for the user's: <c>$XDG_CACHE_HOME/clipengine/hashes</c> or <c>~/.cache/clipengine/hashes</c>.</param>
    public FileHashCache(string? folder = null) => _folder = folder ?? DefaultFolder();

    /// <summary>The SHA-256 of a file's content.</summary>
    /// <param name="path">The file.</param>
    /// <param name="cancellation">Stops a long computation.</param>
    /// <returns>64 lower-case hexadecimal digits.</returns>
    /// <exception cref="IOException">The file cannot be read, or changes while it is being read.</exception>
    public string GetSha256(string path, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        FileStatus? status = Platform.GetStatus(stream.SafeFileHandle);
        string? identity = status is { } known ? Identity(known) : null;
        if (identity is not null && Find(identity) is { } kept)
            return kept;
        string hash = Compute(stream, cancellation);
        if (status is { } before)
        {
            if (Platform.GetStatus(stream.SafeFileHandle) != before)
                throw new IOException($"{path}: the file was written to while it was being read.");
            long age = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - Math.Max(before.ModifiedNanoseconds, before.ChangedNanoseconds) / 1_000_000;
            if (age > s_settled.TotalMilliseconds)
                Keep(identity!, hash);
        }

        return hash;
    }

    private static string Compute(FileStream stream, CancellationToken cancellation)
    {
        const int ChunkLength = 1 << 20;
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] chunk = GC.AllocateUninitializedArray<byte>(ChunkLength);
        int count;
        while ((count = stream.Read(chunk)) > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            sha.AppendData(chunk.AsSpan(0, count));
        }

        return Convert.ToHexStringLower(sha.GetHashAndReset());
    }

    private static string Identity(FileStatus status) =>
        $"{Version} {status.Device:x} {status.Inode} {status.Size} {status.ModifiedNanoseconds} {status.ChangedNanoseconds}";

    // Named by the place alone: a file that changes overwrites its own entry instead of leaving one behind for each version.
    private string EntryPath(string identity) => Path.Combine(_folder, string.Join('-', identity.Split(' ')[1..3]));

    private string? Find(string identity)
    {
        try
        {
            string path = EntryPath(identity);
            // An honest entry has less than 300 characters; anything else is not read in.
            if (new FileInfo(path) is not { Exists: true, Length: < 1000 })
                return null;
            string[] lines = File.ReadAllText(path).Split('\n');
            bool isWhole = lines.Length == 3 && lines[2].Length == 0 && lines[0] == identity
                && lines[1].Length == 64 && lines[1].All(char.IsAsciiHexDigitLower);
            return isWhole ? lines[1] : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private void Keep(string identity, string hash)
    {
        try
        {
            AtomicFile.WriteAllText(EntryPath(identity), $"{identity}\n{hash}\n");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // No place to keep it: the next one computes it again.
        }
    }

    private static string DefaultFolder()
    {
        string? root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (string.IsNullOrEmpty(root) || !Path.IsPathRooted(root))
            root = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(root, "clipengine", "hashes");
    }
}
