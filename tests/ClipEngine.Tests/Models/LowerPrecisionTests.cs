using ClipEngine.Checkpoints;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Compute types below fp32 on the CPU, on every instruction set: every image's and sentence's feature keeps its direction.</summary>
public class LowerPrecisionTests
{
    private static readonly string[] s_towers = ["vit-gelu", "vit-quickgelu", "vit-layerscale", "vit-patch14-oddgrid"];

    /// <summary>Every instruction set with every type, and the smallest cosine.</summary>
    public static TheoryData<string, ElementType, double> SetsAndTypes()
    {
        var data = new TheoryData<string, ElementType, double>();
        foreach (string set in BackendsUnderTest.InstructionSets)
        {
            data.Add(set, ElementType.BFloat16, 0.9999);
            data.Add(set, ElementType.Float16, 0.99999);
            data.Add(set, ElementType.Int8, 0.998);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(SetsAndTypes))]
    public void Features_keep_their_direction(string instructionSet, ElementType type, double cosine)
    {
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = type, InstructionSet = instructionSet });
        foreach (string tower in s_towers)
        {
            using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
            using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
            Shape pixels = GoldenFeatures.ShapeOf(golden, "pixels");
            AssertCosines(golden, tower, "image_features_normalized", GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), pixels, normalize: true), cosine);
            int length = (int)GoldenFeatures.ShapeOf(golden, "tokens")[1];
            AssertCosines(golden, tower, "text_features_normalized", GoldenFeatures.Texts(model.Encoder, GoldenFeatures.Ids(golden), length, normalize: true), cosine);
        }
    }

    /// <summary>Towers of convolutions, whose linear layers alone are computed in fewer bits.</summary>
    [SkippableTheory]
    [MemberData(nameof(SetsAndTypes))]
    public void Features_of_convolutional_towers_keep_their_direction(string instructionSet, ElementType type, double cosine)
    {
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = type, InstructionSet = instructionSet });
        foreach (string family in new[] { "convnext-base-w", "convnext-large-d-320", "convnext-xxlarge", "mobileclip2-s0", "mobileclip2-s3", "vitamin-s", "vitamin-xl" })
        {
            string folder = TestData.SharedPath("goldens", "families", family);
            using LoadedModel model = LoadedModel.Load(folder, backend);
            using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
            AssertCosines(golden, family, "image_features_normalized", GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true), cosine);
        }
    }

    /// <summary>Products of integers are exact, and the sets with AVX-512 compute all else alike.</summary>
    [SkippableFact]
    public void Int8_has_the_same_bits_on_every_set_with_vectors_of_AVX512()
    {
        string[] sets = [.. BackendsUnderTest.InstructionSets.Where(static set => set.StartsWith("avx512", StringComparison.Ordinal) || set.StartsWith("amx", StringComparison.Ordinal))];
        Skip.If(!sets.Contains("avx512"), "this processor lacks AVX-512");
        foreach (string tower in s_towers)
        {
            float[] expected = ImagesInInt8("avx512", tower);
            foreach (string set in sets)
                Assert.Equal(expected, ImagesInInt8(set, tower));
        }
    }

    private static float[] ImagesInInt8(string instructionSet, string tower)
    {
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = ElementType.Int8, InstructionSet = instructionSet });
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        return GoldenFeatures.Images(model.Encoder, golden.ReadSingles("pixels"), GoldenFeatures.ShapeOf(golden, "pixels"), normalize: true);
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
