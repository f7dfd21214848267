using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// <c>hf_pooler_type: cls_pooler</c>: the encoder's own pooling layer, tanh(W x + b) of the first token. No reference output has it: what
/// is expected is worked out in double precision from the last block's tokens of the original library.
/// </summary>
public class TextPoolingLayerTests
{
    private const int Width = 40, Middle = 32, Features = 24;

    public static TheoryData<string> Backends() => [.. BackendsUnderTest.Names];

    [SkippableTheory]
    [MemberData(nameof(Backends))]
    public void FeaturesAreThoseOfThePoolingLayer(string backendName)
    {
        using var folder = new TemporaryFolder();
        string original = Write(folder, "roberta-b32", hasLayer: true);
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(folder.Root, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(original, "golden.safetensors"));
        using ICheckpoint weights = Checkpoint.OpenAsStored(folder.File("open_clip_model.safetensors"));
        int length = (int)GoldenFeatures.ShapeOf(golden, "tokens")[1];
        int[] ids = GoldenFeatures.Ids(golden);
        float[] found = GoldenFeatures.Texts(model.Encoder, ids, length, normalize: false), tokens = golden.ReadSingles("stage.text.block.1");
        float[] w = weights.ReadSingles("text.transformer.pooler.dense.weight"), b = weights.ReadSingles("text.transformer.pooler.dense.bias");
        float[] first = weights.ReadSingles("text.proj.0.weight"), second = weights.ReadSingles("text.proj.2.weight");
        var expected = new List<double>();
        double furthest = 0;
        for (int n = 0; n < ids.Length / length; n++)
        {
            double[] x = [.. tokens.AsSpan(n * length * Width, Width).ToArray().Select(static value => (double)value)];
            double[] pooled = [.. Product(w, x, Width).Select((value, c) => Math.Tanh(value + b[c]))];
            furthest = Math.Max(furthest, pooled.Max(Math.Abs));
            expected.AddRange(Product(second, [.. Product(first, pooled, Middle).Select(Gelu)], Features));
        }

        Assert.True(furthest > 0.8, "the layer must bend, or a missing tanh would pass");
        double spread = Math.Sqrt(expected.Average(value => Math.Pow(value - expected.Average(), 2)));
        Assert.Equal(expected.Count, found.Length);
        for (int i = 0; i < found.Length; i++)
            Assert.True(Math.Abs(found[i] - expected[i]) <= 2e-5 * spread, $"feature {i}: {found[i]:R}, expected {expected[i]:R}");
    }

    [SkippableFact]
    public void WithoutTheLayersWeightsTheModelIsRefused()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "xlm-roberta-b32", hasLayer: false);
        using IBackend backend = BackendsUnderTest.Create("toy");
        var exception = Assert.ThrowsAny<BadInputException>(() => LoadedModel.Load(folder.Root, backend));
        Assert.Contains("text.transformer.pooler.dense.weight", exception.Message, StringComparison.Ordinal);
        Assert.Contains("text.transformer.pooler.dense.bias", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>open_clip's decoder would get no token for a caption to begin from, and fails.</summary>
    [SkippableFact]
    public void CoCaWithThePoolingLayerWritesNoCaptions()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "coca-roberta-b32", hasLayer: true);
        using IBackend backend = BackendsUnderTest.Create("toy");
        using LoadedModel model = LoadedModel.Load(folder.Root, backend);
        Assert.False(model.Encoder is ICaptioner);
    }

    /// <summary>A folder of reference outputs with <c>cls_pooler</c> in its configuration.</summary>
    private static string Write(TemporaryFolder folder, string family, bool hasLayer)
    {
        const string Configuration = "open_clip_config.json", Weights = "open_clip_model.safetensors";
        string original = TestData.SharedPath("goldens", "families", family);
        string json = File.ReadAllText(Path.Combine(original, Configuration)), pooled = json.Contains("mean_pooler", StringComparison.Ordinal)
            ? json.Replace("mean_pooler", "cls_pooler", StringComparison.Ordinal)
            : json.Replace("\"hf_model_name\"", "\"hf_pooler_type\": \"cls_pooler\", \"hf_model_name\"", StringComparison.Ordinal);
        Assert.NotEqual(json, pooled);
        File.WriteAllText(folder.File(Configuration), pooled);
        File.Copy(Path.Combine(original, "hf_text_model.json"), folder.File("hf_text_model.json"));
        using ICheckpoint stored = Checkpoint.OpenAsStored(Path.Combine(original, Weights));
        var writer = new SafetensorsWriter();
        foreach (string name in stored.Tensors.Keys)
            writer.Add(stored, name);
        if (hasLayer)
        {
            var random = new Random(20);
            writer.Add("text.transformer.pooler.dense.weight", Values(Width * Width), [Width, Width]);
            writer.Add("text.transformer.pooler.dense.bias", Values(Width), [Width]);
            float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * 0.6f)];
        }

        writer.Write(folder.File(Weights));
        return original;
    }

    private static IEnumerable<double> Product(float[] weight, double[] x, int outputs)
    {
        for (int o = 0; o < outputs; o++)
        {
            double sum = 0;
            for (int i = 0; i < x.Length; i++)
                sum += (double)weight[(o * x.Length) + i] * x[i];
            yield return sum;
        }
    }

    /// <summary>x Phi(x), its integral by Simpson's rule.</summary>
    private static double Gelu(double x)
    {
        const int Steps = 2000;
        double step = x / Steps, sum = 0;
        for (int i = 0; i <= Steps; i++)
            sum += Math.Exp(-0.5 * i * step * i * step) * (i is 0 or Steps ? 1 : i % 2 == 1 ? 4 : 2);
        return x * (0.5 + (sum * step / 3 / Math.Sqrt(2 * Math.PI)));
    }
}
