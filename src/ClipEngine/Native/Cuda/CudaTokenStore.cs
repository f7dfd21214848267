using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>Tokens in device memory of their own, in the compute type.</summary>
internal sealed class CudaTokenStore : TokenStore
{
    private volatile bool _isDisposed; // memory that passes still hold would let others hold it too

    internal unsafe CudaTokenStore(CudaDevice device, in Shape shape, ElementType type)
        : base(shape)
    {
        Memory = new CudaMemory(device, Math.Max(1, shape.ElementCount) * type.SizeInBytes(), "token store");
        byte[] zeros = new byte[Math.Min(ByteLength, 1 << 20)];
        fixed (byte* source = zeros)
        {
            for (long done = 0; done < ByteLength; done += zeros.Length)
                device.Upload(Memory.Address + (ulong)done, source, Math.Min(zeros.Length, ByteLength - done));
        }
    }

    public override long ByteLength => Memory.Length;

    /// <summary>A pass holds a reference on it until it ends.</summary>
    internal CudaMemory Memory { get; }

    internal bool IsDisposed => _isDisposed;

    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        Memory.Dispose();
    }
}
