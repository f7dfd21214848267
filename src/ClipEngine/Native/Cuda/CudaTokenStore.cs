using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>Tokens in device memory of their own, in the compute type.</summary>
internal sealed class CudaTokenStore : TokenStore
{
    private readonly CudaDevice _device;
    private ulong _address;

    internal unsafe CudaTokenStore(CudaDevice device, in Shape shape, ElementType type)
        : base(shape)
    {
        _device = device;
        ByteLength = Math.Max(1, shape.ElementCount) * type.SizeInBytes();
        _address = device.Allocate(ByteLength);
        byte[] zeros = new byte[Math.Min(ByteLength, 1 << 20)];
        fixed (byte* source = zeros)
        {
            for (long done = 0; done < ByteLength; done += zeros.Length)
                device.Upload(_address + (ulong)done, source, Math.Min(zeros.Length, ByteLength - done));
        }
    }

    public override long ByteLength { get; }

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
