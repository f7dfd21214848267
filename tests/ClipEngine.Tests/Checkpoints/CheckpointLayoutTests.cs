using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

public class CheckpointLayoutTests
{
    // As transformers' CLIPModel.state_dict() lists them for one block a tower.
    private static readonly string[] s_transformersKeys =
    [
        "logit_scale",
        "text_model.embeddings.position_embedding.weight",
        "text_model.embeddings.token_embedding.weight",
        "text_model.encoder.layers.0.layer_norm1.bias",
        "text_model.encoder.layers.0.layer_norm1.weight",
        "text_model.encoder.layers.0.layer_norm2.bias",
        "text_model.encoder.layers.0.layer_norm2.weight",
        "text_model.encoder.layers.0.mlp.fc1.bias",
        "text_model.encoder.layers.0.mlp.fc1.weight",
        "text_model.encoder.layers.0.mlp.fc2.bias",
        "text_model.encoder.layers.0.mlp.fc2.weight",
        "text_model.encoder.layers.0.self_attn.k_proj.bias",
        "text_model.encoder.layers.0.self_attn.k_proj.weight",
        "text_model.encoder.layers.0.self_attn.out_proj.bias",
        "text_model.encoder.layers.0.self_attn.out_proj.weight",
        "text_model.encoder.layers.0.self_attn.q_proj.bias",
        "text_model.encoder.layers.0.self_attn.q_proj.weight",
        "text_model.encoder.layers.0.self_attn.v_proj.bias",
        "text_model.encoder.layers.0.self_attn.v_proj.weight",
        "text_model.final_layer_norm.bias",
        "text_model.final_layer_norm.weight",
        "text_projection.weight",
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.embeddings.position_embedding.weight",
        "vision_model.encoder.layers.0.layer_norm1.bias",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "vision_model.post_layernorm.bias",
        "vision_model.post_layernorm.weight",
        "vision_model.pre_layrnorm.bias",
        "vision_model.pre_layrnorm.weight",
        "visual_projection.weight",
    ];

    [Theory]
    [InlineData("vit-gelu")]
    [InlineData("vit-quickgelu")]
    [InlineData("vit-patch14-oddgrid")]
    [InlineData("vit-plus240-like")]
    public void ThereAndBackAgainGivesTheSameBits(string name)
    {
        using ICheckpoint original = Open(name);
        using ICheckpoint transformers = CheckpointLayouts.ToTransformers(Open(name));
        using ICheckpoint back = CheckpointLayouts.ToOpenClip(CheckpointLayouts.ToTransformers(Open(name)));

        Assert.Equal(CheckpointLayout.Transformers, CheckpointLayouts.Recognize(transformers));
        foreach (string key in s_transformersKeys)
            Assert.True(transformers.Tensors.ContainsKey(key), key);
        Assert.Equal(original.Tensors.Keys.Order(), back.Tensors.Keys.Order());
        foreach (StoredTensor tensor in original.Tensors.Values)
        {
            Assert.Equal(tensor.ToString(), back.Tensors[tensor.Name].ToString());
            using TensorBytes expected = original.Borrow(tensor.Name);
            using TensorBytes found = back.Borrow(tensor.Name);
            Assert.True(expected.Slice(0, (int)expected.ByteLength).SequenceEqual(found.Slice(0, (int)found.ByteLength)), tensor.Name);
        }
    }

    [Fact]
    public void QueriesKeysAndValuesAreTheThirdsOfTheFusedProjectionAndProjectionsAreTransposed()
    {
        using ICheckpoint original = Open("vit-gelu");
        using ICheckpoint transformers = CheckpointLayouts.ToTransformers(Open("vit-gelu"));
        float[] fused = original.ReadSingles("visual.transformer.resblocks.1.attn.in_proj_weight");
        int third = fused.Length / 3;
        int part = 0;
        foreach (string letter in new[] { "q", "k", "v" })
            Assert.Equal(fused[(part * third)..(++part * third)], transformers.ReadSingles($"vision_model.encoder.layers.1.self_attn.{letter}_proj.weight"));

        float[] matrix = original.ReadSingles("visual.proj");
        long[] size = [.. original.Tensors["visual.proj"].Dimensions];
        float[] transposed = transformers.ReadSingles("visual_projection.weight");
        Assert.Equal([size[1], size[0]], transformers.Tensors["visual_projection.weight"].Dimensions.ToArray());
        for (int i = 0; i < matrix.Length; i++)
            Assert.Equal(matrix[i], transposed[i % size[1] * size[0] + i / size[1]]);
    }

    [Fact]
    public void PositionIdsOfOldTransformersAreLeftOutAndStrangersKeepTheirNames()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.safetensors");
        var writer = new SafetensorsWriter();
        using (ICheckpoint transformers = CheckpointLayouts.ToTransformers(Open("vit-gelu")))
        {
            foreach (string key in transformers.Tensors.Keys.Where(key => key != "vision_model.encoder.layers.0.self_attn.k_proj.bias"))
                writer.Add(transformers, key);
            writer.Add("text_model.embeddings.position_ids", ClipEngine.Tensors.ElementType.Int64, [1, 16], new byte[128]);
            writer.Add("text_model.surprise", new float[1], 1);
            writer.Write(path);
        }

        using ICheckpoint openClip = Checkpoint.Open(path);
        Assert.DoesNotContain("text_model.embeddings.position_ids", openClip.Tensors.Keys);
        CheckpointFit fit = CheckpointFit.Check(openClip, TestData.Path("towers", "vit-gelu", "open_clip_config.json"));
        Assert.Contains("missing: visual.transformer.resblocks.0.attn.in_proj_bias [192]", fit.Problems);
        Assert.Contains("unexpected: text_model.surprise F32 [1]", fit.Problems);
        Assert.Contains(fit.Problems, problem => problem.StartsWith("unexpected: vision_model.encoder.layers.0.self_attn.q_proj.bias", StringComparison.Ordinal));
    }

    [Fact]
    public void WhatTransformersHasNoNameForIsRefusedAndNotLeftOut()
    {
        using ICheckpoint poolers = Open("vit-attnpool");
        var exception = Assert.Throws<CheckpointException>(() => CheckpointLayouts.ToTransformers(poolers));
        Assert.Equal(CheckpointError.DoesNotFit, exception.Error);
    }

    [Theory]
    [InlineData("vit-gelu")]
    [InlineData("vit-quickgelu")]
    [InlineData("vit-plus240-like")]
    public void ConfigurationsComeBackFromTransformersWords(string name)
    {
        OpenClipConfig original = OpenClipConfig.Load(TestData.Path("towers", name, "open_clip_config.json"));
        (byte[] config, byte[] preprocessor) = TransformersConfig.FromOpenClip(original);
        using var configJson = System.Text.Json.JsonDocument.Parse(config);
        using var preprocessorJson = System.Text.Json.JsonDocument.Parse(preprocessor);
        OpenClipConfig back = OpenClipConfig.Parse(TransformersConfig.ToOpenClip(configJson.RootElement, preprocessorJson.RootElement, "config.json"), original.Source);

        Assert.Equal(original.Vision with { Layers = [] }, back.Vision with { Layers = [] });
        Assert.Equal(original.Vision.Layers.ToArray(), back.Vision.Layers.ToArray());
        Assert.Equal(original.Text, back.Text);
        Assert.Equal(original.EmbedDimension, back.EmbedDimension);
        Assert.Equal(original.Preprocess.Mean.ToArray(), back.Preprocess.Mean.ToArray());
        Assert.Equal(original.Preprocess.StandardDeviation.ToArray(), back.Preprocess.StandardDeviation.ToArray());
        Assert.Equal(original.Preprocess with { Mean = [], StandardDeviation = [] }, back.Preprocess with { Mean = [], StandardDeviation = [] });

        (_, byte[] squashing) = TransformersConfig.FromOpenClip(original with { Preprocess = original.Preprocess with { ResizeMode = ResizeMode.Squash } });
        using var squashingJson = System.Text.Json.JsonDocument.Parse(squashing);
        back = OpenClipConfig.Parse(TransformersConfig.ToOpenClip(configJson.RootElement, squashingJson.RootElement, "config.json"), original.Source);
        Assert.Equal(ResizeMode.Squash, back.Preprocess.ResizeMode);
    }

    [Theory]
    [InlineData("""{"size": 32}""", "shortest")]
    [InlineData("""{"size": {"shortest_edge": 32}, "crop_size": 32}""", "shortest")]
    [InlineData("""{"size": {"height": 32, "width": 32}}""", "squash")]
    [InlineData("""{"size": {"height": 32, "width": 32}, "do_center_crop": false, "crop_size": 7}""", "squash")]
    public void SizeOfTransformersPreprocessorSaysHowImagesAreResized(string steps, string mode) =>
        Assert.Equal(mode == "squash" ? ResizeMode.Squash : ResizeMode.Shortest, Preprocess(steps).ResizeMode);

    [Fact]
    public void WithoutNormalizationMeanIsZeroAndDeviationOne()
    {
        PreprocessOptions options = Preprocess("""{"do_normalize": false}""");
        Assert.Equal([0f, 0f, 0f], options.Mean.ToArray());
        Assert.Equal([1f, 1f, 1f], options.StandardDeviation.ToArray());
    }

    /// <summary>CLIPImageProcessor takes OpenAI's mean and deviation where they are null.</summary>
    [Fact]
    public void AMeanThatIsNullIsOpenAIs()
    {
        PreprocessOptions options = Preprocess("""{"image_mean": null, "image_std": null}""");
        Assert.Equal(new PreprocessOptions { Height = 32, Width = 32 }.Mean.ToArray(), options.Mean.ToArray());
        Assert.Equal(new PreprocessOptions { Height = 32, Width = 32 }.StandardDeviation.ToArray(), options.StandardDeviation.ToArray());
    }

    [Theory]
    [InlineData("""{"do_resize": false}""", "do_resize")]
    [InlineData("""{"do_rescale": false}""", "do_rescale")]
    [InlineData("""{"rescale_factor": 1}""", "rescale_factor")]
    [InlineData("""{"do_center_crop": false}""", "do_center_crop")]
    [InlineData("""{"do_normalize": "no"}""", "do_normalize")]
    [InlineData("""{"size": {"longest_edge": 32}}""", "size")]
    [InlineData("""{"size": {"height": 32}}""", "size")]
    [InlineData("""{"size": {"shortest_edge": 33}}""", "size")]
    [InlineData("""{"crop_size": 33}""", "crop_size")]
    [InlineData("""{"crop_size": {"height": 32, "width": 33}}""", "crop_size")]
    [InlineData("""{"resample": 0}""", "resample")]
    [InlineData("""{"image_mean": [0.5]}""", "image_mean")]
    [InlineData("""{"do_convert_rgb": false}""", "do_convert_rgb")]
    [InlineData("""{"do_pad": true, "pad_size": {"height": 40, "width": 40}}""", "pad_size")]
    [InlineData("""{"image_processor_type": "ViTImageProcessor"}""", "image_processor_type")]
    public void StepsThatCannotBeHonouredAreRefusedByName(string steps, string key)
    {
        BadInputException exception = Assert.Throws<BadInputException>(() => Preprocess(steps));
        Assert.Contains($"preprocessor_config.json beside it: {key}: expected", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>What a preprocessor_config.json with these keys, and else OpenAI's, means for vit-gelu.</summary>
    private static PreprocessOptions Preprocess(string steps)
    {
        var all = System.Text.Json.Nodes.JsonNode.Parse("""{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.3]}""")!.AsObject();
        foreach ((string key, System.Text.Json.Nodes.JsonNode? value) in System.Text.Json.Nodes.JsonNode.Parse(steps)!.AsObject())
            all[key] = value?.DeepClone();
        (byte[] config, _) = TransformersConfig.FromOpenClip(OpenClipConfig.Load(TestData.Path("towers", "vit-gelu", "open_clip_config.json")));
        using var configJson = System.Text.Json.JsonDocument.Parse(config);
        using var stepsJson = System.Text.Json.JsonDocument.Parse(all.ToJsonString());
        return OpenClipConfig.Parse(TransformersConfig.ToOpenClip(configJson.RootElement, stepsJson.RootElement, "config.json"), "config.json").Preprocess;
    }

    [Fact]
    public void AFolderOfTransformersFits()
    {
        using var folder = new TemporaryFolder();
        OpenClipConfig original = OpenClipConfig.Load(TestData.Path("towers", "vit-quickgelu", "open_clip_config.json"));
        File.WriteAllBytes(folder.File("config.json"), TransformersConfig.FromOpenClip(original).Config);
        var writer = new SafetensorsWriter();
        using (ICheckpoint transformers = CheckpointLayouts.ToTransformers(Open("vit-quickgelu")))
        {
            foreach (string key in transformers.Tensors.Keys)
                writer.Add(transformers, key);
            writer.Write(folder.File("model.safetensors"));
        }

        using ICheckpoint checkpoint = Checkpoint.Open(folder.Root);
        CheckpointFit fit = CheckpointFit.Check(checkpoint, CheckpointFit.FindConfiguration(folder.Root)!);
        Assert.Empty(fit.Problems);
        Assert.Equal("transformers CLIP", fit.Architecture);
    }

    private static ICheckpoint Open(string name) => Checkpoint.OpenAsStored(TestData.Path("towers", name));
}
