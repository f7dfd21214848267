using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// Tiny random checkpoints, each mixing some of open_clip's options, against what open_clip 2.24 computed: within 2e-5 of the
/// features' spread. <c>tools/make-tower-goldens.py</c> made those below <c>tower-options</c>.
/// </summary>
public class TowerGoldenTests
{
    private const double Tolerance = 2e-5;

    private static readonly string[] s_towers =
    [
        "towers/coca-tiny", "towers/resnet-tiny", "towers/vit-attnpool", "towers/vit-gap-nolnpre", "towers/vit-gelu", "towers/vit-layerscale",
        "towers/vit-patch14-oddgrid", "towers/vit-plus240-like", "towers/vit-quickgelu",
        "tower-options/class-embedding-padding", "tower-options/class-embedding-plain", "tower-options/coca-options", "tower-options/custom-text-bias",
        "tower-options/epsilon-and-tanh", "tower-options/heads-round-down", "tower-options/no-pooling", "tower-options/pooler-average",
        "tower-options/pooler-cascade", "tower-options/pooler-none", "tower-options/pooler-parallel", "tower-options/pooler-same-width",
        "tower-options/resnet-odd-image", "tower-options/resnet-wide-heads", "tower-options/root-text-bias-argmax", "tower-options/sin-cos-class-token",
        "tower-options/vision-avg-norm-first", "tower-options/vision-tok-norm-after",
    ];

    public static TheoryData<string, string> Towers()
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string tower in s_towers)
                data.Add(tower, backend);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void FeaturesEqualThoseOfOpenClip(string tower, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(TestData.Path(tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
        GoldenFeatures.AssertEqual(model.Encoder, golden, Tolerance);
    }

    [Fact]
    public void NoGoldenIsForgotten()
    {
        string[] found = [.. new[] { "towers", "tower-options" }.SelectMany(set => Directory.GetDirectories(TestData.Path(set)).Select(folder => $"{set}/{Path.GetFileName(folder)}")).Order(StringComparer.Ordinal)];
        Assert.Equal(found, s_towers.Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Towers))]
    public void AnImagesFeaturesDoNotDependOnItsNeighbours(string tower, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(TestData.Path(tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
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
        using LoadedModel model = LoadedModel.Load(TestData.Path(tower), backend);
        using ICheckpoint golden = Checkpoint.Open(TestData.Path(tower, "golden.safetensors"));
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
