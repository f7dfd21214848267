using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>An image tower and a text tower as a dual encoder (open_clip's <c>CLIP</c>, <c>CustomTextCLIP</c>, and <c>CoCa</c> without its captions).</summary>
internal sealed class TwoTowerModel : IDualEncoder
{
    private readonly TwoTowerConfig _config;
    private readonly IImageTower _image;
    private readonly ITextTower _text;
    private readonly ModelTowers _towers;

    public TwoTowerModel(TwoTowerConfig config, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        _config = config;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor, and two copies of it beside all other weights would be the peak of memory.
        _text = config.Text.Build(Reader(ModelTowers.Text), config.EmbedDimension);
        _image = config.Image.Build(Reader(ModelTowers.Image).Scope("visual"), config.EmbedDimension);
        if (config.CaptionDecoder is not null)
            weights.AllowUnused("text_decoder."); // known, and not needed for features
        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        if (config.HasLogitBias)
            LogitBias = weights.ReadScalar("logit_bias");

        WeightReader Reader(ModelTowers tower) => towers.HasFlag(tower) ? weights : weights.CheckingOnly();
    }

    public string Architecture => _config.CaptionDecoder is null ? _config.Family : $"{_config.Family}, both towers of CoCa";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public PatchPacking? Packing => _config.Image.Packing;

    public TokenizerConfig Tokenizer => _config.Text.Tokenizer;

    public int ContextLength => _config.Text.ContextLength;

    public int VocabularySize => _config.Text.VocabularySize;

    public IReadOnlyList<string> Notices => _config.Notices;

    public int EmbedDimension => _config.EmbedDimension;

    public int ImageTokens => _image.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public IImagePreprocessor CreatePreprocessor(PreprocessOptions options) => Packing is { } packing ? new PatchPreprocessor(options, packing) : new ImagePreprocessor(options);

    public Shape ImageFeatureShape(int count) => _image.FeatureTokens is { } tokens ? new Shape(count, tokens, EmbedDimension) : new Shape(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => _text.IsPooled ? new Shape(count, EmbedDimension) : new Shape(count, length, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        Require(ModelTowers.Image);
        Shape expected = new(pixels.Shape[0], 3, _config.Preprocess.Height, _config.Preprocess.Width);
        if (pixels.Shape != expected)
            throw new ArgumentException($"expected pixels {expected}, found {pixels.Shape}.", nameof(pixels));
        return AsReturned(pass, _image.Forward(pass, pixels));
    }

    public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        Require(ModelTowers.Text);
        if (length < 1 || length > ContextLength || ids.Length == 0 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of 1 to {ContextLength} ids, found {ids.Length} ids in sentences of {length}.", nameof(ids));
        return AsReturned(pass, _text.Forward(pass, ids, length));
    }

    private void Require(ModelTowers tower)
    {
        if ((_towers & tower) != tower)
            throw new InvalidOperationException($"The model was loaded without its {(tower == ModelTowers.Image ? "image" : "text")} tower (ClipModelOptions.Towers).");
    }

    /// <summary>open_clip's <c>CoCa.encode_image</c> and <c>encode_text</c> normalise unless told not to, <c>CLIP</c>'s do not.</summary>
    private Tensor AsReturned(IPass pass, in Tensor features) => _config.CaptionDecoder is null ? features : pass.L2Normalize(features);
}
