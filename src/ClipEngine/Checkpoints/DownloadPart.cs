using System.Security.Cryptography;
using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Checkpoints;

/// <summary>
/// The file that a download is written to: private to this process, hashed as it grows. A leftover of a killed process is
/// taken over at once, whatever its age: its writer held a lock that the system let go of. It is hashed again before it grows further.
/// </summary>
internal sealed class DownloadPart : IDisposable
{
    /// <summary>Another one than that of <see cref="AtomicFile"/>, whose leftovers are removed: these are worth keeping.</summary>
    public const string Suffix = ".download";

    private const int Tries = 5;

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
    public static DownloadPart Open(string target)
    {
        string folder = System.IO.Path.GetDirectoryName(target)!;
        Directory.CreateDirectory(folder);
        string name = System.IO.Path.GetFileName(target);
        string Own() => TemporaryName.Take(target, Suffix);
        // The longest is gone on with; the others are of no more use.
        DownloadPart? resumed = null;
        foreach (string leftover in Directory.EnumerateFiles(folder, name + ".*" + Suffix).OrderByDescending(static file => Platform.GetStatus(file)?.Size ?? 0).ToList())
        {
            if (!TemporaryName.IsAbandoned(leftover, Suffix))
                continue;
            string own = Own();
            if (TakeOver(leftover, own) is not { } stream)
            {
                TemporaryName.Return(own);
                continue;
            }

            var part = new DownloadPart(own, stream);
            if (resumed is null)
                resumed = part;
            else
                part.Dispose();
        }

        if (resumed is not null)
        {
            resumed.HashAgain();
            return resumed;
        }

        for (int attempt = 1; ; attempt++)
        {
            string own = Own();
            try
            {
                var stream = new FileStream(own, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
                // Between its making and its locking another process may have taken it over.
                if (attempt == Tries || File.Exists(own))
                    return new DownloadPart(own, stream);
                stream.Dispose();
            }
            catch (IOException exception) when (attempt < Tries && Platform.IsHeldByAnother(exception))
            {
                // It is being taken over just now.
            }

            TemporaryName.Return(own);
        }
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

    /// <summary>Git's hash of what was received. Only asked for small files.</summary>
    public string GitSha1()
    {
        _stream.Flush();
        return GitHash.Of(_stream);
    }

    /// <summary>Leaves the bytes for a later download to resume.</summary>
    public void KeepForLater() => _keep = Length > 0;

    /// <summary>Gives the verified bytes their final name in one step.</summary>
    public void MoveTo(string target)
    {
        _stream.Flush(flushToDisk: true);
        Linux.CloseReporting(_stream.SafeFileHandle, target);
        _stream.Dispose();
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
        AtomicFile.Publish(Path, target);
        _keep = true;
    }

    public void Dispose()
    {
        _stream.Dispose();
        _hash.Dispose();
        if (!_keep)
            File.Delete(Path);
        TemporaryName.Return(Path);
    }

    /// <summary>Renames a part under its lock, which a living writer holds; null where one does.</summary>
    private static FileStream? TakeOver(string leftover, string own)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(leftover, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            File.Move(leftover, own);
            return stream;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            stream?.Dispose();
            return null;
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
