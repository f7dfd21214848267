using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>A backend that keeps every weight as fp32 values and computes nothing.</summary>
internal sealed class RecordingBackend : IBackend
{
    public List<RecordedWeight> Weights { get; } = [];

    public string Name => "recording";

    public string Description => "keeps weights";

    public ElementType ComputeType => ElementType.Float32;

    public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

    public double InvarianceBound => 0;

    public unsafe Weight CreateWeight(in WeightData data, WeightRole role)
    {
        float[] values = new float[data.Shape.ElementCount];
        ElementConversion.ToSingle(new ReadOnlySpan<byte>((void*)data.Address, (int)data.ByteLength), data.Type, values);
        var weight = new RecordedWeight(data.Name, data.Shape, role, data.Type, values);
        Weights.Add(weight);
        return weight;
    }

    public IPass BeginPass() => throw new NotSupportedException();

    public void Dispose()
    {
        // It owns nothing.
    }
}

internal sealed class RecordedWeight(string name, Shape shape, WeightRole role, ElementType storedType, float[] values) : Weight(name, shape, role, storedType)
{
    public float[] Values { get; } = values;

    public bool IsDisposed { get; private set; }

    public override long ByteLength => Values.Length * sizeof(float);

    protected override void Dispose(bool disposing) => IsDisposed = true;
}
