using ClipEngine.Native;

namespace ClipEngine.Files;

/// <summary>
/// Keeps a folder for one writer, by a locked file <c>.lock</c> in it. The system lets go of the lock when the process dies, however it dies; the file, which
/// then stays, hinders nobody.
/// </summary>
public sealed class FolderLock : IDisposable
{
    /// <summary>The file's name.</summary>
    private const string FileName = ".lock";

    private const int Tries = 50;

    private readonly string _path;
    private readonly FileStream _stream;
    private readonly bool _madeFolder;

    private FolderLock(string path, FileStream stream, bool madeFolder)
    {
        _path = path;
        _stream = stream;
        _madeFolder = madeFolder;
    }

    /// <summary>Takes the lock.</summary>
    /// <param name="folder">Created where missing; one that was and is still empty at the end goes again.</param>
    /// <returns>Held until it is disposed; null where another process, or another part of this one, holds it.</returns>
    /// <exception cref="IOException">The folder cannot be made or written, or the disk failed.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static FolderLock? TryTake(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string path = Path.Combine(folder, FileName);
        bool makesFolder = false;
        for (int attempt = 1; ; attempt++)
        {
            FileStream stream;
            try
            {
                makesFolder |= !FilePlace.IsFolder(folder);
                Directory.CreateDirectory(folder);
                // Windows takes the name away with the last handle, so that nobody can hold a file without one.
                stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None);
            }
            catch (IOException exception) when (Platform.IsHeldByAnother(exception))
            {
                return null;
            }
            catch (DirectoryNotFoundException) when (attempt < Tries)
            {
                // Whoever had made it let go of it just now, and took it away.
                continue;
            }

            // Between its opening and its locking here the one who held it may have removed it: whoever comes next makes and locks another.
            // A file system that tells two numbers of one file at every try is left at that.
            if (attempt == Tries || OperatingSystem.IsWindows() || IsNamed(stream, path))
                return new FolderLock(path, stream, makesFolder);
            stream.Dispose();
        }
    }

    /// <summary>Lets go, and removes the file.</summary>
    public void Dispose()
    {
        if (!_stream.CanWrite)
            return;
        try
        {
            // While it is locked: afterwards it may be another's.
            if (!OperatingSystem.IsWindows() && IsNamed(_stream, _path))
                File.Delete(_path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It stays, and hinders nobody.
        }
        finally
        {
            _stream.Dispose();
        }

        if (_madeFolder)
            RemoveEmpty(Path.GetDirectoryName(_path)!);
    }

    /// <summary>Input that was refused leaves nothing behind.</summary>
    private static void RemoveEmpty(string folder)
    {
        try
        {
            Directory.Delete(folder);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It has results in it, as it should.
        }
    }

    /// <summary>Whether the open file is the one that is found under its name.</summary>
    private static bool IsNamed(FileStream stream, string path) =>
        Platform.GetStatus(stream.SafeFileHandle) is { } open ? Platform.GetStatus(path) is { } named && (open.Device, open.Inode) == (named.Device, named.Inode) : File.Exists(path);
}
