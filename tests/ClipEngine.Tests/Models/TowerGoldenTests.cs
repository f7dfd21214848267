using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Tiny random checkpoints, each showing some of open_clip's options, against what open_clip computed: within 2e-5 of the features' spread.</summary>
public class TowerGoldenTests
{
    private const double Tolerance = 2e-5;

    public static TheoryData<string, string> Towers()
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string tower in new[] { "coca-tiny", "resnet-tiny", "vit-attnpool", "vit-gap-nolnpre", "vit-gelu", "vit-layerscale", "vit-patch14-oddgrid", "vit-plus240-like", "vit-quickgelu" })
                data.Add(tower, backend);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void FeaturesEqualThoseOfOpenClip(string tower, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        GoldenFeatures.AssertEqual(model.Encoder, golden, Tolerance);
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void AnImagesFeaturesDoNotDependOnItsNeighbours(string tower, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "pixels");
        float[] pixels = golden.ReadSingles("pixels");
        int one = pixels.Length / (int)shape[0];
        float[] together = GoldenFeatures.Images(model.Encoder, pixels, shape, normalize: true);
        for (int i = 0; i < shape[0]; i++)
        {
            float[] alone = GoldenFeatures.Images(model.Encoder, pixels.AsSpan(i * one, one), new Shape(1, shape[1], shape[2], shape[3]), normalize: true);
            GoldenFeatures.AssertWithin(alone, together.AsSpan(i * alone.Length, alone.Length), backend.InvarianceBound);
        }
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void ASentencesFeaturesDoNotDependOnItsNeighbours(string tower, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(TestData.Path("towers", tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        Shape shape = GoldenFeatures.ShapeOf(golden, "tokens");
        int length = (int)shape[1];
        int[] ids = GoldenFeatures.Ids(golden);
        float[] together = GoldenFeatures.Texts(model.Encoder, ids, length, normalize: true);
        for (int i = 0; i < shape[0]; i++)
        {
            float[] alone = GoldenFeatures.Texts(model.Encoder, ids.AsSpan(i * length, length), length, normalize: true);
            GoldenFeatures.AssertWithin(alone, together.AsSpan(i * alone.Length, alone.Length), backend.InvarianceBound);
        }
    }
}
