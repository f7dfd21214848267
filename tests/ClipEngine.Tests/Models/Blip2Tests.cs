using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Models;

/// <summary>What of BLIP-2 the goldens of <see cref="BlipGoldenTests"/> do not show: its tokenizer, refused files, the published sizes.</summary>
public sealed class Blip2Tests : IDisposable
{
    private const string Published = """{"architectures": ["Blip2ForImageTextRetrieval"], "image_text_hidden_size": 256, "image_token_index": 30523, "model_type": "blip-2", "num_query_tokens": 32, "qformer_config": {"model_type": "blip_2_qformer", "use_qformer_text_input": true, "vocab_size": 30523}, "text_config": {"model_type": "opt"}, "vision_config": {"model_type": "blip_2_vision_model"}}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static string Golden => TestData.SharedPath("goldens", "blip", "transformers-blip2-tiny");

    [SkippableFact]
    public void SentencesHaveTheIdsOfTheProcessorWithoutItsPlaceholders()
    {
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(Golden, "golden.safetensors"));
        using JsonDocument about = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Golden, "golden.json")));
        int length = (int)golden.Tensors["text_ids"].Dimensions[1];
        // The golden's sentences are cut to 22 ids.
        ModelPlan plan = ModelPlan.Read(Golden);
        ITokenizer tokenizer = ModelTokenizer.Choose(plan.Source, Golden, plan.Tokenizer, length, plan.VocabularySize);
        long[] expected = golden.ReadInt64s("text_ids");
        int row = 0;
        foreach (JsonElement text in about.RootElement.GetProperty("texts").EnumerateArray())
        {
            int[] ids = new int[length];
            tokenizer.Encode(text.GetString()!, ids);
            Assert.Equal(expected.AsSpan(row++ * length, length).ToArray(), ids.Select(static id => (long)id));
        }

        Assert.Equal(5, row);
        Assert.Equal(plan.ContextLength, ModelTokenizer.Load(Golden).ContextLength);
    }

    /// <summary>The file's length less four bytes a parameter is its header; the two published checkpoints differ in their positions alone.</summary>
    [Fact]
    public void ThePublishedSizesAreThoseOfThePublishedFiles()
    {
        const long Base = 4688228520, Coco = 4690593960;
        ModelPlan plan = Plan(Published), coco = Plan(Published.Replace("\"vision_config\": {", "\"vision_config\": {\"image_size\": 364, ", StringComparison.Ordinal));
        long parameters = plan.Cost!.Parameters;
        Assert.InRange(Base - (4 * parameters), 50_000, 300_000);
        Assert.Equal(Coco - Base, 4 * (coco.Cost!.Parameters - parameters));
        Assert.Equal(parameters, plan.Cost.Image.Parameters + plan.Cost.Text.Parameters);
        Assert.Contains("1408 wide, 39 blocks, patch 14, 224 px", plan.Outline!, StringComparison.Ordinal);
        Assert.Equal(ModelAbilities.Embed | ModelAbilities.ScorePairs, plan.Abilities);
        Assert.Equal((30524, 512, 32), (plan.VocabularySize, plan.ContextLength, plan.ImageVectors));
        // By hand: ViT-g at 257 tokens, 39 blocks of four products with 1408 x 1408 and two with 1408 x 6144, and attention; keys and values for six layers.
        const long Tower = (2L * 257 * 39 * ((4L * 1408 * 1408) + (2L * 1408 * 6144) + (2L * 257 * 1408))) + (2L * 256 * 1408 * 3 * 14 * 14);
        Assert.Equal(Tower + (6 * 2L * 2 * 257 * 1408 * 768), plan.Cost.Pair!.Value.ImageOperations);
    }

    [SkippableTheory]
    [InlineData("qformer_config", "encoder_hidden_size", "48", "qformer_config.encoder_hidden_size", "hidden_size 40")]
    [InlineData("qformer_config", "use_qformer_text_input", "false", "qformer_config.use_qformer_text_input", "true")]
    [InlineData("qformer_config", "num_attention_heads", "5", "qformer_config.num_attention_heads", "divisor")]
    [InlineData("qformer_config", "cross_attention_frequency", "0", "qformer_config.cross_attention_frequency", "from 1")]
    [InlineData("vision_config", "qkv_bias", "false", "vision_config.qkv_bias", "true")]
    [InlineData("vision_config", "patch_size", "29", "vision_config.patch_size", "28")]
    [InlineData("vision_config", "num_attention_heads", "\"four\"", "vision_config.num_attention_heads", "whole number")]
    [InlineData(null, "num_query_tokens", "-1", "num_query_tokens", "from 1")]
    [InlineData(null, "architectures", "[\"Blip2ForConditionalGeneration\"]", "Blip2ForConditionalGeneration", "Blip2ForImageTextRetrieval")]
    public void ABrokenConfigurationIsRefusedByItsKey(string? section, string key, string value, string name, string reason)
    {
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(Golden, "config.json")))!;
        (section is null ? config : config[section]!)[key] = JsonNode.Parse(value);
        File.WriteAllText(_folder.File("config.json"), config.ToJsonString());
        BadInputException refused = Assert.Throws<BadInputException>(() => ModelPlan.Read(_folder.Root));
        Assert.Contains("config.json", refused.Message, StringComparison.Ordinal);
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("query_tokens")]
    [InlineData("qformer.encoder.layer.2.crossattention.attention.key.weight")]
    [InlineData("qformer.encoder.layer.1.intermediate_query.dense.bias")]
    [InlineData("itm_head.weight")]
    public void AMissingTensorIsRefusedByItsKey(string key) => AssertRefused(key, shape: null);

    [SkippableTheory]
    [InlineData("query_tokens")]
    [InlineData("vision_projection.weight")]
    public void ATensorOfAnotherShapeIsRefusedByItsKey(string key) => AssertRefused(key, shape: [7, 3]);

    /// <summary>A sentence that does not begin as the first one does, and the image's placeholder inside a sentence.</summary>
    [SkippableFact]
    public void PlaceholdersStandBeforeEverySentenceOrNone()
    {
        using PairModel model = PairModel.Load(Golden);
        float[] pixels = new float[3 * 28 * 28], logits = new float[4];
        int[] with = [.. Enumerable.Repeat(161, 6), 4, 20, 5], without = [4, 20, 5, 0, 0, 0, 0, 0, 0];
        model.ScoreTokens(pixels, without, 9, logits.AsSpan(0, 2));
        float[] alone = logits[..2];
        foreach (int[] both in (int[][])[[.. with, .. with], [.. with, .. without], [.. without, .. with]])
        {
            model.ScoreTokens(pixels, both, 9, logits);
            Assert.Equal(alone, logits[..2]);
            Assert.Equal(alone, logits[2..]);
        }

        // Fewer placeholders than queries, one inside a sentence, none but placeholders, and a word beyond the table.
        foreach (int[] wrong in (int[][])[[161, 4, 20, 5], [4, 161, 20, 5], [.. Enumerable.Repeat(161, 6)], [4, 163, 5]])
        {
            BadInputException refused = Assert.Throws<BadInputException>(() => model.ScoreTokens(pixels, wrong, wrong.Length, new float[2]));
            Assert.StartsWith("sentences", refused.Message, StringComparison.Ordinal);
        }
    }

    private void AssertRefused(string key, long[]? shape)
    {
        foreach (string file in Directory.GetFiles(Golden).Where(static file => !file.EndsWith(".safetensors", StringComparison.Ordinal)))
            File.Copy(file, _folder.File(Path.GetFileName(file)));
        using (ICheckpoint stored = Checkpoint.OpenAsStored(Path.Combine(Golden, "model.safetensors")))
        {
            var writer = new SafetensorsWriter();
            foreach (string name in stored.Tensors.Keys.Where(name => name != key))
                writer.Add(stored, name);
            if (shape is not null)
                writer.Add(key, new float[shape.Aggregate(static (a, b) => a * b)], shape);
            writer.Write(_folder.File("model.safetensors"));
        }

        // The image tower's keys and the projections go by BLIP's names inside.
        string shown = key.Replace("vision_projection", "vision_proj", StringComparison.Ordinal).Replace("crossattention.attention", "crossattention.self", StringComparison.Ordinal);
        CheckpointException refused = Assert.Throws<CheckpointException>(() => PairModel.Load(_folder.Root));
        Assert.Contains(shown, refused.Message, StringComparison.Ordinal);
    }

    private static ModelPlan Plan(string json) => ModelFamilies.Plan(new ModelFiles(JsonDocument.Parse(json).RootElement, "config.json"));
}
