using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>Tokens in a tensor of their own, outside every dispose scope and off the autograd tape.</summary>
internal sealed class TorchTokenStore : TokenStore
{
    private readonly TorchTensor _value;

    internal TorchTokenStore(in Shape shape, torch.ScalarType type, torch.Device device)
        : base(shape)
    {
        _value = torch.zeros(TorchTensors.Sizes(shape), type, device).DetachFromDisposeScope();
        ByteLength = _value.numel() * _value.ElementSize;
    }

    /// <inheritdoc/>
    public override long ByteLength { get; }

    internal TorchTensor Value
    {
        get
        {
            ObjectDisposedException.ThrowIf(_value.IsInvalid, this);
            return _value;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _value.Dispose();
    }
}
