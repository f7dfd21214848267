using System.Runtime.InteropServices;
using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>Tokens in memory of their own, fp32.</summary>
internal sealed class CpuTokenStore : TokenStore
{
    private volatile bool _isDisposed; // memory that passes still hold would let others hold it too

    internal CpuTokenStore(in Shape shape)
        : base(shape)
    {
        ByteLength = Math.Max(1, shape.ElementCount) * sizeof(float);
        Memory = new CpuTokenMemory(ByteLength);
    }

    /// <inheritdoc/>
    public override long ByteLength { get; }

    /// <summary>A pass holds a reference on it until it ends.</summary>
    internal CpuTokenMemory Memory { get; }

    internal bool IsDisposed => _isDisposed;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        Memory.Dispose();
    }
}

/// <summary>Owns memory, zeros at first.</summary>
internal sealed unsafe class CpuTokenMemory : SafeHandleZeroOrMinusOneIsInvalid
{
    private const nuint Alignment = 64;

    internal CpuTokenMemory(long bytes)
        : base(ownsHandle: true)
    {
        void* memory = NativeMemory.AlignedAlloc((nuint)bytes, Alignment);
        NativeMemory.Clear(memory, (nuint)bytes);
        SetHandle((nint)memory);
    }

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        return true;
    }
}
