using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>What counts in the files beside a model of transformers, by the rules of transformers 5.24 (configuration_clip.py, processing_utils.py), and that what is written satisfies its strict configurations.</summary>
public class TransformersConfigTests
{
    private static readonly string[] s_floats = ["initializer_factor", "initializer_range", "logit_scale_init_value", "layer_norm_eps", "attention_dropout"];
    private static readonly string[] s_integers =
    [
        "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "projection_dim", "max_position_embeddings", "vocab_size", "image_size", "patch_size", "num_channels", "eos_token_id", "bos_token_id", "pad_token_id",
    ];

    [Theory]
    [InlineData("vit-gelu")]
    [InlineData("vit-quickgelu")]
    [InlineData("vit-plus240-like")]
    public void WhatIsWrittenHasTheTypesThatStrictConfigurationsAskFor(string name)
    {
        (byte[] config, byte[] preprocessor) = TransformersConfig.FromOpenClip(OpenClipConfig.Load(TestData.Path("towers", name, "open_clip_config.json")));
        using JsonDocument model = JsonDocument.Parse(config);
        int read = CheckTypes(model.RootElement);
        foreach (string section in new[] { "text_config", "vision_config" })
            read += CheckTypes(model.RootElement.GetProperty(section));
        Assert.True(read >= 18, $"only {read} numbers were there to look at");
        Assert.All(model.RootElement.GetProperty("architectures").EnumerateArray(), static architecture => Assert.Equal(JsonValueKind.String, architecture.ValueKind));

        using JsonDocument steps = JsonDocument.Parse(preprocessor);
        JsonElement[] floats = [steps.RootElement.GetProperty("rescale_factor"), .. steps.RootElement.GetProperty("image_mean").EnumerateArray(), .. steps.RootElement.GetProperty("image_std").EnumerateArray()];
        Assert.All(floats, static number => Assert.True(IsFloat(number), $"{number.GetRawText()} is no JSON float"));
    }

    /// <summary>transformers builds a tower from text_config_dict or vision_config_dict and from defaults, wherever one is not null.</summary>
    [Fact]
    public void ConfigDictsOfOldFilesWin()
    {
        JsonObject config = Config();
        config["text_config_dict"] = config["text_config"]!.DeepClone();
        config["vision_config_dict"] = config["vision_config"]!.DeepClone();
        config["text_config"]!["num_attention_heads"] = 4;
        config["vision_config"]!["num_attention_heads"] = 4;
        OpenClipConfig found = Read(config);
        Assert.Equal(2, found.Text.Heads);
        Assert.Equal(2, found.Vision.Heads);

        config["text_config_dict"] = null;
        Assert.Equal(4, Read(config).Text.Heads);

        // Defaults of CLIPTextConfig, not what text_config says.
        config["text_config_dict"] = new JsonObject { ["num_hidden_layers"] = 3, ["hidden_act"] = "gelu" };
        found = Read(config);
        Assert.Equal((512, 8, 3, 77, 49408), (found.Text.Width, found.Text.Heads, found.Text.Layers, found.Text.ContextLength, found.Text.VocabularySize));
    }

    [Theory]
    [InlineData("""{"quantization_config": {"quant_method": "bitsandbytes"}}""", "quantization_config")]
    [InlineData("""{"vision_config": {"num_channels": 1}}""", "num_channels")]
    [InlineData("""{"text_config": {"pruned_heads": {"0": [1]}}}""", "pruned_heads")]
    [InlineData("""{"text_config": {"eos_token_id": 512}}""", "eos_token_id")]
    [InlineData("""{"text_config": {"hidden_act": "relu"}}""", "relu")]
    [InlineData("""{"text_config_dict": 7}""", "text_config_dict")]
    public void KeysThatMakeAnotherModelAreRefusedByName(string change, string key)
    {
        JsonObject config = Config();
        foreach ((string name, JsonNode? value) in JsonNode.Parse(change)!.AsObject())
        {
            if (value is JsonObject section && config[name] is JsonObject old)
            {
                foreach ((string inner, JsonNode? innerValue) in section)
                    old[inner] = innerValue?.DeepClone();
            }
            else
            {
                config[name] = value?.DeepClone();
            }
        }

        Assert.Contains(key, Assert.Throws<BadInputException>(() => Read(config)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ThePictureStepsOfVersion5WinOverThoseOfAnEarlierSave()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), Config().ToJsonString());
        WriteSteps(folder.File("preprocessor_config.json"), 0.1, isNested: false);
        Assert.Equal(0.1f, ModelConfiguration.Load(folder.Root, folder.File("config.json")).Preprocess.Mean[0]);

        File.WriteAllText(folder.File("processor_config.json"), """{"processor_class": "CLIPProcessor"}""");
        Assert.Equal(0.1f, ModelConfiguration.Load(folder.Root, folder.File("config.json")).Preprocess.Mean[0]);

        WriteSteps(folder.File("processor_config.json"), 0.5, isNested: true);
        OpenClipConfig found = ModelConfiguration.Load(folder.Root, folder.File("config.json"));
        Assert.Equal(0.5f, found.Preprocess.Mean[0]);
        Assert.True(found.StatesPreprocessing);

        File.Delete(folder.File("preprocessor_config.json"));
        Assert.Equal(0.5f, ModelConfiguration.Load(folder.Root, folder.File("config.json")).Preprocess.Mean[0]);
        Assert.Equal(0.5f, OpenClipConfig.Parse(ModelConfiguration.ReadAsOpenClip(folder.File("config.json")), "config.json").Preprocess.Mean[0]);

        File.WriteAllText(folder.File("processor_config.json"), """{"image_processor": {"image_processor_type": "ViTImageProcessor"}}""");
        string message = Assert.Throws<BadInputException>(() => ModelConfiguration.Load(folder.Root, folder.File("config.json"))).Message;
        Assert.Contains("processor_config.json beside it: image_processor_type", message, StringComparison.Ordinal);
    }

    /// <summary>A configuration of another image size than the weights': the message names --image-size, and its number works.</summary>
    [Fact]
    public void WeightsOfAnotherImageSizeRunAtTheirOwn()
    {
        using var folder = new TemporaryFolder();
        string weights = TestData.Path("towers", "vit-gelu", "open_clip_model.safetensors");
        JsonObject config = JsonNode.Parse(File.ReadAllText(TestData.Path("towers", "vit-gelu", "open_clip_config.json")))!.AsObject();
        config["model_cfg"]!["vision_cfg"]!["image_size"] = 48;
        File.WriteAllText(folder.File("c48.json"), config.ToJsonString());
        string message = Assert.Throws<CheckpointException>(() => ClipModel.Load(weights, new ClipModelOptions { ConfigurationPath = folder.File("c48.json") })).Message;
        Assert.Contains("--image-size 32", message, StringComparison.Ordinal);

        using ClipModel own = ClipModel.Load(TestData.Path("towers", "vit-gelu"));
        using ClipModel resized = ClipModel.Load(weights, new ClipModelOptions { ConfigurationPath = folder.File("c48.json"), ImageSize = (32, 32) });
        float[] pixels = [.. Enumerable.Range(0, 3 * 32 * 32).Select(static i => MathF.Sin(i))], expected = new float[own.EmbedDimension], found = new float[own.EmbedDimension];
        own.EncodePixels(pixels, expected);
        resized.EncodePixels(pixels, found);
        Assert.Equal(expected, found);
    }

    [Fact]
    public void NotANumberInPixelsIsRefusedByTheImagesNumber()
    {
        using ClipModel model = ClipModel.Load(TestData.Path("towers", "vit-gelu"));
        float[] pixels = new float[2 * 3 * 32 * 32];
        pixels[^1] = float.NaN;
        Assert.Contains("image 2 of the pixels", Assert.Throws<BadInputException>(() => model.EncodePixels(pixels, new float[2 * model.EmbedDimension])).Message, StringComparison.Ordinal);
        pixels[^1] = 0;
        pixels[0] = float.PositiveInfinity;
        Assert.Contains("image 1 of the pixels", Assert.Throws<BadInputException>(() => model.EncodePixels(pixels, new float[2 * model.EmbedDimension])).Message, StringComparison.Ordinal);
    }

    /// <summary>Finite weights whose features overflow: nothing comes out, and the sentence is named.</summary>
    [Fact]
    public void AFeatureThatIsNotFiniteIsRefusedByItsName()
    {
        using var folder = new TemporaryFolder();
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), folder.File("open_clip_config.json"));
        using (ICheckpoint original = Checkpoint.Open(TestData.Path("towers", "vit-gelu")))
        {
            var writer = new SafetensorsWriter();
            foreach (StoredTensor tensor in original.Tensors.Values)
            {
                if (tensor.Name is "ln_final.weight" or "visual.ln_post.weight")
                    writer.Add(tensor.Name, Enumerable.Repeat(3e38f, (int)tensor.ElementCount).ToArray(), tensor.Dimensions.ToArray());
                else
                    writer.Add(original, tensor.Name);
            }

            writer.Write(folder.File("open_clip_model.safetensors"));
        }

        using ClipModel model = ClipModel.Load(folder.Root);
        Assert.Contains("sentence 1 of the ids", Assert.Throws<BadInputException>(() => model.EncodeTokens([510, 3, 511], 3, new float[model.EmbedDimension])).Message, StringComparison.Ordinal);
        Assert.Contains("image 1 of the pixels", Assert.Throws<BadInputException>(() => model.EncodePixels(new float[3 * 32 * 32], new float[model.EmbedDimension])).Message, StringComparison.Ordinal);
    }

    /// <summary>exp(1000) is no number that scores could be multiplied by.</summary>
    [Fact]
    public void AnInfiniteScaleIsRefusedByItsName()
    {
        using var folder = new TemporaryFolder();
        File.Copy(TestData.Path("towers", "vit-gelu", "open_clip_config.json"), folder.File("open_clip_config.json"));
        using (ICheckpoint original = Checkpoint.Open(TestData.Path("towers", "vit-gelu")))
        {
            var writer = new SafetensorsWriter();
            foreach (StoredTensor tensor in original.Tensors.Values.Where(static tensor => tensor.Name != "logit_scale"))
                writer.Add(original, tensor.Name);
            writer.Add("logit_scale", new float[] { 1000 });
            writer.Write(folder.File("open_clip_model.safetensors"));
        }

        Assert.Contains("logit_scale", Assert.Throws<CheckpointException>(() => ClipModel.Load(folder.Root)).Message, StringComparison.Ordinal);
    }

    private static int CheckTypes(JsonElement section)
    {
        int read = 0;
        foreach (JsonProperty property in section.EnumerateObject())
        {
            if (!s_floats.Contains(property.Name) && !s_integers.Contains(property.Name))
                continue;
            read++;
            Assert.True(IsFloat(property.Value) == s_floats.Contains(property.Name), $"{property.Name} is {property.Value.GetRawText()}");
        }

        return read;
    }

    // As Python's json tells float from int: by a point or an exponent.
    private static bool IsFloat(JsonElement number) => number.ValueKind == JsonValueKind.Number && number.GetRawText().AsSpan().ContainsAny(".eE");

    private static void WriteSteps(string path, double mean, bool isNested)
    {
        var steps = new JsonObject
        {
            ["image_processor_type"] = "CLIPImageProcessor",
            ["image_mean"] = new JsonArray(mean, mean, mean),
            ["image_std"] = new JsonArray(0.5, 0.5, 0.5),
            ["size"] = new JsonObject { ["shortest_edge"] = 32 },
            ["crop_size"] = new JsonObject { ["height"] = 32, ["width"] = 32 },
        };
        File.WriteAllText(path, (isNested ? new JsonObject { ["image_processor"] = steps, ["processor_class"] = "CLIPProcessor" } : steps).ToJsonString());
    }

    private static OpenClipConfig Read(JsonObject config)
    {
        using JsonDocument document = JsonDocument.Parse(config.ToJsonString());
        return OpenClipConfig.Parse(TransformersConfig.ToOpenClip(document.RootElement, preprocessor: null, "config.json"), "config.json");
    }

    private static JsonObject Config() =>
        JsonNode.Parse(TransformersConfig.FromOpenClip(OpenClipConfig.Load(TestData.Path("towers", "vit-gelu", "open_clip_config.json"))).Config)!.AsObject();
}
