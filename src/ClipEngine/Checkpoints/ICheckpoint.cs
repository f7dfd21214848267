using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>A tensor inside an open checkpoint: little-endian, row-major, contiguous. Its bytes are borrowed with <see cref="ICheckpoint.Borrow"/>.</summary>
/// <param name="Name">The key, verbatim.</param>
/// <param name="Type">The element type as stored.</param>
/// <param name="Dimensions">Sizes, outermost first; none for a scalar.</param>
/// <param name="ByteLength">Bytes; a tensor may be larger than 2 GiB.</param>
public readonly record struct StoredTensor(string Name, ElementType Type, ImmutableArray<long> Dimensions, long ByteLength)
{
    /// <summary>The number of elements; 1 for a scalar.</summary>
    public long ElementCount => ByteLength / Type.SizeInBytes();

    /// <summary>Written as <c>F32 [512, 768]</c>.</summary>
    public override string ToString() => $"{SafetensorsFormat.NameOf(Type)} [{string.Join(", ", Dimensions)}]";
}

/// <summary>An open checkpoint, whatever its file format: names, types, shapes and bytes, fully validated when it was opened. Thread-safe.</summary>
public interface ICheckpoint : IDisposable
{
    /// <summary>The file (or index of shards) as the user named it.</summary>
    string Path { get; }

    /// <summary>Every tensor by its key.</summary>
    IReadOnlyDictionary<string, StoredTensor> Tensors { get; }

    /// <summary>Free text that the file carries about itself; empty where the format has none.</summary>
    IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>What kind of file it is, for people.</summary>
    string Format => "checkpoint";

    /// <summary>What a user should know about how the file was read: a prefix that was taken off the keys, what was left out, numbers that contradict. One sentence each.</summary>
    IReadOnlyList<string> Notices => [];

    /// <summary>
    /// Makes a tensor's bytes readable. Disposing them gives their memory back at once, so that a model is never held twice
    /// while it is loaded: borrow, hand over, dispose, tensor by tensor.
    /// </summary>
    /// <param name="name">A key of <see cref="Tensors"/>.</param>
    /// <exception cref="KeyNotFoundException">No such tensor.</exception>
    /// <exception cref="CheckpointException">The file shrank or was written to since it was opened.</exception>
    TensorBytes Borrow(string name);
}

/// <summary>A checkpoint of which tensors lie in a file as they are, so that a backend may read them by itself.</summary>
internal interface IHasTensorsInFiles
{
    /// <summary>Where a tensor lies; null where it has to be borrowed.</summary>
    /// <param name="name">A key of <see cref="ICheckpoint.Tensors"/>.</param>
    TensorPlace? Locate(string name);
}

/// <summary>A tensor in a file.</summary>
/// <param name="File">Owned by the checkpoint, which may close it when it is asked for another tensor: reading it then throws.</param>
/// <param name="Start">The tensor's first byte.</param>
internal readonly record struct TensorPlace(CheckpointFile File, long Start);

/// <summary>The bytes of one tensor, readable until disposed. The first byte is aligned to the element's size.</summary>
public sealed unsafe class TensorBytes : IDisposable
{
    private readonly CallCounter _uses;

    /// <summary>Lends bytes.</summary>
    /// <param name="address">The first byte.</param>
    /// <param name="byteLength">How many there are.</param>
    /// <param name="release">Called once when the borrower is done.</param>
    public TensorBytes(nint address, long byteLength, Action? release = null)
    {
        Address = address;
        ByteLength = byteLength;
        _uses = new CallCounter(release ?? (static () => { }));
    }

    /// <summary>The first byte.</summary>
    public nint Address { get; }

    /// <summary>How many bytes there are.</summary>
    public long ByteLength { get; }

    /// <summary>Bytes to be filled by the caller, aligned to 64; their memory goes back to the system when they are disposed.</summary>
    internal static TensorBytes Allocate(long length)
    {
        const long Small = 1 << 16;
        nint pages = length > Small ? Platform.AllocatePages(length) : 0;
        if (pages != 0)
            return new TensorBytes(pages, length, () => Platform.FreePages(pages, length));
        nint address = (nint)NativeMemory.AlignedAlloc((nuint)Math.Max(1, length), 64);
        return new TensorBytes(address, length, () => NativeMemory.AlignedFree((void*)address));
    }

    /// <summary>A part of the bytes as a span, which cannot cover more than 2 GiB.</summary>
    /// <param name="start">Counted from the tensor's first byte.</param>
    /// <param name="length">How many bytes.</param>
    public ReadOnlySpan<byte> Slice(long start, int length)
    {
        ObjectDisposedException.ThrowIf(_uses.IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, ByteLength - length);
        return new ReadOnlySpan<byte>((byte*)Address + start, length);
    }

    /// <summary>Keeps the bytes readable until the result is disposed, even if the loan ends meanwhile.</summary>
    /// <exception cref="ObjectDisposedException">The loan has ended.</exception>
    internal CallCounter.Call Hold() => _uses.Enter(this);

    /// <summary>Ends the loan.</summary>
    public void Dispose() => _uses.Close();
}
