using ClipEngine.Checkpoints;
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
