using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Testing;

/// <summary>
/// The slow twin of every backend: each operation as its formula says, in double precision, one loop inside the other.
/// It knows only the public seam, so it also shows that a backend can be added from outside.
/// </summary>
public sealed class ToyBackend : IBackend
{
    /// <inheritdoc/>
    public string Name => "toy";

    /// <inheritdoc/>
    public string Description => "plain loops in double precision";

    /// <inheritdoc/>
    public ElementType ComputeType => ElementType.Float64;

    /// <inheritdoc/>
    public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

    /// <inheritdoc/>
    public double InvarianceBound => 0;

    private int _liveWeights, _livePasses, _releasesDuringPasses;

    /// <summary>Weights that were made and not yet disposed.</summary>
    public int LiveWeights => Volatile.Read(ref _liveWeights);

    /// <summary>Passes that were opened and not yet disposed.</summary>
    public int LivePasses => Volatile.Read(ref _livePasses);

    /// <summary>Weights that were disposed while a pass was open.</summary>
    public int ReleasesDuringPasses => Volatile.Read(ref _releasesDuringPasses);

    /// <inheritdoc/>
    public Weight CreateWeight(in WeightData data, WeightRole role)
    {
        Interlocked.Increment(ref _liveWeights);
        return new ToyWeight(data, role, () =>
        {
            Interlocked.Decrement(ref _liveWeights);
            if (LivePasses > 0)
                Interlocked.Increment(ref _releasesDuringPasses);
        });
    }

    /// <inheritdoc/>
    public TokenStore CreateTokenStore(in Shape shape) => new ToyTokenStore(shape);

    /// <inheritdoc/>
    public IPass BeginPass()
    {
        Interlocked.Increment(ref _livePasses);
        return new ToyPass(this);
    }

    internal void EndPass() => Interlocked.Decrement(ref _livePasses);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

/// <summary>Tokens as doubles.</summary>
internal sealed class ToyTokenStore(in Shape shape) : TokenStore(shape)
{
    public double[] Values { get; } = new double[shape.ElementCount];

    public override long ByteLength => Values.Length * 8L;

    protected override void Dispose(bool disposing)
    {
        // The collector's.
    }
}

/// <summary>A weight as doubles, in the checkpoint's own order.</summary>
internal sealed class ToyWeight : Weight
{
    private Action? _released;

    public ToyWeight(in WeightData data, WeightRole role, Action released)
        : base(data.Name, data.Shape, role, data.Type)
    {
        _released = released;
        Values = new double[data.Shape.ElementCount];
        for (int i = 0; i < Values.Length; i++)
            Values[i] = Element(data.Type, data.Address, i);
    }

    public double[] Values { get; }

    public override long ByteLength => Values.Length * 8L;

    protected override void Dispose(bool disposing)
    {
        _released?.Invoke();
        _released = null;
    }

    private static unsafe double Element(ElementType type, nint address, int i)
    {
        int size = type.SizeInBytes();
        var bytes = new ReadOnlySpan<byte>((byte*)address + ((long)i * size), size);
        return type switch
        {
            ElementType.Float16 => (double)MemoryMarshal.Read<Half>(bytes),
            ElementType.BFloat16 => BitConverter.Int32BitsToSingle(MemoryMarshal.Read<ushort>(bytes) << 16),
            ElementType.Float32 => MemoryMarshal.Read<float>(bytes),
            ElementType.Float64 => MemoryMarshal.Read<double>(bytes),
            _ => throw new NotSupportedException($"The toy backend takes floating-point weights; found {type}."),
        };
    }
}
