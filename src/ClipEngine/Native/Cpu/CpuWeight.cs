using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>A weight in the native library: panels for products, fp32 values for everything else.</summary>
internal sealed class CpuWeight : Weight
{
    private readonly Handle _handle;
    private readonly long _byteLength;

    internal CpuWeight(in WeightData data, WeightRole role, nint native)
        : base(data.Name, data.Shape, role, data.Type)
    {
        _handle = new Handle(native);
        _byteLength = NativeMethods.CpuWeightBytes(native);
    }

    /// <inheritdoc/>
    public override long ByteLength => _byteLength;

    /// <summary>The native weight. Valid while this object is reachable and not disposed.</summary>
    internal nint Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_handle.IsClosed, this);
            return _handle.DangerousGetHandle();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _handle.Dispose();

    private sealed class Handle : SafeHandleZeroOrMinusOneIsInvalid
    {
        internal Handle(nint native)
            : base(ownsHandle: true) => SetHandle(native);

        protected override bool ReleaseHandle()
        {
            NativeMethods.CpuWeightDestroy(handle);
            return true;
        }
    }
}
