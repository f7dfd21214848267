using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Tokenization;

namespace ClipEngine.Models;

/// <summary>open_clip's own image towers: a vision transformer or a ModifiedResNet.</summary>
/// <param name="Config"><c>vision_cfg</c>.</param>
internal sealed record OpenClipImageTower(VisionConfig Config) : ImageTowerConfig
{
    /// <summary>The grid of patches that the configuration was written for; set where the model runs at another image size.</summary>
    public (int Height, int Width)? ConfiguredGrid { get; init; }

    public override string? Family => null;

    public override (int Height, int Width) ImageSize => (Config.ImageHeight, Config.ImageWidth);

    public override string Outline => Config.IsResNet
        ? string.Create(CultureInfo.InvariantCulture, $"ResNet {Config.Width} wide, {string.Join("-", Config.Layers)} blocks, {Config.ImageHeight} x {Config.ImageWidth} px")
        : string.Create(CultureInfo.InvariantCulture, $"{Config.Width} wide, {Config.Layers[0]} blocks, patch {Config.PatchSize}, {Config.ImageHeight} x {Config.ImageWidth} px");

    public override ImageTowerConfig AtSize((int Height, int Width) size)
    {
        if (Config.IsResNet)
            throw new BadInputException("image size", "a ResNet's attention pool has no positions for another size; open_clip does not resize them either.", "Leave the image size out.");
        CheckSize(size, Config.PatchSize);
        return new OpenClipImageTower(Config with { ImageHeight = size.Height, ImageWidth = size.Width }) { ConfiguredGrid = ConfiguredGrid ?? (Config.GridHeight, Config.GridWidth) };
    }

    public override IImageTower Build(WeightReader weights, int embedDimension)
    {
        if (Config.IsResNet)
            return new ModifiedResNet(Config, embedDimension, weights);
        // As open_clip's force_image_size: what the weights have counts, whatever the configuration says.
        (int Height, int Width) trainedGrid = ConfiguredGrid is { } configured ? PositionGrid.GridOf(weights, configured) : (Config.GridHeight, Config.GridWidth);
        return new VisionTransformer(Config, trainedGrid, embedDimension, weights);
    }
}

/// <summary>open_clip's own text tower.</summary>
/// <param name="Config"><c>text_cfg</c>.</param>
/// <param name="CustomText"><c>custom_text</c>: the keys begin with <c>text.</c>.</param>
internal sealed record OpenClipTextTower(TextConfig Config, bool CustomText) : TextTowerConfig
{
    public override string? Family => null;

    public override TokenizerConfig Tokenizer => Config.Tokenizer;

    public override int ContextLength => Config.ContextLength;

    public override int VocabularySize => Config.VocabularySize;

    public override int? EndOfSentence => Config.Pooling == TextPooling.EndOfText ? Config.EndOfTextId : null;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{Config.Width} wide, {Config.Layers} blocks, context {Config.ContextLength}, vocabulary {Config.VocabularySize}");

    /// <summary>The two last ids of CLIP's vocabulary begin and end a sentence (open_clip's defaults 49406 and 49407).</summary>
    public override CaptionTokens? Captions
    {
        get
        {
            int vocabulary = Math.Min(Config.VocabularySize, ClipTokenizer.EndOfText + 1);
            return vocabulary < 2 ? null : new CaptionTokens(Config.Width, vocabulary - 2, vocabulary - 1, Config.PadId);
        }
    }

    public override ITextTower Build(WeightReader weights, int embedDimension)
    {
        // Checkpoints from before custom_text keep the text tower at the root; open_clip moves it below text. while loading.
        WeightReader own = !CustomText || weights.Contains("positional_embedding") ? weights : weights.Scope("text");
        own.AllowUnused("attn_mask"); // follows from the context length; old checkpoints carry it
        return new TextTransformer(Config, embedDimension, own);
    }
}
