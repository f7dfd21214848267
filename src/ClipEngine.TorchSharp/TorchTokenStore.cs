using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>Tokens in a tensor of their own, outside every dispose scope and off the autograd tape.</summary>
internal sealed class TorchTokenStore : TokenStore
{
    private readonly TorchTensor _value;
    private readonly CallCounter _uses;

    internal TorchTokenStore(in Shape shape, torch.ScalarType type, torch.Device device)
        : base(shape)
    {
        _value = torch.zeros(TorchTensors.Sizes(shape), type, device).DetachFromDisposeScope();
        _uses = new CallCounter(_value.Dispose);
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

    /// <summary>Keeps the tokens from being released until the result is disposed.</summary>
    /// <exception cref="ObjectDisposedException">The store is disposed.</exception>
    internal CallCounter.Call Hold() => _uses.Enter(this);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _uses.Close();
    }
}
