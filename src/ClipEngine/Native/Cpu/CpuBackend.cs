using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// The processor, through the native library: the default backend. Features are the same bits for any batch and any number of
/// threads; between instruction sets they differ by rounding.
/// </summary>
public sealed class CpuBackend : IBackend
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
        Shape shape = data.Shape;
        nint native;
        switch (role)
        {
            case WeightRole.Linear or WeightRole.LinearTransposed:
                if (shape.Rank != 2)
                    throw new ArgumentException($"{data.Name}: a {role} weight has two dimensions; found {shape}.", nameof(data));
                bool transposed = role == WeightRole.LinearTransposed;
                // The last projections are a thousandth of the work and their rounding goes straight into the features.
                ElementType type = transposed ? ElementType.Float32 : ComputeType;
                Status(NativeMethods.CpuMatrixCreate(data.Address, (int)data.Type, shape[transposed ? 1 : 0], shape[transposed ? 0 : 1], transposed ? 1 : 0, (int)type, _instructionSet, out native), data.Name);
                break;
            case WeightRole.PatchEmbedding or WeightRole.Convolution when !OperationShapes.IsDepthwise(role, shape):
                if (shape.Rank != 4)
                    throw new ArgumentException($"{data.Name}: a {role} weight has four dimensions; found {shape}.", nameof(data));
                // Patches are no deeper than a block's width and take part in few sums: on tile registers they are products in bf16 like the others.
                bool onTiles = role == WeightRole.PatchEmbedding && ComputeType == ElementType.BFloat16 && CpuInformation.HasTiles(_instructionSet);
                Status(NativeMethods.CpuMatrixCreate(data.Address, (int)data.Type, shape[0], shape.ElementCount / Math.Max(1, shape[0]), 0, (int)(onTiles ? ElementType.BFloat16 : ElementType.Float32), _instructionSet, out native), data.Name);
                break;
            default:
                Status(NativeMethods.CpuValuesCreate(data.Address, (int)data.Type, shape.ElementCount, out native), data.Name);
                break;
        }

        return new CpuWeight(data, role, native);
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
