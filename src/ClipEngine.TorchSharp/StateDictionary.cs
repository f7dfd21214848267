using System.Collections.Immutable;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>Tensors of libtorch as a checkpoint to write from: each tensor comes to the host only while it is borrowed.</summary>
internal sealed class StateDictionary : ICheckpoint
{
    private readonly Dictionary<string, TorchTensor> _state;

    public StateDictionary(Dictionary<string, TorchTensor> state, IReadOnlyDictionary<string, string> metadata)
    {
        _state = state;
        Metadata = metadata;
        Tensors = _state.ToDictionary(static pair => pair.Key, static pair =>
        {
            ElementType type = TorchTensors.ElementTypeOf(pair.Value.dtype);
            return new StoredTensor(pair.Key, type, [.. pair.Value.shape], pair.Value.numel() * type.SizeInBytes());
        });
    }

    public string Path => "the module's state";

    public IReadOnlyDictionary<string, StoredTensor> Tensors { get; }

    public IReadOnlyDictionary<string, string> Metadata { get; }

    public TensorBytes Borrow(string name)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor host = _state[name].detach().cpu().contiguous().DetachFromDisposeScope();
        return new TensorBytes(TorchTensors.AddressOf(host), Tensors[name].ByteLength, host.Dispose);
    }

    public void Dispose()
    {
        // The tensors belong to the caller.
    }
}
