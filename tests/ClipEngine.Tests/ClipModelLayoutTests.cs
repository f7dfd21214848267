using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Imaging;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;

namespace ClipEngine.Tests;

/// <summary>The same model from the other layouts that it is published in: features equal open_clip's golden, whatever the files are called.</summary>
public sealed class ClipModelLayoutTests
{
    private const double Tolerance = 2e-5;

    [Theory]
    [InlineData("vit-quickgelu")]
    [InlineData("vit-gelu")]
    public void ATransformersFolderGivesTheGoldensFeatures(string tower)
    {
        using var folder = new TemporaryFolder();
        string converted = Convert(tower, folder.File("hf"));
        using ClipModel model = ClipModel.Load(converted);
        Assert.Empty(model.Notices);
        AssertGolden(model, tower);
    }

    [Fact]
    public void WeightsThatAreNotFiniteAreReportedOrRefused()
    {
        using var folder = new TemporaryFolder();
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), folder.File("open_clip_config.json"));
        byte[] weights = File.ReadAllBytes(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"));
        BitConverter.TryWriteBytes(weights.AsSpan(weights.Length - sizeof(float)), float.NaN);   // the last element of the last fp32 tensor
        File.WriteAllBytes(folder.File("open_clip_model.safetensors"), weights);

        using (ClipModel model = ClipModel.Load(folder.Root))
            Assert.Contains(model.Notices, notice => notice.Contains("1 NaN", StringComparison.Ordinal));
        BadInputException refusal = Assert.Throws<BadInputException>(() => ClipModel.Load(folder.Root, new ClipModelOptions { RequireFiniteWeights = true }));
        Assert.Contains("1 NaN", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnArchiveThatPyTorchWroteGivesTheGoldensFeatures()
    {
        using ClipModel model = ClipModel.Load(TestData.Path("towers", "vit-quickgelu", "state_dict.pt"));
        AssertGolden(model, "vit-quickgelu");
    }

    [Fact]
    public void PixelsOfATransformersFolderAreThoseOfItsPreprocessor()
    {
        using var folder = new TemporaryFolder();
        string converted = Convert("vit-gelu", folder.File("hf"));
        string preprocessor = Path.Combine(converted, "preprocessor_config.json");
        File.WriteAllText(preprocessor, """{"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 1, 2], "resample": 2, "size": 32, "crop_size": {"height": 32, "width": 32}}""");
        using (ClipModel model = ClipModel.Load(converted))
        {
            Assert.Equal([0.5f, 0.25f, 0.125f], [.. model.Preprocessor.Options.Mean]);
            Assert.Equal([0.5f, 1f, 2f], [.. model.Preprocessor.Options.StandardDeviation]);
            Assert.Equal(Interpolation.Bilinear, model.Preprocessor.Options.Interpolation);
        }

        File.WriteAllText(preprocessor, """{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"shortest_edge": 40}, "crop_size": 32}""");
        BadInputException refusal = Assert.Throws<BadInputException>(() => ClipModel.Load(converted));
        Assert.Contains("size: expected the model's image_size 32", refusal.Message, StringComparison.Ordinal);

        File.Delete(preprocessor);
        using ClipModel unstated = ClipModel.Load(converted);
        Assert.Contains(unstated.Notices, notice => notice.Contains("states no mean", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("vit-gelu", true)]
    [InlineData("vit-quickgelu", false)]
    public void TheActivationOfATransformersFolderIsHeldAgainstTheOriginOfItsWeights(string tower, bool isRefused)
    {
        using var folder = new TemporaryFolder();
        // The place says QuickGELU: the hub's cache of weights that were trained with it.
        string snapshot = Convert(tower, folder.File("models--timm--vit_base_patch32_clip_224.laion400m_e32", "snapshots", "c"));
        if (isRefused)
        {
            BadInputException refusal = Assert.Throws<BadInputException>(() => ClipModel.Load(snapshot));
            Assert.Contains("QuickGELU", refusal.Message, StringComparison.Ordinal);
            using ClipModel labelled = ClipModel.Load(snapshot, new ClipModelOptions { AcceptActivationMismatch = true });
            Assert.Contains(labelled.Notices, notice => notice.Contains("activation mismatch", StringComparison.Ordinal));
        }
        else
        {
            using ClipModel model = ClipModel.Load(snapshot);
            Assert.Empty(model.Notices);
        }
    }

    private static string Convert(string tower, string folder)
    {
        ConvertCommand.Run(TestData.Path("towers", tower), "transformers", folder, configurationPath: null, TextWriter.Null);
        return folder;
    }

    private static void AssertGolden(ClipModel model, string tower)
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("towers", tower, "golden.safetensors"));
        GoldenFeatures.AssertEqual(model.Encoder, golden, Tolerance);
    }
}
