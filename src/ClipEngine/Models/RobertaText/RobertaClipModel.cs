using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>open_clip's image tower and a RoBERTa for sentences as a dual encoder.</summary>
internal sealed class RobertaClipModel : IDualEncoder
{
    private readonly OpenClipConfig _config;
    private readonly IImageTower _visual;
    private readonly RobertaTower _text;
    private readonly ModelTowers _towers;

    public RobertaClipModel(RobertaClipConfig config, (int Height, int Width) trainedGrid, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        _config = config.Base;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor of most of these models.
        WeightReader text = (towers.HasFlag(ModelTowers.Text) ? weights : weights.CheckingOnly()).Scope("text");
        _text = new RobertaTower(_config.Text, config.Positions, _config.EmbedDimension, text);
        WeightReader visual = (towers.HasFlag(ModelTowers.Image) ? weights : weights.CheckingOnly()).Scope("visual");
        _visual = _config.Vision.IsResNet
            ? new ModifiedResNet(_config.Vision, _config.EmbedDimension, visual)
            : new VisionTransformer(_config.Vision, trainedGrid, _config.EmbedDimension, visual);
        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        if (_config.HasLogitBias)
            LogitBias = weights.ReadScalar("logit_bias");
    }

    public string Architecture => "CLIP with a RoBERTa text tower";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer => _config.Text.Tokenizer;

    public int ContextLength => _config.Text.ContextLength;

    public int VocabularySize => _config.Text.VocabularySize;

    public IReadOnlyList<string> Notices => _config.StatesPreprocessing
        ? []
        : [$"{_config.Source}: states no mean and standard deviation of pixels; OpenAI's are used, as open_clip does. Weights trained with others get wrong pixels."];

    public int EmbedDimension => _config.EmbedDimension;

    public int ImageTokens => _visual.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public Shape ImageFeatureShape(int count) => _visual.FeatureTokens is { } tokens ? new Shape(count, tokens, EmbedDimension) : new Shape(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => new(count, EmbedDimension);

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
