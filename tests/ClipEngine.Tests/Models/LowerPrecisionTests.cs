using ClipEngine.Checkpoints;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Compute types below fp32 on the CPU: every image's and sentence's feature keeps its direction.</summary>
public class LowerPrecisionTests
{
    [Theory]
    [InlineData(ElementType.BFloat16, 0.9999)]
    [InlineData(ElementType.Float16, 0.99999)]
    [InlineData(ElementType.Int8, 0.998)]
    public void Features_keep_their_direction(ElementType type, double cosine)
    {
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = type });
        foreach (string tower in new[] { "vit-gelu", "vit-quickgelu", "vit-layerscale", "vit-patch14-oddgrid" })
        {
            using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
            using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
            Shape pixels = GoldenFeatures.ShapeOf(golden, "pixels");
            AssertCosines(golden, tower, "image_features_normalized", GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), pixels, normalize: true), cosine);
            int length = (int)GoldenFeatures.ShapeOf(golden, "tokens")[1];
            AssertCosines(golden, tower, "text_features_normalized", GoldenFeatures.Texts(model.Encoder, GoldenFeatures.Ids(golden), length, normalize: true), cosine);
        }
    }

    private static void AssertCosines(ICheckpoint golden, string tower, string name, float[] found, double smallest)
    {
        float[] expected = golden.ReadSingles(name);
        int width = (int)GoldenFeatures.ShapeOf(golden, name)[1];
        for (int i = 0; i < expected.Length; i += width)
        {
            double dot = 0;
            for (int j = i; j < i + width; j++)
                dot += (double)expected[j] * found[j];
            Assert.True(dot >= smallest, $"{tower} {name}[{i / width}]: cosine {dot:F6}, at least {smallest} wanted");
        }
    }
}
