using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP's captioner: the text transformer with a causal mask, and a head over its own word table.</summary>
internal sealed class BlipCaptioner : BlipModel, ICaptioner
{
    private readonly Weight _transform, _transformBias, _normWeight, _normBias, _words, _wordsBias;

    public BlipCaptioner(BlipConfig config, WeightReader weights, IBackend backend)
        : base(config, new BlipVision(config.Vision, weights.Scope("visual_encoder")), new BlipText(config.Text, config.Vision.Width, weights.Scope("text_decoder.bert")), backend)
    {
        int width = config.Text.Width;
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

    public int BeginId => Config.Text.BeginId;

    public int EndId => Config.Text.EndId;

    public CaptionState Begin(int count, int capacity) => new(Text.CreatePast(Backend, count, capacity));

    public Tensor Continue(IPass pass, PreparedImage image, CaptionState state, ReadOnlySpan<int> ids, int count, ReadOnlySpan<int> lengths = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(state);
        long mark = pass.EnterScope();
        Tensor x = Text.ForwardNext(pass, image, ids, count, state.Stores, state.Position, lengths);
        state.Position += count;
        x = pass.Linear(x, _transform, _transformBias, new Epilogue { Activation = Activation.Gelu });
        x = pass.LayerNorm(x, _normWeight, _normBias, Config.Text.Epsilon);
        return pass.LeaveScope(mark, pass.Linear(x, _words, _wordsBias));
    }
}
