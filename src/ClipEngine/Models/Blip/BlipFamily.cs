using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP: contrastive features and the matching head (transformers' <c>BlipForImageTextRetrieval</c>), or captions (<c>BlipForConditionalGeneration</c>), in the authors' layout and in transformers'.</summary>
internal sealed class BlipFamily : IModelFamily
{
    public string Name => "BLIP";

    public bool Recognizes(ModelFiles files) => files.ModelType == "blip" || IsAuthors(files);

    public ModelPlan Plan(ModelFiles files)
    {
        if (IsAuthors(files))
            return new BlipPlan(Name, BlipConfig.ReadAuthors(files));
        if (BlipConfig.Architecture(files) is { } name and not ("BlipForImageTextRetrieval" or "BlipForConditionalGeneration"))
        {
            throw new BadInputException(files.Source, $"describes {BadInputException.Escape(name, 60)}, which is not built.",
                "Built are BlipForImageTextRetrieval and BlipForConditionalGeneration.");
        }

        return new BlipPlan(Name, BlipConfig.ReadTransformers(files));
    }

    private static bool IsAuthors(ModelFiles files) => files.ModelType is null && files.Configuration.ValueKind == JsonValueKind.Object
        && files.Configuration.TryGetProperty("vision", out JsonElement vision) && vision.ValueKind == JsonValueKind.Object && vision.TryGetProperty("patch_size", out _)
        && files.Configuration.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.Object && text.TryGetProperty("hidden_size", out _);
}

/// <summary>A BLIP model's plan.</summary>
internal sealed class BlipPlan(string family, BlipConfig config) : ModelPlan
{
    /// <summary>The image tower's keys in transformers' words and in the authors'; BLIP-2 shares it.</summary>
    public static readonly (string From, string To)[] VisionKeys =
    [
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
        ("vision_model.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj."),
        ("vision_model.encoder.layers.#.layer_norm1.", "visual_encoder.blocks.#.norm1."),
        ("vision_model.encoder.layers.#.layer_norm2.", "visual_encoder.blocks.#.norm2."),
        ("vision_model.encoder.layers.#.self_attn.qkv.", "visual_encoder.blocks.#.attn.qkv."),
        ("vision_model.encoder.layers.#.self_attn.projection.", "visual_encoder.blocks.#.attn.proj."),
        ("vision_model.encoder.layers.#.mlp.fc1.", "visual_encoder.blocks.#.mlp.fc1."),
        ("vision_model.encoder.layers.#.mlp.fc2.", "visual_encoder.blocks.#.mlp.fc2."),
        ("vision_model.post_layernorm.", "visual_encoder.norm."),
    ];

    /// <summary>transformers' keys in the authors' words. Self-attention's three matrices become one in either layout.</summary>
    private static readonly KeyTable s_keys = new(
        ["text_encoder.embeddings.position_ids", "text_decoder.bert.embeddings.position_ids"],
        [
            .. VisionKeys,
            ("text_encoder.encoder.layer.#.attention.self.?.", "text_encoder.encoder.layer.#.attention.self.qkv."),
            ("text_decoder.bert.encoder.layer.#.attention.self.?.", "text_decoder.bert.encoder.layer.#.attention.self.qkv."),
        ]);

    public override string Family => family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => config.EmbedDimension is null ? ModelAbilities.Caption : ModelAbilities.Embed | ModelAbilities.ScorePairs;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override TokenizerConfig Tokenizer { get; } = new() { ModelType = "blip" };

    public override int ContextLength => config.Text.Positions;

    public override int VocabularySize => config.Text.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"image tower {config.Vision.Outline}; text {config.Text.Width} wide, {config.Text.Layers} layers that attend to the image, context {config.Text.Positions}, vocabulary {config.Text.VocabularySize}{(config.EmbedDimension is { } length ? $"; features of {length}" : "")}");

    public override ICheckpoint Arrange(ICheckpoint checkpoint) => s_keys.Apply(checkpoint);

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        if (options.ImageSize is not null)
            throw new BadInputException("image size", "BLIP runs at the size that it was trained at.", "Leave the image size out.");
        return config.EmbedDimension is { } length ? new BlipRetrieval(config, length, weights, backend) : new BlipCaptioner(config, weights, backend);
    }
}
