using ClipEngine.Checkpoints;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

public class WeightReaderTests
{
    [Fact]
    public void WeightsKeepTheirFullKeyShapeRoleAndValues()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer => writer.Add("visual.ln_pre.weight", new float[] { 1, 2, 3 }, 3));
        var backend = new RecordingBackend();
        using var reader = new WeightReader(file, backend);

        Weight weight = reader.Scope("visual").Scope("ln_pre").Read("weight", WeightRole.Vector, 3);

        var recorded = Assert.IsType<RecordedWeight>(weight);
        Assert.Equal("visual.ln_pre.weight", recorded.Name);
        Assert.Equal([1, 2, 3], recorded.Values);
        Assert.Same(weight, Assert.Single(reader.Complete()));
        Assert.False(recorded.IsDisposed);
    }

    [Fact]
    public void RowsOfAFusedProjectionAreWeightsOfTheirOwn()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer => writer.Add("in_proj_weight", new float[] { 1, 2, 3, 4, 5, 6 }, 3, 2));
        using var reader = new WeightReader(file, new RecordingBackend());
        var rows = Assert.IsType<RecordedWeight>(reader.ReadRows("in_proj_weight", WeightRole.Linear, 1, 2, 3, 2));
        Assert.Equal([3, 4, 5, 6], rows.Values);
        Assert.Equal(new Shape(2, 2), rows.Shape);
        Assert.Single(reader.Complete());
    }

    [Fact]
    public void St40And41EveryProblemIsListedAtOnceWithExpectedAndFound()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer =>
        {
            writer.Add("good", new float[] { 1 }, 1);
            writer.Add("wide", new float[6], 2, 3);
            writer.Add("whole", ElementType.Int64, [2], new byte[16]);
            writer.Add("left.over", new float[] { 1 }, 1);
        });
        var backend = new RecordingBackend();
        using var reader = new WeightReader(file, backend);
        reader.Read("good", WeightRole.Vector, 1);
        reader.Read("wide", WeightRole.Linear, 3, 2);
        reader.Read("whole", WeightRole.Vector, 2);
        reader.Scope("deep").Read("absent", WeightRole.Vector, 5);

        var exception = Assert.Throws<CheckpointException>(reader.Complete);

        Assert.Equal(CheckpointError.DoesNotFit, exception.Error);
        Assert.Contains("missing: deep.absent [5]", exception.Message);
        Assert.Contains("wide: expected [3, 2], found [2, 3]", exception.Message);
        Assert.Contains("whole: expected F32, F16, BF16 or F64, found I64", exception.Message);
        Assert.Contains("unexpected: left.over F32 [1]", exception.Message);
        Assert.DoesNotContain("good", exception.Problem);
        Assert.All(backend.Weights, weight => Assert.True(weight.IsDisposed));
    }

    [Fact]
    public void St40OfManyProblemsTheFirstTenOfAKindAreShownAndTheRestCounted()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer => writer.Add("a", new float[] { 1 }, 1));
        using var reader = new WeightReader(file, backend: null);
        reader.Read("a", WeightRole.Vector, 1);
        for (int i = 0; i < 25; i++)
            reader.Read($"absent.{i:00}", WeightRole.Vector, 1);
        string message = Assert.Throws<CheckpointException>(reader.Complete).Message;
        Assert.Contains("absent.09", message);
        Assert.DoesNotContain("absent.10", message);
        Assert.Contains("and 15 more missing", message);
    }

    [Fact]
    public void St41OnlyKeysOnTheListMayBeLeftOver()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer =>
        {
            writer.Add("a", new float[] { 1 }, 1);
            writer.Add("attn_mask", new float[] { 1 }, 1);
            writer.Add("decoder.x.y", new float[] { 1 }, 1);
            writer.Add("decoders", new float[] { 1 }, 1);
        });
        using var reader = new WeightReader(file, backend: null);
        reader.Read("a", WeightRole.Vector, 1);
        reader.AllowUnused("attn_mask");
        reader.AllowUnused("decoder.");
        Assert.Equal("unexpected: decoders F32 [1]", Assert.Single(reader.ListProblems()));
    }

    [Fact]
    public void NothingIsFilledInAfterAProblem()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer => writer.Add("a", new float[] { 1 }, 1));
        var backend = new RecordingBackend();
        using var reader = new WeightReader(file, backend);
        reader.Read("absent", WeightRole.Vector, 1);
        reader.Read("a", WeightRole.Vector, 1);
        Assert.Empty(backend.Weights);
        Assert.Throws<CheckpointException>(reader.Complete);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ScalarsAreReadFromBothShapes(bool isVector)
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Write(folder, writer => writer.Add("logit_scale", new float[] { 4.5f }, isVector ? [1] : []));
        using var reader = new WeightReader(file, new RecordingBackend());
        Assert.Equal(4.5f, reader.ReadScalar("logit_scale"));
        Assert.Empty(reader.Complete());
    }

    [Theory]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float64)]
    public void St38NanAndInfinityAreCountedPerTensor(ElementType type)
    {
        float[] values = new float[1000];
        values.AsSpan().Fill(1);
        values[0] = values[500] = values[999] = float.NaN;
        values[17] = float.NegativeInfinity;
        WeightFinding finding = Assert.Single(Inspect(type, values));
        Assert.Equal((3, 1, false), (finding.NanCount, finding.InfinityCount, finding.IsFinite));
    }

    [Theory]
    [InlineData(ElementType.Float16, 1e-7f)]
    [InlineData(ElementType.BFloat16, 1e-40f)]
    [InlineData(ElementType.Float32, 1e-40f)]
    public void St39ZeroAndDenormalTensorsAreReported(ElementType type, float denormal)
    {
        float[] values = new float[333];
        values[5] = -0f;
        Assert.True(Assert.Single(Inspect(type, values)).IsAllZero);
        values[332] = denormal;
        Assert.True(Assert.Single(Inspect(type, values)).IsDenormalOnly);
        values[331] = 1;
        Assert.Empty(Inspect(type, values));
    }

    private static IReadOnlyList<WeightFinding> Inspect(ElementType type, float[] values)
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = type switch
        {
            ElementType.Float16 => [.. values.SelectMany(value => BitConverter.GetBytes((Half)value))],
            ElementType.BFloat16 => [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))],
            ElementType.Float32 => [.. values.SelectMany(BitConverter.GetBytes)],
            _ => [.. values.SelectMany(value => BitConverter.GetBytes((double)value))],
        };
        using SafetensorsFile file = Write(folder, writer => writer.Add("a", type, [values.Length], bytes));
        using var reader = new WeightReader(file, new RecordingBackend());
        reader.Read("a", WeightRole.Vector, values.Length);
        reader.Complete();
        return reader.Findings;
    }

    private static SafetensorsFile Write(TemporaryFolder folder, Action<SafetensorsWriter> fill)
    {
        var writer = new SafetensorsWriter();
        fill(writer);
        string path = folder.File("model.safetensors");
        writer.Write(path);
        return SafetensorsFile.Open(path);
    }
}
