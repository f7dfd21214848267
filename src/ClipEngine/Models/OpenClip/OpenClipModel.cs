using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>open_clip's <c>CLIP</c>, <c>CustomTextCLIP</c> and <c>CoCa</c> as a dual encoder.</summary>
internal sealed class OpenClipModel : IDualEncoder
{
    private readonly OpenClipConfig _config;
    private readonly IImageTower _visual;
    private readonly TextTransformer _text;
    private readonly ModelTowers _towers;

    public OpenClipModel(OpenClipConfig config, (int Height, int Width) trainedGrid, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        _config = config;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor, and two copies of it beside all other weights would be the peak of memory.
        // Checkpoints from before custom_text keep the text tower at the root; open_clip moves it below text. while loading.
        WeightReader text = towers.HasFlag(ModelTowers.Text) ? weights : weights.CheckingOnly();
        bool isAtRoot = !config.CustomText || weights.Contains("positional_embedding");
        _text = new TextTransformer(config.Text, config.EmbedDimension, isAtRoot ? text : text.Scope("text"));
        WeightReader visual = (towers.HasFlag(ModelTowers.Image) ? weights : weights.CheckingOnly()).Scope("visual");
        _visual = config.Vision.IsResNet
            ? new ModifiedResNet(config.Vision, config.EmbedDimension, visual)
            : new VisionTransformer(config.Vision, trainedGrid, config.EmbedDimension, visual);

        weights.AllowUnused(isAtRoot ? "attn_mask" : "text.attn_mask"); // follows from the context length; old checkpoints carry it
        if (config.CaptionDecoder is not null)
            weights.AllowUnused("text_decoder."); // known, and not needed for features

        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        if (config.HasLogitBias)
            LogitBias = weights.ReadScalar("logit_bias");
    }

    public string Architecture => _config.CaptionDecoder is null ? "open_clip" : "open_clip CoCa, both towers";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer => _config.Text.Tokenizer;

    public int ContextLength => _config.Text.ContextLength;

    public int VocabularySize => _config.Text.VocabularySize;

    public IReadOnlyList<string> Notices =>
    [
        .. _config.StatesPreprocessing
            ? Array.Empty<string>()
            : [$"{_config.Source}: states no mean and standard deviation of pixels; OpenAI's are used, as open_clip does. Weights trained with others get wrong pixels."],
        .. _config.Text is { EmbedsClassToken: true, IsCausal: false }
            ? [$"{_config.Source}: embed_cls with no_causal_mask hides padding, as open_clip 3 does; open_clip 2 did not, and weights trained with it want that."]
            : Array.Empty<string>(),
    ];

    public int EmbedDimension => _config.EmbedDimension;

    public int ImageTokens => _visual.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public Shape ImageFeatureShape(int count) => _visual.FeatureTokens is { } tokens ? new Shape(count, tokens, EmbedDimension) : new Shape(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => _config.Text is { Pooling: TextPooling.None, EmbedsClassToken: false }
        ? new Shape(count, length, EmbedDimension)
        : new Shape(count, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        Require(ModelTowers.Image);
        Shape expected = new(pixels.Shape[0], 3, _config.Vision.ImageHeight, _config.Vision.ImageWidth);
        if (pixels.Shape != expected)
            throw new ArgumentException($"expected pixels {expected}, found {pixels.Shape}.", nameof(pixels));
        return AsReturned(pass, _visual.Forward(pass, pixels));
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
