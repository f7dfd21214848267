using System.Runtime.CompilerServices;
using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>A forward pass on the processor: checks shapes, takes memory from the native arena and calls the native operations, which run at once.</summary>
internal sealed unsafe partial class CpuPass : IPass
{
    private readonly CpuBackend _backend;
    private readonly Handle _handle;
    private readonly nint _pass; // the handle's, which is released when no operation runs and none can begin
    private readonly List<CpuWeightHandle> _held = []; // the weights of the running operation
    private readonly List<CpuTokenMemory> _stores = []; // those that the pass has used
    private PassState _state;

    internal CpuPass(CpuBackend backend, int instructionSet)
    {
        _backend = backend;
        NativeMethods.CpuPassCreate(instructionSet, (int)backend.ComputeType, out _pass).ThrowIfFailed();
        _handle = new Handle(_pass);
        _state.Begin();
    }

    /// <summary>The same pass again, its memory kept.</summary>
    internal void Open()
    {
        NativeMethods.CpuRelease(_pass, 0);
        _state.Begin();
    }

    /// <summary>Gives the memory back to the system.</summary>
    internal void Free() => _handle.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_state.Close(out bool mayBeReused))
            End(mayBeReused);
    }

    private void End(bool mayBeReused)
    {
        foreach (CpuTokenMemory store in _stores)
            store.DangerousRelease();
        _stores.Clear();
        if (mayBeReused)
            _backend.Return(this);
        else
            Free();
    }

    /// <inheritdoc/>
    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape)
    {
        using Operation operation = Enter();
        Require(values.Length == shape.ElementCount, nameof(values), values.Length, shape);
        Tensor tensor = New(shape);
        values.CopyTo(new Span<float>((void*)tensor.Address, values.Length));
        return tensor;
    }

    /// <inheritdoc/>
    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape)
    {
        using Operation operation = Enter();
        Require(values.Length == shape.ElementCount, nameof(values), values.Length, shape);
        Tensor tensor = New(shape, ElementType.Int32);
        values.CopyTo(new Span<int>((void*)tensor.Address, values.Length));
        return tensor;
    }

    /// <inheritdoc/>
    public void Read(in Tensor tensor, Span<float> destination)
    {
        using Operation operation = Enter();
        RequireFloat(tensor, nameof(tensor));
        Require(destination.Length == tensor.Shape.ElementCount, nameof(destination), destination.Length, tensor.Shape);
        new ReadOnlySpan<float>((void*)tensor.Address, destination.Length).CopyTo(destination);
    }

    /// <inheritdoc/>
    public long EnterScope()
    {
        using Operation operation = Enter();
        return NativeMethods.CpuMark(_pass);
    }

    /// <inheritdoc/>
    public Tensor ReleaseAllBut(long mark, in Tensor kept) => LeaveScope(mark, kept);

    /// <inheritdoc/>
    public Tensor LeaveScope(long mark, in Tensor kept)
    {
        using Operation operation = Enter();
        NativeMethods.CpuRelease(_pass, mark);
        // The old place stays readable until it is allocated again; a copy between overlapping places is well defined.
        Tensor copy = New(kept.Shape, kept.Type);
        if (copy.Address != kept.Address)
        {
            long bytes = kept.Shape.ElementCount * kept.Type.SizeInBytes();
            Buffer.MemoryCopy((void*)kept.Address, (void*)copy.Address, bytes, bytes);
        }

        return copy;
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
        foreach (CpuWeightHandle weight in _held)
            weight.DangerousRelease();
        _held.Clear();
        if (_state.Leave())
            End(mayBeReused: false);
    }

    private Tensor New(in Shape shape, ElementType type = ElementType.Float32)
    {
        NativeMethods.CpuAllocate(_pass, Math.Max(1, shape.ElementCount) * type.SizeInBytes(), out nint memory).ThrowIfFailed();
        return new Tensor(shape, type, memory);
    }

    /// <summary>The native weight, which stays until the operation ends whoever disposes it.</summary>
    private nint Native(Weight? weight, [CallerArgumentExpression(nameof(weight))] string? name = null)
    {
        if (weight is null)
            return 0;
        if (weight is not CpuWeight own)
            throw new ArgumentException($"The weight {weight.Name} was made by another backend.", name);
        ObjectDisposedException.ThrowIf(own.IsDisposed, own);
        bool isAdded = false;
        own.Handle.DangerousAddRef(ref isAdded);
        _held.Add(own.Handle);
        return own.Handle.DangerousGetHandle();
    }

    private static void RequireFloat(in Tensor tensor, string name)
    {
        if (tensor.Address == 0 || tensor.Type != ElementType.Float32)
            throw new ArgumentException($"Expected a tensor of this backend; found {(tensor.Exists ? tensor.Type.ToString() : "none")}.", name);
    }

    private static void Require(bool condition, string name, long found, in Shape shape)
    {
        if (!condition)
            throw new ArgumentException($"Expected as many values as {shape} has elements; found {found}.", name);
    }

    private readonly ref struct Operation(CpuPass pass) : IDisposable
    {
        public void Dispose() => pass.Leave();
    }

    private sealed class Handle : SafeHandleZeroOrMinusOneIsInvalid
    {
        internal Handle(nint native)
            : base(ownsHandle: true) => SetHandle(native);

        protected override bool ReleaseHandle()
        {
            NativeMethods.CpuPassDestroy(handle);
            return true;
        }
    }
}
