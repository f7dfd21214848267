using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>Tokens in memory of their own, fp32.</summary>
internal sealed unsafe class CpuTokenStore : TokenStore
{
    private const nuint Alignment = 64;

    private void* _memory;

    internal CpuTokenStore(in Shape shape)
        : base(shape)
    {
        ByteLength = Math.Max(1, shape.ElementCount) * sizeof(float);
        _memory = NativeMemory.AlignedAlloc((nuint)ByteLength, Alignment);
        NativeMemory.Clear(_memory, (nuint)ByteLength);
    }

    /// <summary>The store's memory goes with it even where nobody disposed it.</summary>
    ~CpuTokenStore() => Dispose(disposing: false);

    /// <inheritdoc/>
    public override long ByteLength { get; }

    /// <summary>The first float.</summary>
    internal nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            return (nint)_memory;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
