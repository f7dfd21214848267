using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A timm transformer for images and open_clip's text transformer as a dual encoder.</summary>
internal sealed class TimmClipModel : IDualEncoder
{
    private readonly TimmClipConfig _config;
    private readonly TimmVision _visual;
    private readonly TextTransformer _text;
    private readonly ModelTowers _towers;

    public TimmClipModel(TimmClipConfig config, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        _config = config;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor of most of these models.
        WeightReader text = towers.HasFlag(ModelTowers.Text) ? weights : weights.CheckingOnly();
        bool isAtRoot = !config.CustomText || weights.Contains("positional_embedding");
        _text = new TextTransformer(config.Text, config.EmbedDimension, isAtRoot ? text : text.Scope("text"));
        weights.AllowUnused(isAtRoot ? "attn_mask" : "text.attn_mask"); // follows from the context length; old checkpoints carry it
        WeightReader visual = (towers.HasFlag(ModelTowers.Image) ? weights : weights.CheckingOnly()).Scope("visual");
        _visual = new TimmVision(config.Vision, config.EmbedDimension, config.HasOwnHead, visual);
        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        if (config.HasLogitBias)
            LogitBias = weights.ReadScalar("logit_bias");
    }

    public string Architecture => _config.Vision.Family;

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer => _config.Text.Tokenizer;

    public int ContextLength => _config.Text.ContextLength;

    public int VocabularySize => _config.Text.VocabularySize;

    public IReadOnlyList<string> Notices => _config.StatesPreprocessing
        ? []
        : [$"{_config.Source}: states no mean and standard deviation of pixels; OpenAI's are used, as open_clip does. Weights trained with others get wrong pixels."];

    public int EmbedDimension => _config.EmbedDimension;

    public int ImageTokens => _config.Vision.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public Shape ImageFeatureShape(int count) => new(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => _config.Text.Pooling == TextPooling.None ? new Shape(count, length, EmbedDimension) : new Shape(count, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        Require(ModelTowers.Image);
        Shape expected = new(pixels.Shape[0], 3, _config.Preprocess.Height, _config.Preprocess.Width);
        if (pixels.Shape != expected)
            throw new ArgumentException($"expected pixels {expected}, found {pixels.Shape}.", nameof(pixels));
        return _visual.Forward(pass, pixels);
    }

    public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        Require(ModelTowers.Text);
        if (length < 1 || length > ContextLength || ids.Length == 0 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of 1 to {ContextLength} ids, found {ids.Length} ids in sentences of {length}.", nameof(ids));
        return _text.Forward(pass, ids, length);
    }

    private void Require(ModelTowers tower)
    {
        if ((_towers & tower) != tower)
            throw new InvalidOperationException($"The model was loaded without its {(tower == ModelTowers.Image ? "image" : "text")} tower (ClipModelOptions.Towers).");
    }
}
