using System.Globalization;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>
/// What the shapes of the weights alone say about a CLIP model with a vision transformer. Attention heads and the activation do
/// not show in any shape: they are never guessed here.
/// </summary>
/// <param name="EmbedDimension">The length of a feature.</param>
/// <param name="VisionWidth">The image tower's width.</param>
/// <param name="VisionLayers">Its blocks.</param>
/// <param name="PatchSize">Its patches, in pixels.</param>
/// <param name="ImageSize">The image's side where the grid is square, else 0.</param>
/// <param name="TextWidth">The text tower's width.</param>
/// <param name="TextLayers">Its blocks.</param>
/// <param name="ContextLength">Tokens of a sentence.</param>
/// <param name="VocabularySize">Rows of the embedding table.</param>
internal sealed record TowerOutline(
    int EmbedDimension, int VisionWidth, int VisionLayers, int PatchSize, int ImageSize, int TextWidth, int TextLayers, int ContextLength, int VocabularySize)
{
    /// <summary>What messages call the configuration that <see cref="ToOpenAiConfiguration"/> makes.</summary>
    public const string OpenAiSource = "OpenAI's own configuration";

    /// <summary>Reads the outline off the shapes, or null where the checkpoint is no such model.</summary>
    /// <param name="checkpoint">With OpenCLIP's keys.</param>
    public static TowerOutline? Of(ICheckpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        string text = checkpoint.Tensors.ContainsKey("text.token_embedding.weight") ? "text." : "";
        int[]? patches = Sizes(checkpoint, "visual.conv1.weight", 4);
        int[]? positions = Sizes(checkpoint, "visual.positional_embedding", 2);
        int[]? projection = Sizes(checkpoint, "visual.proj", 2);
        int[]? table = Sizes(checkpoint, text + "token_embedding.weight", 2);
        int[]? context = Sizes(checkpoint, text + "positional_embedding", 2);
        if (patches is null || positions is null || projection is null || table is null || context is null || patches[2] != patches[3])
            return null;
        int grid = (int)Math.Round(Math.Sqrt(positions[0] - 1));
        return new TowerOutline(projection[1], patches[0], CountBlocks(checkpoint, "visual.transformer.resblocks."), patches[2],
            grid * grid == positions[0] - 1 ? grid * patches[2] : 0,
            table[1], CountBlocks(checkpoint, text + "transformer.resblocks."), context[0], table[0]);
    }

    /// <summary>
    /// The configuration of one of OpenAI's own archives. Only for those the rest is known: heads 64 wide and QuickGELU, as
    /// OpenAI's <c>build_model</c> has it, and OpenAI's preprocessing.
    /// </summary>
    /// <returns>The JSON text of an <c>open_clip_config.json</c>.</returns>
    public byte[] ToOpenAiConfiguration()
    {
        const int HeadWidth = 64;
        return System.Text.Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $$"""
            {
              "model_cfg": {
                "embed_dim": {{EmbedDimension}},
                "quick_gelu": true,
                "vision_cfg": { "image_size": {{ImageSize}}, "layers": {{VisionLayers}}, "width": {{VisionWidth}}, "patch_size": {{PatchSize}} },
                "text_cfg": { "context_length": {{ContextLength}}, "vocab_size": {{VocabularySize}}, "width": {{TextWidth}}, "heads": {{TextWidth / HeadWidth}}, "layers": {{TextLayers}} }
              },
              "preprocess_cfg": {
                "mean": [0.48145466, 0.4578275, 0.40821073],
                "std": [0.26862954, 0.26130258, 0.27577711],
                "interpolation": "bicubic",
                "resize_mode": "shortest"
              }
            }

            """));
    }

    /// <summary>The outline as a sentence.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"image tower {VisionWidth} wide, {VisionLayers} blocks, patch {PatchSize}, {(ImageSize > 0 ? $"{ImageSize} px" : "not square")}; text tower {TextWidth} wide, {TextLayers} blocks, context {ContextLength}, vocabulary {VocabularySize}; features of {EmbedDimension}");

    private static int[]? Sizes(ICheckpoint checkpoint, string key, int rank) =>
        checkpoint.Tensors.TryGetValue(key, out StoredTensor tensor) && tensor.Dimensions.Length == rank && tensor.Dimensions.All(static size => size is > 0 and <= int.MaxValue)
            ? [.. tensor.Dimensions.Select(static size => (int)size)]
            : null;

    private static int CountBlocks(ICheckpoint checkpoint, string prefix)
    {
        int count = 0;
        while (checkpoint.Tensors.ContainsKey($"{prefix}{count}.ln_1.weight"))
            count++;
        return count;
    }
}
