using ClipEngine.Checkpoints.Layouts;

namespace ClipEngine.Models;

/// <summary>SigLIP and SigLIP 2 in transformers' layout, for images of one size or, in the latter, of any shape. In OpenCLIP's layout the image tower is one of <see cref="NamedTowers"/>.</summary>
internal sealed class SigLipFamily : IModelFamily
{
    public string Name => "SigLIP";

    public bool Recognizes(ModelFiles files) => files.ModelType is "siglip" or "siglip2";

    public ModelPlan Plan(ModelFiles files) => new TwoTowerPlan(SigLipConfig.Read(files, Name) with { Keys = s_keys });

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
}
