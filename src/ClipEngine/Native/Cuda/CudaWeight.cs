using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// A weight in device memory: matrices as <c>[columns, padded depth]</c> in the compute type, or in fp8 as bytes with a scale a column;
/// all else as fp32.
/// </summary>
internal sealed class CudaWeight : Weight
{
    private readonly CudaDevice _device;
    private ulong _address;
    private ulong _scales;

    internal CudaWeight(CudaDevice device, ulong address, long byteLength, in WeightData data, WeightRole role, ElementType type, ulong scales)
        : base(data.Name, data.Shape, role, data.Type)
    {
        _device = device;
        _address = address;
        _scales = scales;
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

    /// <summary>The scales of an fp8 matrix; 0 for others.</summary>
    internal ulong Scales => _scales;

    protected override void Dispose(bool disposing)
    {
        ulong address = Interlocked.Exchange(ref _address, 0);
        // A device that is closed has taken its memory with it.
        if (address == 0 || _device.IsClosed)
            return;
        _device.Free(address);
        if (_scales != 0)
            _device.Free(_scales);
        _scales = 0;
    }
}
