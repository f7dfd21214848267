using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Checkpoints;

/// <summary>
/// A regular file, mapped read-only. What is promised when somebody else touches the file meanwhile: replaced by a rename, the
/// old content stays readable to the end; grown, shrunk or written to, the next <see cref="Borrow"/> refuses. Only a file that
/// shrinks in the very moment in which one tensor is being copied out can still end the process: mapped memory has no
/// better answer to that. Writers that replace by rename, as every careful one does, never cause it.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedFile _mapping;
    private readonly MemoryMappedViewAccessor _view;
    private readonly SafeMemoryMappedViewHandle _handle;
    private readonly byte* _start;
    private readonly DateTime _writtenAt;

    private MappedFile(string path, SafeFileHandle file, MemoryMappedFile mapping, MemoryMappedViewAccessor view, long length)
    {
        Path = path;
        Length = length;
        _file = file;
        _mapping = mapping;
        _view = view;
        _handle = view.SafeMemoryMappedViewHandle;
        _handle.AcquirePointer(ref _start);
        _writtenAt = File.GetLastWriteTimeUtc(file);
    }

    /// <summary>The file as the user named it.</summary>
    public string Path { get; }

    /// <summary>Bytes when it was opened.</summary>
    public long Length { get; }

    /// <summary>Opens and maps a file; anything that is not a regular one is refused without opening it.</summary>
    /// <exception cref="CheckpointException">Missing, not a regular file, empty, or not readable.</exception>
    public static MappedFile Open(string path)
    {
        RefuseWhatIsNoFile(path);
        SafeFileHandle? file = null;
        MemoryMappedFile? mapping = null;
        MemoryMappedViewAccessor? view = null;
        try
        {
            file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            long length = RandomAccess.GetLength(file);
            if (length == 0)
                throw new CheckpointException(path, CheckpointError.Truncated, "the file is empty (0 bytes).", "Copy or download it again.");
            mapping = MemoryMappedFile.CreateFromFile(file, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            view = mapping.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(path, file, mapping, view, length);
        }
        catch (Exception exception)
        {
            view?.Dispose();
            mapping?.Dispose();
            file?.Dispose();
            if (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
                throw new CheckpointException(path, CheckpointError.Unreadable, $"cannot be read: {BadInputException.Escape(exception.Message)}", innerException: exception);
            throw;
        }
    }

    /// <summary>Reads a part of the file into an array, past the mapping: whatever happens to the file, this cannot end the process.</summary>
    /// <param name="start">Counted from the file's first byte.</param>
    /// <param name="length">Checked against <see cref="Length"/> by the caller, so that no false claim allocates anything.</param>
    public byte[] Read(long start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Length - length);
        RefuseWhatChanged();
        byte[] bytes = GC.AllocateUninitializedArray<byte>(length);
        int filled = 0;
        while (filled < length)
        {
            int count = RandomAccess.Read(_file, bytes.AsSpan(filled), start + filled);
            if (count == 0)
                throw Changed();
            filled += count;
        }

        return bytes;
    }

    /// <summary>Lends a part of the file, aligned to <paramref name="alignment"/>: in place where it lies so, else as a copy.</summary>
    public TensorBytes Borrow(long start, long length, int alignment)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Length - length);
        RefuseWhatChanged();
        bool isHeld = false;
        _handle.DangerousAddRef(ref isHeld);
        nint address = (nint)(_start + start);
        if (length == 0 || address % alignment == 0)
        {
            return new TensorBytes(address, length, () =>
            {
                Linux.ReleasePages(address, length);
                _handle.DangerousRelease();
            });
        }

        try
        {
            void* copy = NativeMemory.AlignedAlloc((nuint)length, 64);
            Buffer.MemoryCopy((void*)address, copy, length, length);
            Linux.ReleasePages(address, length);
            return new TensorBytes((nint)copy, length, () => NativeMemory.AlignedFree(copy));
        }
        finally
        {
            _handle.DangerousRelease();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_file.IsClosed)
            return;
        _handle.ReleasePointer();
        _view.Dispose();
        _mapping.Dispose();
        _file.Dispose();
    }

    private void RefuseWhatChanged()
    {
        ObjectDisposedException.ThrowIf(_file.IsClosed, this);
        if (RandomAccess.GetLength(_file) != Length || File.GetLastWriteTimeUtc(_file) != _writtenAt)
            throw Changed();
    }

    private CheckpointException Changed() => new(Path, CheckpointError.Changed, "the file was written to while it was being read.",
        "Wait until whoever writes it is done, then try again.");

    private static void RefuseWhatIsNoFile(string path)
    {
        FileStatus? status = Linux.GetStatus(path);
        if (status is { Kind: not FileKind.Regular } other)
        {
            string kind = other.Kind switch
            {
                FileKind.Folder => "a folder",
                FileKind.NamedPipe => "a named pipe",
                FileKind.Device => "a device",
                FileKind.Socket => "a socket",
                _ => "no regular file",
            };
            throw new CheckpointException(path, CheckpointError.NotAFile, $"is {kind}; a checkpoint is a regular file.", "Name the file that holds the weights.");
        }

        if (status is not null)
            return;
        // A link exists by itself, but may lead nowhere or around in a circle. Where there is no status, every link is judged by its final target.
        if (new FileInfo(path) is { LinkTarget: not null } link && !FinalTargetExists(link))
            throw new CheckpointException(path, CheckpointError.NotAFile, "is a symbolic link that leads nowhere or in a circle.", "Repair the link or name the file itself.");
        if (Directory.Exists(path))
            throw new CheckpointException(path, CheckpointError.NotAFile, "is a folder; a checkpoint is a regular file.", "Name the file that holds the weights.");
        if (File.Exists(path))
            return;
        throw new CheckpointException(path, CheckpointError.NotFound, "no such file, or not one that may be seen.", "Check the path and its permissions.");
    }

    private static bool FinalTargetExists(FileInfo link)
    {
        try
        {
            return link.ResolveLinkTarget(returnFinalTarget: true) is { Exists: true };
        }
        catch (IOException)
        {
            return false;
        }
    }
}
