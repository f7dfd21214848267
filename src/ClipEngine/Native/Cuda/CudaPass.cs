using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// A forward pass on a GPU: checks shapes, takes memory from its arena and enqueues kernels. The residual stream and everything
/// that only moves data is fp32; what enters a product or attention is of the compute type.
/// </summary>
internal sealed unsafe partial class CudaPass : IPass
{
    private readonly CudaBackend _backend;
    private readonly CudaDevice _device;
    private readonly CudaArena _arena;
    private readonly CudaPlan _plan;
    private readonly ElementType _computeType;
    private readonly string _typeName;
    private static readonly CudaStage Uploading = new("upload");
    private readonly HandleReference _reference;
    private readonly List<CudaMemory> _held = []; // weights and token stores of what is enqueued
    private PassState _state;
    private int _isFreed;

    internal CudaPass(CudaBackend backend)
    {
        _backend = backend;
        _device = backend.Device;
        _reference = new HandleReference(_device);
        _computeType = backend.ComputeType;
        _typeName = NameOf(_computeType);
        _arena = new CudaArena(_device);
        _plan = new CudaPlan(_device) { Profile = backend.Profile };
        _state.Begin();
    }

    /// <summary>A pass that nobody disposed gives its memory and weights back too; the device could not close otherwise.</summary>
#pragma warning disable MA0055 // the analyzer finds finalizers on some systems only; this one is wanted
    ~CudaPass() => Free();
#pragma warning restore MA0055

    /// <summary>Elements of a row of a product's operand: whole 16-byte pieces.</summary>
    internal static long Padded(long depth) => (depth + 7) / 8 * 8;

    /// <summary>The same in fp8.</summary>
    internal static long PaddedFp8(long depth) => (depth + 15) / 16 * 16;

    /// <summary>The same pass again, its memory kept.</summary>
    internal void Open()
    {
        _arena.Release(0, kept: 0);
        _plan.Clear();
        _plan.Profile = _backend.Profile;
        _state.Begin();
    }

    /// <summary>How often a graph was sent off.</summary>
    internal long GraphLaunches => _plan.GraphLaunches;

    /// <summary>Gives graphs and memory back to the device.</summary>
    internal void Free()
    {
        // _plan is null where the device was closed before the pass could begin.
        if (_plan is null || Interlocked.Exchange(ref _isFreed, 1) != 0)
            return;
        ReleaseHeld();
        _plan.Dispose();
        _arena.Free();
        _reference.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_state.Close(out bool mayBeReused))
            return;
        // What is enqueued still runs; memory is freed behind it.
        ReleaseHeld();
        if (mayBeReused)
            _backend.Return(this);
        else
            Free();
    }

    /// <inheritdoc/>
    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape)
    {
        using Operation operation = Enter();
        Require(values.Length == shape.ElementCount, nameof(values), $"Expected as many values as {shape} has elements; found {values.Length}.");
        Tensor tensor = New(shape);
        fixed (float* source = values)
            Send(tensor, source, values.Length * sizeof(float));
        return tensor;
    }

    /// <inheritdoc/>
    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape)
    {
        using Operation operation = Enter();
        Require(values.Length == shape.ElementCount, nameof(values), $"Expected as many values as {shape} has elements; found {values.Length}.");
        foreach (int value in values)
        {
            // Ids and indices are looked up on the device, where nothing stands guard; no table has a negative row.
            Require(value >= 0, nameof(values), $"An id or index cannot be negative; found {value}.");
        }

        return SendIndices(values, shape);
    }

    private Tensor SendIndices(ReadOnlySpan<int> values, in Shape shape)
    {
        Tensor tensor = New(shape, ElementType.Int32);
        fixed (int* source = values)
            Send(tensor, source, values.Length * sizeof(int));
        return new Tensor(shape, ElementType.Int32, tensor.Address, Largest(values));
    }

    /// <inheritdoc/>
    public void Read(in Tensor tensor, Span<float> destination)
    {
        using Operation operation = Enter();
        Require(destination.Length == tensor.Shape.ElementCount, nameof(destination), $"Expected room for {tensor.Shape}; found {destination.Length}.");
        Tensor values = AsFloat32(tensor);
        fixed (float* target = destination)
        {
            _plan.Flush();
            _device.PushRange("download\0"u8);
            _device.Download(target, Address(values), destination.Length * sizeof(float));
            _device.PopRange();
        }
    }

    /// <inheritdoc/>
    public long EnterScope()
    {
        using Operation operation = Enter();
        return _arena.Mark;
    }

    /// <inheritdoc/>
    public Tensor ReleaseAllBut(long mark, in Tensor kept) => LeaveScope(mark, kept);

    /// <inheritdoc/>
    public Tensor LeaveScope(long mark, in Tensor kept)
    {
        using Operation operation = Enter();
        _arena.Release((int)mark, Address(kept));
        return kept;
    }

    /// <summary>Uploads behind what was launched before: its memory may be of a scope that has ended.</summary>
    private void Send(in Tensor tensor, void* source, long bytes)
    {
        _plan.Flush();
        _plan.Profile?.Begin(Uploading);
        if (_plan.Profile is null)
            _device.PushRange("upload\0"u8);
        _device.Upload(Address(tensor), source, bytes);
        if (_plan.Profile is null)
            _device.PopRange();
        _plan.Profile?.End();
    }

    /// <summary>The largest of uploaded ids, boxed once for each value so that a steady state allocates nothing.</summary>
    private object Largest(ReadOnlySpan<int> values)
    {
        int largest = -1;
        foreach (int value in values)
            largest = Math.Max(largest, value);
        if (!_boxed.TryGetValue(largest, out object? boxed))
            _boxed[largest] = boxed = largest;
        return boxed;
    }

    private readonly Dictionary<int, object> _boxed = [];

    private Tensor New(in Shape shape, ElementType type = ElementType.Float32)
    {
        return new Tensor(shape, type, unchecked((nint)_arena.Allocate(shape.ElementCount * type.SizeInBytes())));
    }

    private static ulong Address(in Tensor tensor) => unchecked((ulong)tensor.Address);

    /// <summary>The weight's values, which stay until the pass ends whoever disposes it.</summary>
    private ulong Address(Weight? weight)
    {
        if (weight is null)
            return 0;
        if (weight is not CudaWeight own)
            throw new ArgumentException($"The weight {weight.Name} was made by another backend.", nameof(weight));
        ObjectDisposedException.ThrowIf(own.IsDisposed, own);
        return Hold(own.Memory);
    }

    /// <summary>The store's tokens, which stay until the pass ends whoever disposes it.</summary>
    private ulong Address(TokenStore store)
    {
        if (store is not CudaTokenStore own)
            throw new ArgumentException("The store was made by another backend.", nameof(store));
        ObjectDisposedException.ThrowIf(own.IsDisposed, own);
        return Hold(own.Memory);
    }

    private ulong Hold(CudaMemory memory)
    {
        bool isAdded = false;
        memory.DangerousAddRef(ref isAdded);
        _held.Add(memory);
        return memory.Address;
    }

    private void ReleaseHeld()
    {
        foreach (CudaMemory memory in _held)
            memory.DangerousRelease();
        _held.Clear();
    }

    /// <summary>Begins an operation; disposing the result ends it.</summary>
    private Operation Enter()
    {
        _state.Enter(this);
        return new Operation(this);
    }

    private void Leave()
    {
        if (_state.LeavePart())
            return;
        if (_state.Leave())
            Free();
    }

    private static string NameOf(ElementType type) => type switch
    {
        ElementType.BFloat16 => "bf16",
        ElementType.Float16 => "fp16",
        _ => "fp32",
    };

    private static void Require(bool condition, string name, string message)
    {
        if (!condition)
            throw new ArgumentException(message, name);
    }

    private static void RequireFloat(in Tensor tensor, int rank, string name)
    {
        if (!tensor.Exists || !tensor.Type.IsFloatingPoint())
            throw new ArgumentException($"Expected a floating-point tensor of this backend; found {(tensor.Exists ? tensor.Type.ToString() : "none")}.", name);
        if (rank > 0 && tensor.Shape.Rank != rank)
            throw new ArgumentException($"Expected {rank} dimensions; found {tensor.Shape}.", name);
    }

    private readonly ref struct Operation(CudaPass pass) : IDisposable
    {
        public void Dispose() => pass.Leave();
    }
}
