using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>
/// A weight in device memory: matrices as <c>[columns, padded depth]</c> in the compute type, or in fp8 as bytes with a scale a column;
/// all else as fp32.
/// </summary>
internal sealed class CudaWeight : Weight
{
    private volatile bool _isDisposed; // memory that passes still hold would let others hold it too

    internal CudaWeight(CudaMemory memory, CudaMemory? scales, in WeightData data, WeightRole role, ElementType type)
        : base(data.Name, data.Shape, role, data.Type)
    {
        Memory = memory;
        Scales = scales;
        Type = type;
        ByteLength = memory.Length + (scales?.Length ?? 0);
    }

    public override long ByteLength { get; }

    internal ElementType Type { get; }

    /// <summary>The values. A pass holds a reference on them until it ends.</summary>
    internal CudaMemory Memory { get; }

    /// <summary>The scales of an fp8 matrix; null for others.</summary>
    internal CudaMemory? Scales { get; }

    internal bool IsDisposed => _isDisposed;

    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        Memory.Dispose();
        Scales?.Dispose();
    }
}

/// <summary>Owns memory of a device, and keeps the device open as long as it is there.</summary>
internal sealed class CudaMemory : SafeHandleZeroOrMinusOneIsInvalid
{
    private readonly HandleReference _reference;
    private readonly CudaDevice _device;

    /// <summary>Allocates.</summary>
    /// <param name="device">Where.</param>
    /// <param name="length">Bytes in use; at least one is allocated.</param>
    /// <param name="source">What an exception names.</param>
    internal CudaMemory(CudaDevice device, long length, string source)
        : base(ownsHandle: true)
    {
        _device = device;
        _reference = new HandleReference(device);
        try
        {
            SetHandle(unchecked((nint)device.Allocate(Math.Max(1, length), source)));
        }
        catch
        {
            _reference.Dispose();
            throw;
        }

        Length = length;
    }

    /// <summary>Bytes.</summary>
    internal long Length { get; }

    /// <summary>Where it lies on the device.</summary>
    internal ulong Address => unchecked((ulong)handle);

    protected override bool ReleaseHandle()
    {
        _device.Free(Address);
        _reference.Dispose();
        return true;
    }
}
