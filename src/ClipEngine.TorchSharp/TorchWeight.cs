using ClipEngine.Tensors;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>A weight as a TorchSharp tensor.</summary>
internal abstract class TorchWeight(string name, Shape shape, WeightRole role, ElementType storedType) : Weight(name, shape, role, storedType)
{
    /// <summary>The values in the shape of the checkpoint. What has to be made for it belongs to the dispose scope of the caller.</summary>
    internal abstract TorchTensor Value { get; }

    /// <summary>Keeps the values from being released until the result is disposed; null where they belong to somebody else.</summary>
    /// <exception cref="ObjectDisposedException">The weight is disposed.</exception>
    internal virtual CallCounter.Call? Hold() => null;
}

/// <summary>A weight for inference, in the type that it is computed with.</summary>
internal sealed class StoredTorchWeight(in WeightData data, WeightRole role, TorchTensor value) : TorchWeight(data.Name, data.Shape, role, data.Type)
{
    private readonly CallCounter _uses = new(value.Dispose);

    /// <inheritdoc/>
    public override long ByteLength { get; } = value.numel() * TorchTensors.ElementTypeOf(value.dtype).SizeInBytes();

    /// <inheritdoc/>
    internal override TorchTensor Value
    {
        get
        {
            ObjectDisposedException.ThrowIf(value.IsInvalid, this);
            return value;
        }
    }

    /// <inheritdoc/>
    internal override CallCounter.Call? Hold() => _uses.Enter(this);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _uses.Close();
    }
}
