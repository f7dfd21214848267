using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>An image tower and a text tower as a dual encoder (open_clip's <c>CLIP</c>, <c>CustomTextCLIP</c>, and <c>CoCa</c> without its captions).</summary>
internal class TwoTowerModel : IDualEncoder
{
    private readonly ModelTowers _towers;

    public TwoTowerModel(TwoTowerConfig config, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        Config = config;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor, and two copies of it beside all other weights would be the peak of memory.
        Text = config.Text.Build(Reader(ModelTowers.Text), config.EmbedDimension);
        Image = config.Image.Build(Reader(ModelTowers.Image).Scope("visual"), config.EmbedDimension);
        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        if (config.HasLogitBias)
            LogitBias = weights.ReadScalar("logit_bias");

        WeightReader Reader(ModelTowers tower) => towers.HasFlag(tower) ? weights : weights.CheckingOnly();
    }

    public virtual string Architecture => Config.CaptionDecoder is null ? Config.Family : $"{Config.Family}, both towers of CoCa";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => Config.Preprocess;

    public PatchPacking? Packing => Config.Image.Packing;

    public TokenizerConfig Tokenizer => Config.Text.Tokenizer;

    public int ContextLength => Config.Text.ContextLength;

    public int VocabularySize => Config.Text.VocabularySize;

    public IReadOnlyList<string> Notices => Config.Notices;

    public int EmbedDimension => Config.EmbedDimension;

    public int ImageTokens => Image.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public IImagePreprocessor CreatePreprocessor(PreprocessOptions options) => Packing is { } packing ? new PatchPreprocessor(options, packing) : new ImagePreprocessor(options);

    public Shape ImageFeatureShape(int count) => Image.FeatureTokens is { } tokens ? new Shape(count, tokens, EmbedDimension) : new Shape(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => Text.IsPooled ? new Shape(count, EmbedDimension) : new Shape(count, length, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        Require(ModelTowers.Image);
        CheckPixels(pixels);
        return AsReturned(pass, Image.Forward(pass, pixels));
    }

    public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        Require(ModelTowers.Text);
        if (length < 1 || length > ContextLength || ids.Length == 0 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of 1 to {ContextLength} ids, found {ids.Length} ids in sentences of {length}.", nameof(ids));
        return AsReturned(pass, Text.Forward(pass, ids, length));
    }

    /// <summary>The configuration.</summary>
    protected TwoTowerConfig Config { get; }

    /// <summary>The image tower.</summary>
    protected IImageTower Image { get; }

    /// <summary>The text tower.</summary>
    protected ITextTower Text { get; }

    /// <summary>Refuses pixels of another size.</summary>
    protected void CheckPixels(in Tensor pixels)
    {
        Shape expected = new(pixels.Shape[0], 3, Config.Preprocess.Height, Config.Preprocess.Width);
        if (pixels.Shape != expected)
            throw new ArgumentException($"expected pixels {expected}, found {pixels.Shape}.", nameof(pixels));
    }

    private void Require(ModelTowers tower)
    {
        if ((_towers & tower) != tower)
            throw new InvalidOperationException($"The model was loaded without its {(tower == ModelTowers.Image ? "image" : "text")} tower (ClipModelOptions.Towers).");
    }

    /// <summary>open_clip's <c>CoCa.encode_image</c> and <c>encode_text</c> normalise unless told not to, <c>CLIP</c>'s do not.</summary>
    private Tensor AsReturned(IPass pass, in Tensor features) => Config.CaptionDecoder is null ? features : pass.L2Normalize(features);
}
