using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP and SigLIP 2, in open_clip's layout (timm's image tower) and in transformers'; SigLIP 2 for images of any shape in the latter.</summary>
internal sealed class SigLipFamily : IModelFamily
{
    public string Name => "SigLIP";

    public bool Recognizes(ModelFiles files)
    {
        if (files.ModelType is "siglip" or "siglip2")
            return true;
        JsonElement model = OpenClipFamily.Model(files.Configuration);
        return model.ValueKind == JsonValueKind.Object && model.TryGetProperty("vision_cfg", out JsonElement vision) && vision.ValueKind == JsonValueKind.Object
            && vision.TryGetProperty("timm_model_name", out JsonElement name) && name.ValueKind == JsonValueKind.String
            && name.GetString()!.Contains("_siglip_", StringComparison.Ordinal) && !HasForeignText(model);
    }

    public ModelPlan Plan(ModelFiles files) => new SigLipPlan(Name, files.ModelType is "siglip" or "siglip2" ? SigLipConfig.ReadTransformers(files) : SigLipConfig.ReadOpenClip(files));

    /// <summary>NLLB-CLIP puts SigLIP's image tower beside a text tower of transformers.</summary>
    private static bool HasForeignText(JsonElement model) => model.TryGetProperty("text_cfg", out JsonElement text) && text.ValueKind == JsonValueKind.Object
        && text.TryGetProperty("hf_model_name", out JsonElement name) && name.ValueKind == JsonValueKind.String && name.GetString() is { Length: > 0 };
}

/// <summary>A SigLIP model's plan.</summary>
internal sealed class SigLipPlan(string family, SigLipConfig config) : ModelPlan
{
    /// <summary>transformers' keys in open_clip's and timm's words. The pool's fused projection keeps its form: the tower reads either.</summary>
    private static readonly KeyTable s_keys = new(
        ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"],
        ("text_model.embeddings.token_embedding.weight", "text.token_embedding.weight"),
        ("text_model.embeddings.position_embedding.weight", "text.positional_embedding"),
        ("text_model.encoder.layers.#.layer_norm1.", "text.transformer.resblocks.#.ln_1."),
        ("text_model.encoder.layers.#.layer_norm2.", "text.transformer.resblocks.#.ln_2."),
        ("text_model.encoder.layers.#.self_attn.?.", "text.transformer.resblocks.#.attn.in_proj_"),
        ("text_model.encoder.layers.#.self_attn.out_proj.", "text.transformer.resblocks.#.attn.out_proj."),
        ("text_model.encoder.layers.#.mlp.fc1.", "text.transformer.resblocks.#.mlp.c_fc."),
        ("text_model.encoder.layers.#.mlp.fc2.", "text.transformer.resblocks.#.mlp.c_proj."),
        ("text_model.final_layer_norm.", "text.ln_final."),
        ("text_model.head.", "text.text_projection."),
        ("vision_model.embeddings.patch_embedding.", "visual.trunk.patch_embed.proj."),
        ("vision_model.embeddings.position_embedding.weight", "visual.trunk.pos_embed"),
        ("vision_model.encoder.layers.#.layer_norm1.", "visual.trunk.blocks.#.norm1."),
        ("vision_model.encoder.layers.#.layer_norm2.", "visual.trunk.blocks.#.norm2."),
        ("vision_model.encoder.layers.#.self_attn.?.", "visual.trunk.blocks.#.attn.qkv."),
        ("vision_model.encoder.layers.#.self_attn.out_proj.", "visual.trunk.blocks.#.attn.proj."),
        ("vision_model.encoder.layers.#.mlp.fc1.", "visual.trunk.blocks.#.mlp.fc1."),
        ("vision_model.encoder.layers.#.mlp.fc2.", "visual.trunk.blocks.#.mlp.fc2."),
        ("vision_model.post_layernorm.", "visual.trunk.norm."),
        ("vision_model.head.probe", "visual.trunk.attn_pool.latent"),
        ("vision_model.head.attention.in_proj_weight", "visual.trunk.attn_pool.in_proj_weight"),
        ("vision_model.head.attention.in_proj_bias", "visual.trunk.attn_pool.in_proj_bias"),
        ("vision_model.head.attention.out_proj.", "visual.trunk.attn_pool.proj."),
        ("vision_model.head.layernorm.", "visual.trunk.attn_pool.norm."),
        ("vision_model.head.mlp.fc1.", "visual.trunk.attn_pool.mlp.fc1."),
        ("vision_model.head.mlp.fc2.", "visual.trunk.attn_pool.mlp.fc2."));

    public override string Family => family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => ModelAbilities.Embed;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override PatchPacking? Packing => config.Packing;

    public override TokenizerConfig Tokenizer => config.Text.Tokenizer;

    public override int ContextLength => config.Text.ContextLength;

    public override int VocabularySize => config.Text.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"image tower {config.Vision.Width} wide, {config.Vision.Layers} blocks, patch {config.Vision.PatchSize}, {(config.Packing is { } packing ? $"images of any shape in at most {packing.Maximum} patches" : $"{config.Vision.ImageHeight} px")}, pooled by a learned query; text tower {config.Text.Width} wide, {config.Text.Layers} blocks, context {config.Text.ContextLength}, vocabulary {config.Text.VocabularySize}; features of {config.EmbedDimension}");

    public override ModelCost Cost => SigLipCost.Of(config);

    public override ICheckpoint Arrange(ICheckpoint checkpoint) => config.IsTransformers ? s_keys.Apply(checkpoint) : checkpoint;

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        if (options.ImageSize is not { } size)
            return new SigLipModel(config, weights, backend, options.Towers);
        if (config.Packing is not null)
            throw new BadInputException("image size", "the model takes images of any shape.", "Leave the image size out.");
        int patch = config.Vision.PatchSize;
        if (Math.Min(size.Height, size.Width) < patch || Math.Max(size.Height, size.Width) > OpenClipConfigReader.LargestSide)
            throw new BadInputException("image size", $"expected {patch} to {OpenClipConfigReader.LargestSide} pixels a side; found {size.Height} x {size.Width}.");
        SigLipConfig sized = config with
        {
            Vision = config.Vision with { ImageHeight = size.Height, ImageWidth = size.Width },
            Preprocess = config.Preprocess with { Height = size.Height, Width = size.Width },
        };
        return new SigLipModel(sized, weights, backend, options.Towers);
    }
}
