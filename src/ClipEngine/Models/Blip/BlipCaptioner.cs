using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP's captioner: the text transformer with a causal mask, and a head over its own word table.</summary>
internal sealed class BlipCaptioner : ICaptioner
{
    private readonly BlipConfig _config;
    private readonly BlipVision _visual;
    private readonly BlipText _text;
    private readonly Weight _transform, _transformBias, _normWeight, _normBias, _words, _wordsBias;

    public BlipCaptioner(BlipConfig config, WeightReader weights, IBackend backend)
    {
        _config = config;
        Backend = backend;
        int width = config.Text.Width;
        _text = new BlipText(config.Text, config.Vision.Width, weights.Scope("text_decoder.bert"));
        _visual = new BlipVision(config.Vision, weights.Scope("visual_encoder"));
        WeightReader head = weights.Scope("text_decoder.cls.predictions");
        _transform = head.Read("transform.dense.weight", WeightRole.Linear, width, width);
        _transformBias = head.Read("transform.dense.bias", WeightRole.Vector, width);
        _normWeight = head.Read("transform.LayerNorm.weight", WeightRole.Vector, width);
        _normBias = head.Read("transform.LayerNorm.bias", WeightRole.Vector, width);
        _words = weights.Read("text_decoder.bert.embeddings.word_embeddings.weight", WeightRole.Linear, config.Text.VocabularySize, width);
        _wordsBias = head.Read("bias", WeightRole.Vector, config.Text.VocabularySize);
        // The same tensors under second names, which older files hold.
        head.AllowUnused("decoder.weight");
        head.AllowUnused("decoder.bias");
    }

    public string Architecture => "BLIP, captions";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer { get; } = new() { ModelType = "blip" };

    public int ContextLength => _config.Text.Positions;

    public int VocabularySize => _config.Text.VocabularySize;

    public IReadOnlyList<string> Notices => [];

    public int BeginId => _config.Text.BeginId;

    public int EndId => _config.Text.EndId;

    public int PaddingId => _config.Text.PaddingId;

    public Tensor EncodeImageTokens(IPass pass, in Tensor pixels) => _visual.Forward(pass, pixels);

    public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens) => _text.PrepareImage(pass, Backend, imageTokens);

    public CaptionState Begin(int count, int capacity) => new(_text.CreatePast(Backend, count, capacity));

    public Tensor Continue(IPass pass, PreparedImage image, CaptionState state, ReadOnlySpan<int> ids, int count, ReadOnlySpan<int> lengths = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(state);
        long mark = pass.EnterScope();
        Tensor x = _text.ForwardNext(pass, image, ids, count, state.Stores, state.Position, lengths);
        state.Position += count;
        x = pass.Linear(x, _transform, _transformBias, new Epilogue { Activation = Activation.Gelu });
        x = pass.LayerNorm(x, _normWeight, _normBias, _config.Text.Epsilon);
        return pass.LeaveScope(mark, pass.Linear(x, _words, _wordsBias));
    }
}
