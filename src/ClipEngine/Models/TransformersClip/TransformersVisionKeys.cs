namespace ClipEngine.Models;

/// <summary>The keys of transformers' CLIP image tower in OpenCLIP's words, for models that have it beside another text tower.</summary>
internal static class TransformersVisionKeys
{
    /// <summary>Buffers that follow from the sizes; older files hold them.</summary>
    public const string Positions = "vision_model.embeddings.position_ids";

    /// <summary>The entries of a key table. A block lies below <c>encoder.layers</c>, or <c>encoder.layer</c> as AltCLIP has it since transformers 5.</summary>
    public static (string From, string To)[] Entries { get; } =
    [
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.pre_layrnorm.", "visual.ln_pre."), // misspelt there, for good
        ("vision_model.post_layernorm.", "visual.ln_post."),
        ("visual_projection.weight", "visual.proj^T"),
        .. Block("vision_model.encoder.layers.#."),
        .. Block("vision_model.encoder.layer.#."),
    ];

    private static (string From, string To)[] Block(string from) =>
    [
        (from + "layer_norm1.", "visual.transformer.resblocks.#.ln_1."),
        (from + "layer_norm2.", "visual.transformer.resblocks.#.ln_2."),
        (from + "self_attn.?.", "visual.transformer.resblocks.#.attn.in_proj_"),
        (from + "self_attn.out_proj.", "visual.transformer.resblocks.#.attn.out_proj."),
        (from + "mlp.fc1.", "visual.transformer.resblocks.#.mlp.c_fc."),
        (from + "mlp.fc2.", "visual.transformer.resblocks.#.mlp.c_proj."),
    ];
}
