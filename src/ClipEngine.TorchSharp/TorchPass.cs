using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// A forward pass on TorchSharp tensors. Every operation is written in differentiable ones, so that autograd passes through
/// wherever a weight or an input asks for a gradient; the tape holds what it needs beyond the end of the pass.
/// </summary>
/// <remarks>A result is detached from TorchSharp's dispose scopes, which belong to the caller and to a thread; the pass itself counts what it made.</remarks>
internal sealed partial class TorchPass : IPass
{
    private readonly TorchBackend _backend;
    private readonly List<TorchTensor> _live = [];
    private bool _open = true;

    internal TorchPass(TorchBackend backend) => _backend = backend;

    private torch.ScalarType Stream => _backend.Stream;

    private ElementType StreamType => Stream == torch.ScalarType.Float64 ? ElementType.Float64 : ElementType.Float32;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_open)
            return;
        _open = false;
        Release(0, kept: null);
    }

    /// <inheritdoc/>
    public unsafe Tensor Upload(ReadOnlySpan<float> values, in Shape shape)
    {
        Require(values.Length == shape.ElementCount, nameof(values), values.Length, shape);
        using DisposeScope scope = Begin();
        fixed (float* address = values)
        {
            TorchTensor tensor = TorchTensors.FromMemory((nint)address, TorchTensors.Sizes(shape), ElementType.Float32, _backend.Device);
            return Keep(tensor.to(Stream), shape);
        }
    }

    /// <inheritdoc/>
    public unsafe Tensor Upload(ReadOnlySpan<int> values, in Shape shape)
    {
        Require(values.Length == shape.ElementCount, nameof(values), values.Length, shape);
        using DisposeScope scope = Begin();
        fixed (int* address = values)
        {
            TorchTensor tensor = TorchTensors.FromMemory((nint)address, TorchTensors.Sizes(shape), ElementType.Int32, _backend.Device);
            Tensor kept = Keep(tensor.to(torch.ScalarType.Int64), shape, ElementType.Int32); // libtorch looks up by int64
            // What is read is bounded while it is still on this side: no operation has to wait for the device to check it.
            return new Tensor(shape, ElementType.Int32, 0, new Indices((TorchTensor)kept.Storage!, values.ToArray()));
        }
    }

    /// <inheritdoc/>
    public void Read(in Tensor tensor, Span<float> destination)
    {
        TorchTensor value = Floats(tensor, nameof(tensor));
        Require(destination.Length == tensor.Shape.ElementCount, nameof(destination), destination.Length, tensor.Shape);
        using DisposeScope scope = Begin();
        if (destination.Length > 0)
            MemoryMarshal.Cast<byte, float>(value.detach().to(torch.ScalarType.Float32).cpu().contiguous().bytes).CopyTo(destination);
    }

    /// <inheritdoc/>
    public long EnterScope()
    {
        ObjectDisposedException.ThrowIf(!_open, this);
        return _live.Count;
    }

    /// <inheritdoc/>
    public Tensor ReleaseAllBut(long mark, in Tensor kept) => LeaveScope(mark, kept);

    /// <inheritdoc/>
    public Tensor LeaveScope(long mark, in Tensor kept)
    {
        ObjectDisposedException.ThrowIf(!_open, this);
        Release((int)mark, (kept.Storage as Indices)?.Value ?? kept.Storage as TorchTensor);
        return kept;
    }

    /// <summary>Brings a tensor of the caller's into the pass; gradients flow back to it.</summary>
    internal Tensor Import(TorchTensor value)
    {
        using DisposeScope scope = Begin();
        return Keep(value.to(Stream, _backend.Device), new Shape(value.shape));
    }

    /// <summary>A tensor for the caller, valid beyond the pass and with its place on the tape; in the caller's dispose scope.</summary>
    internal TorchTensor Export(in Tensor tensor) => Floats(tensor, nameof(tensor)).reshape(TorchTensors.Sizes(tensor.Shape));

    private DisposeScope Begin()
    {
        ObjectDisposedException.ThrowIf(!_open, this);
        return torch.NewDisposeScope();
    }

    /// <summary>Takes a result out of the operation's dispose scope and into the pass.</summary>
    private Tensor Keep(TorchTensor value, in Shape shape) => Keep(value, shape, StreamType);

    private Tensor Keep(TorchTensor value, in Shape shape, ElementType type)
    {
        value.DetachFromDisposeScope();
        _live.Add(value);
        return new Tensor(shape, type, 0, value);
    }

    private void Release(int from, TorchTensor? kept)
    {
        bool found = false;
        for (int i = from; i < _live.Count; i++)
        {
            if (ReferenceEquals(_live[i], kept))
                found = true;
            else
                _live[i].Dispose();
        }

        _live.RemoveRange(from, _live.Count - from);
        if (found)
            _live.Add(kept!);
    }

    /// <summary>The tensor's values in its own shape. A reshaped view belongs to the dispose scope of the operation.</summary>
    private TorchTensor Value(in Tensor tensor, string name)
    {
        TorchTensor value = Floats(tensor, name);
        return value.reshape(TorchTensors.Sizes(tensor.Shape));
    }

    /// <summary>A view's columns.</summary>
    private TorchTensor Value(in TokenView view, string name) => Value(view.Tokens, name).narrow(2, view.Start, view.Width);

    private TorchTensor Floats(in Tensor tensor, string name)
    {
        ObjectDisposedException.ThrowIf(!_open, this);
        return tensor is { Storage: TorchTensor value } && tensor.Type == StreamType && !value.IsInvalid
            ? value
            : throw new ArgumentException($"Expected a tensor of this backend; found {(tensor.Exists ? tensor.Type.ToString() : "none")}.", name);
    }

    /// <summary>A weight's values in the type that its role is computed with; a view of a parameter belongs to the dispose scope of the operation.</summary>
    private TorchTensor Value(Weight weight, [CallerArgumentExpression(nameof(weight))] string? name = null) => weight is TorchWeight own
        ? Cast(own.Value, _backend.TypeFor(weight.Role))
        : throw new ArgumentException($"The weight {weight.Name} was made by another backend.", name);

    private TorchTensor? Optional(Weight? weight, [CallerArgumentExpression(nameof(weight))] string? name = null) =>
        weight is null ? null : Value(weight, name);

    private static TorchTensor Cast(TorchTensor value, torch.ScalarType type) => value.dtype == type ? value : value.to(type);

    private static Indices RequireIndices(in Tensor tensor, string name) => tensor.Storage as Indices
        ?? throw new ArgumentException($"Expected int32 of this backend; found {tensor.Type}.", name);

    private static void Require(bool condition, string name, long found, in Shape shape)
    {
        if (!condition)
            throw new ArgumentException($"Expected as many values as {shape} has elements; found {found}.", name);
    }

    /// <summary>Token ids or indices: on the device, and as they came.</summary>
    private sealed record Indices(TorchTensor Value, int[] Host);
}
