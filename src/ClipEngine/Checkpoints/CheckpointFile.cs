using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using ClipEngine.Files;
using ClipEngine.Native;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Checkpoints;

/// <summary>
/// A regular file of weights. What is promised when somebody else touches the file meanwhile: replaced by a rename, the old
/// content stays readable to the end; grown, shrunk or written to, the next <see cref="Borrow"/> refuses.
/// </summary>
/// <remarks>
/// Tensors are read into memory of their own, one at a time: a file that shrinks under a mapping ends the process, one that
/// shrinks under a read is refused. A backend may read a tensor by itself from <see cref="Handle"/>, under the same
/// rule (<see cref="IReadsTensors"/>). Only what is larger than any weight of a usual model, a table of features say, is lent in
/// place from a mapping, so that it may exceed the memory.
/// </remarks>
internal sealed unsafe class CheckpointFile : IDisposable
{
    private const long LargestCopy = 256 << 20;
    private const long SpareLength = 16 << 20;

    private readonly SafeFileHandle _file;
    private readonly DateTime _writtenAt;
    private readonly Lazy<Mapping> _mapping;
    private TensorBytes? _spare;
    private int _isDisposed;

    private CheckpointFile(string path, SafeFileHandle file, long length)
    {
        Path = path;
        Length = length;
        _file = file;
        _writtenAt = File.GetLastWriteTimeUtc(file);
        _mapping = new Lazy<Mapping>(() => new Mapping(file, length));
    }

    /// <summary>The file as the user named it.</summary>
    public string Path { get; }

    /// <summary>Bytes when it was opened.</summary>
    public long Length { get; }

    /// <summary>Opens a file; anything that is not a regular one is refused without opening it.</summary>
    /// <exception cref="CheckpointException">Missing, not a regular file, empty, or not readable.</exception>
    public static CheckpointFile Open(string path)
    {
        RefuseWhatIsNoFile(path);
        SafeFileHandle? file = null;
        try
        {
            file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            long length = RandomAccess.GetLength(file);
            if (length == 0)
                throw new CheckpointException(path, CheckpointError.Truncated, "the file is empty (0 bytes).", "Copy or download it again.");
            return new CheckpointFile(path, file, length);
        }
        catch (Exception exception)
        {
            file?.Dispose();
            if (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
                throw new CheckpointException(path, CheckpointError.Unreadable, $"cannot be read: {BadInputException.Escape(exception.Message)}", innerException: exception);
            throw;
        }
    }

    /// <summary>Reads a part of the file into an array.</summary>
    /// <param name="start">Counted from the file's first byte.</param>
    /// <param name="length">Checked against <see cref="Length"/> by the caller, so that no false claim allocates anything.</param>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    public byte[] Read(long start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Length - length);
        byte[] bytes = GC.AllocateUninitializedArray<byte>(length);
        Read(start, bytes);
        return bytes;
    }

    /// <summary>Reads a part of the file.</summary>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    public void Read(long start, Span<byte> bytes)
    {
        RefuseWhatChanged();
        while (bytes.Length > 0)
        {
            int count = RandomAccess.Read(_file, bytes, start);
            if (count == 0)
                throw Changed();
            bytes = bytes[count..];
            start += count;
        }
    }

    /// <summary>Lends a part of the file, aligned to <paramref name="alignment"/>.</summary>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    public TensorBytes Borrow(long start, long length, int alignment)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Length - length);
        RefuseWhatChanged();
        if (length > LargestCopy && start % alignment == 0)
            return _mapping.Value.Lend(start, length);

        TensorBytes copy = length <= SpareLength ? LendSpare(length) : TensorBytes.Allocate(length);
        try
        {
            Fill(start, copy);
            RefuseWhatChanged();
            return copy;
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }

    /// <summary>Reads, what is large on all processors: copying out of the page cache is most of the time of loading.</summary>
    private void Fill(long start, TensorBytes copy)
    {
        // Below this one thread is as fast, and .NET's parallel loops need not be there at all.
        const int Large = 4 << 20;
        if (copy.ByteLength <= Large)
            Read(start, new Span<byte>((void*)copy.Address, (int)copy.ByteLength));
        else
            FillOnAllProcessors(start, copy);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FillOnAllProcessors(long start, TensorBytes copy)
    {
        const int Chunk = 1 << 20;
        long length = copy.ByteLength;
        try
        {
            Parallel.For(0, (length + Chunk - 1) / Chunk, i =>
            {
                long done = i * Chunk;
                Read(start + done, new Span<byte>((byte*)copy.Address + done, (int)Math.Min(Chunk, length - done)));
            });
        }
        catch (AggregateException exception)
        {
            // Every reader meets the same cause; the first to tell speaks for all.
            ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
        }
    }

    /// <summary>Memory that the last tensor was read into serves the next: new pages cost more than the reading itself.</summary>
    private TensorBytes LendSpare(long length)
    {
        TensorBytes memory = Interlocked.Exchange(ref _spare, null) ?? TensorBytes.Allocate(SpareLength);
        return new TensorBytes(memory.Address, length, () =>
        {
            if (Interlocked.CompareExchange(ref _spare, memory, null) is not null)
                memory.Dispose();
            else if (_isDisposed != 0)
                Interlocked.Exchange(ref _spare, null)?.Dispose();
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
            return;
        Interlocked.Exchange(ref _spare, null)?.Dispose();
        if (_mapping.IsValueCreated)
            _mapping.Value.Dispose();
        _file.Dispose();
    }

    /// <summary>The open file, for who reads it by offset.</summary>
    internal SafeFileHandle Handle => _file;

    /// <summary>What another reader of <see cref="Handle"/> ended with: the system's error, or 0 where the file has ended too early.</summary>
    internal Exception ReadFailure(long error) => error == 0 ? Changed() : new IOException($"{Marshal.GetPInvokeErrorMessage((int)error)} : '{Path}'", (int)error);

    /// <summary>Throws where the file has another length or time than when it was opened.</summary>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    internal void RefuseWhatChanged()
    {
        ObjectDisposedException.ThrowIf(_file.IsClosed, this);
        if (RandomAccess.GetLength(_file) != Length || File.GetLastWriteTimeUtc(_file) != _writtenAt)
            throw Changed();
    }

    private CheckpointException Changed() => new(Path, CheckpointError.Changed, "the file was written to while it was being read.",
        "Wait until whoever writes it is done, then try again.");

    private static void RefuseWhatIsNoFile(string path)
    {
        FileStatus? status = Platform.GetStatus(path);
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
        if (FilePlace.IsFolder(path))
            throw new CheckpointException(path, CheckpointError.NotAFile, "is a folder; a checkpoint is a regular file.", "Name the file that holds the weights.");
        if (FilePlace.IsFile(path))
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

    /// <summary>The whole file, mapped read-only. Stays until everything lent is given back.</summary>
    private sealed class Mapping : IDisposable
    {
        private readonly MemoryMappedFile _mapping;
        private readonly MemoryMappedViewAccessor _view;
        private readonly SafeMemoryMappedViewHandle _handle;
        private readonly byte* _start;

        public Mapping(SafeFileHandle file, long length)
        {
            _mapping = MemoryMappedFile.CreateFromFile(file, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _mapping.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            _handle = _view.SafeMemoryMappedViewHandle;
            _handle.AcquirePointer(ref _start);
        }

        public TensorBytes Lend(long start, long length)
        {
            bool isHeld = false;
            _handle.DangerousAddRef(ref isHeld);
            nint address = (nint)(_start + start);
            return new TensorBytes(address, length, () =>
            {
                Platform.ReleasePages(address, length);
                _handle.DangerousRelease();
            });
        }

        public void Dispose()
        {
            _handle.ReleasePointer();
            _view.Dispose();
            _mapping.Dispose();
        }
    }
}
