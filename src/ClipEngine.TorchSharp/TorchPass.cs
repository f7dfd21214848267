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
    private readonly List<CallCounter.Call> _weights = [];
    private readonly List<CallCounter.Call> _stores = [];
    private readonly CallCounter _operations;

    internal TorchPass(TorchBackend backend)
    {
        _backend = backend;
        _operations = new CallCounter(ReleaseAll);
    }

    private torch.ScalarType Stream => _backend.Stream;

    private ElementType StreamType => Stream == torch.ScalarType.Float64 ? ElementType.Float64 : ElementType.Float32;

    /// <summary>May come from another thread: an operation that runs ends first.</summary>
    public void Dispose() => _operations.Close();

    /// <inheritdoc/>
    public unsafe Tensor Upload(ReadOnlySpan<float> values, in Shape shape)
    {
        Require(values.Length == shape.ElementCount, nameof(values), values.Length, shape);
        using Operation operation = Begin();
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
        using Operation operation = Begin();
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
        Require(destination.Length == tensor.Shape.ElementCount, nameof(destination), destination.Length, tensor.Shape);
        using Operation operation = Begin();
        TorchTensor value = Floats(tensor, nameof(tensor));
        if (destination.Length > 0)
            MemoryMarshal.Cast<byte, float>(value.detach().to(torch.ScalarType.Float32).cpu().contiguous().bytes).CopyTo(destination);
    }

    /// <inheritdoc/>
    public long EnterScope()
    {
        using CallCounter.Call call = _operations.Enter(this);
        return _live.Count;
    }

    /// <inheritdoc/>
    public Tensor ReleaseAllBut(long mark, in Tensor kept) => LeaveScope(mark, kept);

    /// <inheritdoc/>
    public Tensor LeaveScope(long mark, in Tensor kept)
    {
        using CallCounter.Call call = _operations.Enter(this);
        Release((int)mark, (kept.Storage as Indices)?.Value ?? kept.Storage as TorchTensor);
        return kept;
    }

    /// <summary>Brings a tensor of the caller's into the pass; gradients flow back to it.</summary>
    internal Tensor Import(TorchTensor value)
    {
        using Operation operation = Begin();
        return Keep(value.to(Stream, _backend.Device), new Shape(value.shape));
    }

    /// <summary>A tensor for the caller, valid beyond the pass and with its place on the tape; in the caller's dispose scope.</summary>
    internal TorchTensor Export(in Tensor tensor)
    {
        using CallCounter.Call call = _operations.Enter(this);
        return Floats(tensor, nameof(tensor)).reshape(TorchTensors.Sizes(tensor.Shape));
    }

    private Operation Begin() => new(this, _operations.Enter(this), torch.NewDisposeScope());

    /// <summary>Takes a result out of the operation's dispose scope and into the pass.</summary>
    private Tensor Keep(TorchTensor value, in Shape shape) => Keep(value, shape, StreamType);

    private Tensor Keep(TorchTensor value, in Shape shape, ElementType type)
    {
        value.DetachFromDisposeScope();
        _live.Add(value);
        return new Tensor(shape, type, 0, value);
    }

    /// <summary>What disposing means, once no operation runs.</summary>
    private void ReleaseAll()
    {
        Release(0, kept: null);
        foreach (CallCounter.Call store in _stores)
            store.Dispose();
        _stores.Clear();
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

    private TorchTensor Floats(in Tensor tensor, string name) =>
        tensor is { Storage: TorchTensor value } && tensor.Type == StreamType && !value.IsInvalid
            ? value
            : throw new ArgumentException($"Expected a tensor of this backend; found {(tensor.Exists ? tensor.Type.ToString() : "none")}.", name);

    /// <summary>A weight's values in the type that its role is computed with; a view of a parameter belongs to the dispose scope of the operation.</summary>
    private TorchTensor Value(Weight weight, [CallerArgumentExpression(nameof(weight))] string? name = null)
    {
        if (weight is not TorchWeight own)
            throw new ArgumentException($"The weight {weight.Name} was made by another backend.", name);
        if (own.Hold() is { } hold)
            _weights.Add(hold);
        return Cast(own.Value, _backend.TypeFor(weight.Role));
    }

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

    /// <summary>An operation that runs: what it makes on the way is released with it, and its pass and its weights not before.</summary>
    private readonly struct Operation(TorchPass pass, CallCounter.Call call, DisposeScope scope) : IDisposable
    {
        public void Dispose()
        {
            scope.Dispose();
            foreach (CallCounter.Call weight in pass._weights)
                weight.Dispose();
            pass._weights.Clear();
            call.Dispose();
        }
    }

    /// <summary>Token ids or indices: on the device, and as they came.</summary>
    private sealed record Indices(TorchTensor Value, int[] Host);
}
