using System.Buffers;
using System.Runtime.InteropServices;

namespace ClipEngine;

/// <summary>Memory outside the managed heap, not cleared: large and short-lived buffers would otherwise be left to the collector's slowest generation.</summary>
internal sealed unsafe class NativeArray<T> : MemoryManager<T>
    where T : unmanaged
{
    private T* _address;

    /// <summary>Takes memory.</summary>
    /// <param name="length">Elements.</param>
    public NativeArray(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _address = (T*)NativeMemory.Alloc((nuint)length, (nuint)sizeof(T));
        Length = length;
    }

    /// <summary>Elements.</summary>
    public int Length { get; private set; }

    /// <summary>Makes it longer; what it holds stays. Spans that were taken before are no longer valid.</summary>
    public void Grow(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, Length);
        ObjectDisposedException.ThrowIf(_address is null, this);
        _address = (T*)NativeMemory.Realloc(_address, checked((nuint)length * (nuint)sizeof(T)));
        Length = length;
    }

    /// <summary>Gives the memory back. Nobody may look at it any more.</summary>
    public void Dispose() => Dispose(disposing: true);

    /// <inheritdoc/>
    public override Span<T> GetSpan() => new(_address, Length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_address + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
        // It never moves.
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        NativeMemory.Free(_address);
        _address = null;
        Length = 0;
    }
}
