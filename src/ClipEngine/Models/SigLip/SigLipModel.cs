using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP as a dual encoder. A score is a sigmoid of the scaled cosine plus a bias, each pair by itself.</summary>
internal sealed class SigLipModel : IDualEncoder
{
    private readonly SigLipConfig _config;
    private readonly ISigLipVision _visual;
    private readonly TextTransformer _text;
    private readonly ModelTowers _towers;

    public SigLipModel(SigLipConfig config, WeightReader weights, IBackend backend, ModelTowers towers)
    {
        _config = config;
        _towers = towers;
        Backend = backend;
        // The text tower first: its table is the largest tensor.
        _text = new TextTransformer(config.Text, config.EmbedDimension, (towers.HasFlag(ModelTowers.Text) ? weights : weights.CheckingOnly()).Scope("text"));
        WeightReader visual = (towers.HasFlag(ModelTowers.Image) ? weights : weights.CheckingOnly()).Scope("visual.trunk");
        _visual = config.Packing is { } packing ? new SigLipNaFlexVision(config.Vision, packing, visual) : new SigLipVision(config.Vision, visual);
        LogitScale = Math.Exp(weights.ReadScalar("logit_scale"));
        LogitBias = weights.ReadScalar("logit_bias");
    }

    public string Architecture => "SigLIP";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer => _config.Text.Tokenizer;

    public int ContextLength => _config.Text.ContextLength;

    public int VocabularySize => _config.Text.VocabularySize;

    public PatchPacking? Packing => _config.Packing;

    public IImagePreprocessor CreatePreprocessor(PreprocessOptions options) => _config.Packing is { } packing ? new PatchPreprocessor(options, packing) : new ImagePreprocessor(options);

    public IReadOnlyList<string> Notices => [];

    public int EmbedDimension => _config.EmbedDimension;

    public int ImageTokens => _visual.Tokens;

    public double LogitScale { get; }

    public double? LogitBias { get; }

    public Shape ImageFeatureShape(int count) => new(count, EmbedDimension);

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
