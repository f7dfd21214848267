using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Imaging;
using ClipEngine.Tensors;
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
    public void WeightsThatAreNotFiniteAreRefusedByTheTensorsName()
    {
        using var folder = new TemporaryFolder();
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), folder.File("open_clip_config.json"));
        byte[] weights = File.ReadAllBytes(TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors"));
        BitConverter.TryWriteBytes(weights.AsSpan(weights.Length - sizeof(float)), float.NaN);   // the last element of the last fp32 tensor
        File.WriteAllBytes(folder.File("open_clip_model.safetensors"), weights);

        var refusal = Assert.Throws<CheckpointException>(() => ClipModel.Load(folder.Root));
        Assert.Equal(CheckpointError.NotFinite, refusal.Error);
        Assert.Contains("1 NaN", refusal.Message, StringComparison.Ordinal);
    }

    /// <summary>Weights marked as OpenAI's by three numbers, under any name: heads 64 wide, QuickGELU and OpenAI's pixels, as its own build_model has it.</summary>
    [Fact]
    public void OpenAisWeightsNeedNoConfiguration()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("download.bin");
        WriteOpenAiModel(path, isMarked: true);
        using ClipModel inferred = ClipModel.Load(path);
        File.WriteAllText(folder.File("explicit.json"), """
            {"model_cfg": {"embed_dim": 48, "quick_gelu": true,
                "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "head_width": 64, "patch_size": 8},
                "text_cfg": {"context_length": 16, "vocab_size": 512, "width": 64, "heads": 1, "layers": 1}},
             "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}
            """);
        using ClipModel stated = ClipModel.Load(path, new ClipModelOptions { ConfigurationPath = folder.File("explicit.json") });
        Assert.Empty(inferred.Notices);
        float[] pixels = [.. Enumerable.Range(0, 3 * 32 * 32).Select(static i => MathF.Sin(i))], found = new float[48], expected = new float[48];
        inferred.EncodePixels(pixels, found);
        stated.EncodePixels(pixels, expected);
        Assert.Equal(expected, found);
        inferred.EncodeTokens([1, 2, 511], 3, found);
        stated.EncodeTokens([1, 2, 511], 3, expected);
        Assert.Equal(expected, found);
    }

    [Fact]
    public void OtherWeightsWithoutConfigurationAreRefusedWithWhatToPass()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("download.bin");
        WriteOpenAiModel(path, isMarked: false);
        BadInputException refusal = Assert.Throws<BadInputException>(() => ClipModel.Load(path));
        Assert.Contains("download.bin", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("--config", refusal.Message, StringComparison.Ordinal);
    }

    private static void WriteOpenAiModel(string path, bool isMarked)
    {
        var writer = new SafetensorsWriter();
        var random = new Random(5);
        AddTower("visual.", 128, 2);
        AddTower("", 64, 1);
        Add("visual.class_embedding", 128);
        Add("visual.conv1.weight", 128, 3, 8, 8);
        Add("visual.positional_embedding", 17, 128);
        Add("visual.proj", 128, 48);
        foreach (string norm in new[] { "visual.ln_pre", "visual.ln_post" })
            AddPair(norm, 128);
        AddPair("ln_final", 64);
        Add("token_embedding.weight", 512, 64);
        Add("positional_embedding", 16, 64);
        Add("text_projection", 64, 48);
        Add("logit_scale");
        foreach ((string key, int value) in isMarked ? new[] { ("input_resolution", 32), ("context_length", 16), ("vocab_size", 512) } : [])
            writer.Add(key, ElementType.Int64, [], BitConverter.GetBytes((long)value));
        writer.Write(path);

        void AddTower(string prefix, int width, int blocks)
        {
            for (int block = 0; block < blocks; block++)
            {
                string key = $"{prefix}transformer.resblocks.{block}.";
                AddPair(key + "ln_1", width);
                AddPair(key + "ln_2", width);
                Add(key + "attn.in_proj_weight", 3 * width, width);
                Add(key + "attn.in_proj_bias", 3 * width);
                Add(key + "attn.out_proj.weight", width, width);
                Add(key + "attn.out_proj.bias", width);
                Add(key + "mlp.c_fc.weight", 4 * width, width);
                Add(key + "mlp.c_fc.bias", 4 * width);
                Add(key + "mlp.c_proj.weight", width, 4 * width);
                Add(key + "mlp.c_proj.bias", width);
            }
        }

        void AddPair(string norm, int length)
        {
            Add(norm + ".weight", length);
            Add(norm + ".bias", length);
        }

        void Add(string key, params long[] dimensions)
        {
            float[] values = new float[dimensions.Aggregate(1L, static (product, size) => product * size)];
            for (int i = 0; i < values.Length; i++)
                values[i] = (float)(random.NextDouble() - 0.5) / 4;
            writer.Add(key, values, dimensions);
        }
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
