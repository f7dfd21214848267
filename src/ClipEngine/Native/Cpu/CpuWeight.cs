using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>A weight in the native library: panels for products, fp32 values for everything else.</summary>
internal sealed class CpuWeight : Weight
{
    private readonly long _byteLength;
    private volatile bool _isDisposed; // a handle that operations still hold would let others hold it too

    internal CpuWeight(in WeightData data, WeightRole role, nint native)
        : base(data.Name, data.Shape, role, data.Type)
    {
        Handle = new CpuWeightHandle(native);
        _byteLength = NativeMethods.CpuWeightBytes(native);
    }

    /// <inheritdoc/>
    public override long ByteLength => _byteLength;

    /// <summary>The native weight. An operation holds a reference on it.</summary>
    internal CpuWeightHandle Handle { get; }

    internal bool IsDisposed => _isDisposed;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        Handle.Dispose();
    }
}

/// <summary>Owns a <c>clipengine_cpu_weight</c>.</summary>
internal sealed class CpuWeightHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    internal CpuWeightHandle(nint native)
        : base(ownsHandle: true) => SetHandle(native);

    protected override bool ReleaseHandle()
    {
        NativeMethods.CpuWeightDestroy(handle);
        return true;
    }
}
