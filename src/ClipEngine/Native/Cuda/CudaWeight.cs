using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>A weight in device memory: matrices as <c>[columns, padded depth]</c> in the compute type, all else as fp32.</summary>
internal sealed class CudaWeight : Weight
{
    private readonly CudaDevice _device;
    private ulong _address;

    internal CudaWeight(CudaDevice device, ulong address, long byteLength, in WeightData data, WeightRole role, ElementType type)
        : base(data.Name, data.Shape, role, data.Type)
    {
        _device = device;
        _address = address;
        ByteLength = byteLength;
        Type = type;
    }

    public override long ByteLength { get; }

    internal ElementType Type { get; }

    internal ulong Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_address == 0, this);
            return _address;
        }
    }

    protected override void Dispose(bool disposing)
    {
        ulong address = Interlocked.Exchange(ref _address, 0);
        // A device that is closed has taken its memory with it.
        if (address != 0 && !_device.IsClosed)
            _device.Free(address);
    }
}
