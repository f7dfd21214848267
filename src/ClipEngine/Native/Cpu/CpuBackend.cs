using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// The processor, through the native library: the default backend. Features are the same bits for any batch and any number of
/// threads; between instruction sets they differ by rounding.
/// </summary>
public sealed class CpuBackend : IBackend, IReadsTensors
{
    private readonly Lock _lock = new();
    private readonly Stack<CpuPass> _idle = new();
    private readonly int _instructionSet;
    private volatile bool _disposed;

    private CpuBackend(int instructionSet, ElementType computeType)
    {
        _instructionSet = instructionSet;
        ComputeType = computeType;
    }

    /// <inheritdoc/>
    public string Name => "cpu";

    /// <summary>Processor and instruction set. Not the number of threads: features do not depend on it, so run records must not either.</summary>
    public string Description => $"{CpuInformation.ModelName}, {InstructionSet}";

    /// <summary>The instruction set that runs: <c>portable</c>, <c>avx2</c>, <c>avx512</c>, <c>avx512_vnni</c>, <c>avx512_bf16</c>, <c>amx</c> or <c>amx_emulated</c>.</summary>
    public string InstructionSet => CpuInformation.NameOf(_instructionSet);

    /// <inheritdoc/>
    public ElementType ComputeType { get; }

    /// <inheritdoc/>
    public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

    /// <inheritdoc/>
    public double InvarianceBound => 0;

    /// <summary>Opens the processor.</summary>
    /// <param name="options">Threads and compute type; null for the defaults.</param>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    /// <exception cref="NotSupportedException"><see cref="CpuBackendOptions.ComputeType"/> is not one of fp32, bf16, fp16 and int8.</exception>
    /// <exception cref="BadInputException"><see cref="CpuBackendOptions.InstructionSet"/> or the environment variable <c>CLIPENGINE_CPU</c> names no instruction set, or one that cannot be used here; the message says why.</exception>
    public static CpuBackend Create(CpuBackendOptions? options = null)
    {
        options ??= new CpuBackendOptions();
        if (options.ComputeType is not (ElementType.Float32 or ElementType.BFloat16 or ElementType.Float16 or ElementType.Int8))
            throw new NotSupportedException($"The CPU computes in Float32, BFloat16, Float16 (weights) or Int8; asked for {options.ComputeType}.");
        NativeLoader.EnsureLoaded();
        int instructionSet = options.InstructionSet is { } name ? CpuInformation.InstructionSetOf(name) : CpuInformation.DefaultInstructionSet;
        if (options.Threads is int threads)
            NativeThreads.Count = threads;
        return new CpuBackend(instructionSet, options.ComputeType);
    }

    /// <inheritdoc/>
    public Weight CreateWeight(in WeightData data, WeightRole role)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!data.Type.IsFloatingPoint())
            throw new NotSupportedException($"{data.Name}: a weight's elements must be fp16, bf16, fp32 or fp64; found {data.Type}.");
        nint native;
        if (MatrixOf(data, role) is { } matrix)
            Status(NativeMethods.CpuMatrixCreate(data.Address, (int)data.Type, matrix.Columns, matrix.Depth, matrix.IsTransposed ? 1 : 0, (int)matrix.ComputeType, _instructionSet, out native), data.Name);
        else
            Status(NativeMethods.CpuValuesCreate(data.Address, (int)data.Type, data.Shape.ElementCount, out native), data.Name);
        return new CpuWeight(data, role, native);
    }

    /// <inheritdoc/>
    Weight? IReadsTensors.ReadWeight(in TensorPlace place, in WeightData data, WeightRole role, out uint largest)
    {
        const long Small = 1 << 20; // read at once by one thread
        ObjectDisposedException.ThrowIf(_disposed, this);
        largest = 0;
        (long Columns, long Depth, bool IsTransposed, ElementType ComputeType)? matrix = MatrixOf(data, role);
        if (data.Type is not (ElementType.Float32 or ElementType.Float16 or ElementType.BFloat16) || data.ByteLength < Small || matrix is { IsTransposed: true })
            return null;
        place.File.RefuseWhatChanged();
        var read = new NativeMethods.CpuRead { Start = place.Start, Type = (int)data.Type };
        NativeStatus status;
        nint native;
        bool isHeld = false;
        try
        {
            place.File.Handle.DangerousAddRef(ref isHeld);
            read.File = place.File.Handle.DangerousGetHandle();
            status = matrix is { } sizes
                ? NativeMethods.CpuMatrixRead(ref read, sizes.Columns, sizes.Depth, (int)sizes.ComputeType, _instructionSet, out native)
                : NativeMethods.CpuValuesRead(ref read, data.Shape.ElementCount, out native);
        }
        finally
        {
            if (isHeld)
                place.File.Handle.DangerousRelease();
        }

        if (status == NativeStatus.BadInput)
            throw place.File.ReadFailure(read.Error);
        Status(status, data.Name);
        var weight = new CpuWeight(data, role, native);
        try
        {
            place.File.RefuseWhatChanged();
        }
        catch
        {
            weight.Dispose();
            throw;
        }

        largest = read.Largest;
        return weight;
    }

    /// <summary>The matrix that a weight is multiplied by; null where its values are kept as they are.</summary>
    private (long Columns, long Depth, bool IsTransposed, ElementType ComputeType)? MatrixOf(in WeightData data, WeightRole role)
    {
        Shape shape = data.Shape;
        switch (role)
        {
            case WeightRole.Linear or WeightRole.LinearTransposed:
                if (shape.Rank != 2)
                    throw new ArgumentException($"{data.Name}: a {role} weight has two dimensions; found {shape}.", nameof(data));
                // The last projections are a thousandth of the work and their rounding goes straight into the features.
                return role == WeightRole.LinearTransposed ? (shape[1], shape[0], true, ElementType.Float32) : (shape[0], shape[1], false, ComputeType);
            case WeightRole.PatchEmbedding or WeightRole.Convolution when !OperationShapes.IsDepthwise(role, shape):
                if (shape.Rank != 4)
                    throw new ArgumentException($"{data.Name}: a {role} weight has four dimensions; found {shape}.", nameof(data));
                // Patches are no deeper than a block's hidden layer and take part in few sums: they are products like a block's.
                ElementType kernelType = role == WeightRole.PatchEmbedding && ComputeType is (ElementType.BFloat16 or ElementType.Int8) ? ComputeType : ElementType.Float32;
                return (shape[0], shape.ElementCount / Math.Max(1, shape[0]), false, kernelType);
            default:
                return null;
        }
    }

    /// <inheritdoc/>
    public TokenStore CreateTokenStore(in Shape shape)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new CpuTokenStore(shape);
    }

    /// <inheritdoc/>
    public IPass BeginPass()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_idle.TryPop(out CpuPass? idle))
            {
                idle.Open();
                return idle;
            }
        }

        return new CpuPass(this, _instructionSet);
    }

    /// <summary>Takes a pass back for the next caller.</summary>
    internal void Return(CpuPass pass)
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _idle.Push(pass);
                return;
            }
        }

        pass.Free();
    }

    /// <summary>Releases the memory of idle passes; weights belong to their models.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            while (_idle.TryPop(out CpuPass? pass))
                pass.Free();
        }
    }

    private static void Status(NativeStatus status, string name) => status.ThrowIfFailed(name);
}
