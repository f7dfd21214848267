namespace ClipEngine.Models;

/// <summary>Parameters and arithmetic of one tower.</summary>
/// <param name="Parameters">Trained numbers.</param>
/// <param name="Operations">Floating-point operations for one image or one sentence, by the rule of <see cref="ModelCost"/>.</param>
internal readonly record struct TowerCost(long Parameters, long Operations);

/// <summary>
/// What a model of two towers costs, computed from its configuration alone.
/// </summary>
/// <remarks>
/// The counting rule is the one behind open_clip's published table, and behind Table 1 of the audit paper: a multiply-add is two
/// operations; counted are convolutions, all linear layers, the two matrix products of attention over all pairs of
/// positions (a causal mask saves nothing) and the projections; not counted are normalisation, activation, softmax, bias,
/// residuals and embedding look-ups. Image and text are one of each, the sentence at full context length.
/// The logit scale is one parameter beside the towers.
/// </remarks>
internal sealed record ModelCost
{
    /// <summary>The image tower.</summary>
    public required TowerCost Image { get; init; }

    /// <summary>The text tower.</summary>
    public required TowerCost Text { get; init; }

    /// <summary>Parameters of both towers and the logit scale (and bias).</summary>
    public required long Parameters { get; init; }

    /// <summary>Operations of one image and one sentence.</summary>
    public long Operations => Image.Operations + Text.Operations;

    /// <summary>Counts a model.</summary>
    /// <param name="config">Two plain transformers; class token, positions and norms as the configuration says.</param>
    /// <exception cref="NotSupportedException">A ResNet, an attentional pooler or a caption decoder: their cost is not computed.</exception>
    internal static ModelCost Of(OpenClipConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (!IsCounted(config.Vision) || config.CaptionDecoder is not null)
            throw new NotSupportedException("The cost is computed for plain vision and text transformers only.");
        TowerCost image = OfImageTower(config.Vision, config.EmbedDimension);
        TowerCost text = OfTextTower(config.Text, config.EmbedDimension);
        return new ModelCost { Image = image, Text = text, Parameters = image.Parameters + text.Parameters + 1 + (config.HasLogitBias ? 1 : 0) };
    }

    /// <summary>Whether the cost of such a tower is computed.</summary>
    internal static bool IsCounted(VisionConfig vision) => !vision.IsResNet && vision.AttentionalPool == AttentionalPooling.None;

    internal static TowerCost OfImageTower(VisionConfig vision, long embedDimension)
    {
        long width = vision.Width, patches = (long)vision.GridHeight * vision.GridWidth, tokens = patches + 1;
        long patchWeights = 3L * vision.PatchSize * vision.PatchSize * width;
        TowerCost blocks = OfBlocks(vision.Layers[0], width, vision.HiddenWidth, tokens, vision.HasLayerScale);
        long positions = tokens * width, norms = 2 * width * (vision.HasPreNorm ? 2 : 1), projection = width * embedDimension;
        return new TowerCost(
            patchWeights + width + positions + norms + projection + blocks.Parameters,
            (2 * patchWeights * patches) + (2 * projection) + blocks.Operations);
    }

    internal static TowerCost OfTextTower(TextConfig text, long embedDimension)
    {
        long width = text.Width, tokens = text.ContextLength + (text.EmbedsClassToken ? 1 : 0);
        TowerCost blocks = OfBlocks(text.Layers, width, text.HiddenWidth, tokens, text.HasLayerScale);
        long projection = text.HasProjection ? width * embedDimension : 0;
        long bias = text.HasProjection && text.HasProjectionBias ? embedDimension : 0;
        long embeddings = (text.VocabularySize + tokens + (text.EmbedsClassToken ? 1 : 0)) * width;
        return new TowerCost(embeddings + (2 * width) + projection + bias + blocks.Parameters, (2 * projection) + blocks.Operations);
    }

    internal static TowerCost OfBlocks(long layers, long width, long hidden, long tokens, bool hasLayerScale)
    {
        // in_proj, out_proj, c_fc and c_proj with their biases; two norms; two scales.
        long weights = (4 * width * width) + (2 * width * hidden);
        long rest = (5 * width) + hidden + (4 * width) + (hasLayerScale ? 2 * width : 0);
        return new TowerCost(layers * (weights + rest), layers * 2 * ((weights * tokens) + (2 * tokens * tokens * width)));
    }
}
