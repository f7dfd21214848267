using System.Security.Cryptography;

namespace ClipEngine.Checkpoints;

/// <summary>
/// The file that a download is written to: private to this process, hashed as it grows. A leftover of a killed process is
/// taken over by renaming it, which only one process can do, and hashed again before it grows further.
/// </summary>
internal sealed class DownloadPart : IDisposable
{
    public const string Suffix = ".partial";

    private readonly FileStream _stream;
    private IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private bool _keep;

    private DownloadPart(string path, FileStream stream)
    {
        Path = path;
        _stream = stream;
    }

    public string Path { get; }

    public long Length { get; private set; }

    /// <summary>What the server called the version of the file that the bytes so far belong to.</summary>
    public string? EntityTag { get; set; }

    /// <summary>Opens a part for the final name <paramref name="target"/>, which is itself never touched.</summary>
    public static DownloadPart Open(string target, TimeSpan leftoverAge)
    {
        string folder = System.IO.Path.GetDirectoryName(target)!;
        Directory.CreateDirectory(folder);
        string name = System.IO.Path.GetFileName(target);
        string own = System.IO.Path.Combine(folder, $"{name}.{Environment.ProcessId}-{Guid.NewGuid():N}{Suffix}");
        foreach (string leftover in Directory.EnumerateFiles(folder, name + ".*" + Suffix))
        {
            if (DateTime.UtcNow - File.GetLastWriteTimeUtc(leftover) < leftoverAge || !TryTakeOver(leftover, own))
                continue;
            var resumed = new DownloadPart(own, new FileStream(own, FileMode.Open, FileAccess.ReadWrite, FileShare.None));
            resumed.HashAgain();
            return resumed;
        }

        return new DownloadPart(own, new FileStream(own, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None));
    }

    public async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        await _stream.WriteAsync(bytes, cancellation);
        _hash.AppendData(bytes.Span);
        Length += bytes.Length;
    }

    /// <summary>Forgets what was received.</summary>
    public void Restart()
    {
        _stream.SetLength(0);
        _stream.Position = 0;
        _hash.Dispose();
        _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Length = 0;
        EntityTag = null;
    }

    public string Sha256() => Convert.ToHexStringLower(_hash.GetCurrentHash());

    /// <summary>Git's hash of a file: SHA-1 over a header and the bytes. Only asked for small files.</summary>
    public string GitSha1()
    {
        _stream.Flush();
        _stream.Position = 0;
#pragma warning disable CA5350 // Git's own object name, checked beside TLS; there is no other hash of these files.
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
#pragma warning restore CA5350
        hash.AppendData(System.Text.Encoding.ASCII.GetBytes($"blob {Length}\0"));
        byte[] buffer = new byte[1 << 16];
        for (int read = _stream.Read(buffer); read > 0; read = _stream.Read(buffer))
            hash.AppendData(buffer, 0, read);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Leaves the bytes for a later download to resume.</summary>
    public void KeepForLater() => _keep = Length > 0;

    /// <summary>Gives the verified bytes their final name in one step.</summary>
    public void MoveTo(string target)
    {
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
        File.Move(Path, target, overwrite: true);
        _keep = true;
    }

    public void Dispose()
    {
        _stream.Dispose();
        _hash.Dispose();
        if (!_keep)
            File.Delete(Path);
    }

    private static bool TryTakeOver(string leftover, string own)
    {
        try
        {
            // Its writer, if alive after all, holds it open without sharing.
            using (new FileStream(leftover, FileMode.Open, FileAccess.ReadWrite, FileShare.None))
                File.Move(leftover, own);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void HashAgain()
    {
        byte[] buffer = new byte[1 << 20];
        for (int read = _stream.Read(buffer); read > 0; read = _stream.Read(buffer))
        {
            _hash.AppendData(buffer, 0, read);
            Length += read;
        }
    }
}
