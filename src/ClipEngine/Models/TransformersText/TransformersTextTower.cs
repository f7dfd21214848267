using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>How a text encoder's tokens become one vector (<c>hf_pooler_type</c>).</summary>
internal enum TokenPooling
{
    /// <summary>The mean of the tokens that are no padding (<c>mean_pooler</c>).</summary>
    Mean,

    /// <summary>The first token (<c>cls_last_hidden_state_pooler</c>; <c>cls_pooler</c> where the encoder has no pooling layer).</summary>
    First,

    /// <summary>The first token through the encoder's own pooling layer, tanh(W x + b) (<c>cls_pooler</c>).</summary>
    PoolingLayer,
}

/// <summary>What stands between the pooled vector and the feature (<c>hf_proj_type</c>). None has a bias.</summary>
internal enum TextProjection
{
    /// <summary>Nothing: the encoder is as wide as a feature.</summary>
    None,

    /// <summary>One matrix (<c>linear</c>).</summary>
    Linear,

    /// <summary>Two with GELU between them, the inner width halfway between both (<c>mlp</c>).</summary>
    Mlp,
}

/// <summary>A text tower that open_clip opens by a name of transformers (<c>HFTextEncoder</c>): encoder, pooling, projection.</summary>
/// <param name="Encoder">The encoder.</param>
/// <param name="Name">What messages call a model with it.</param>
/// <param name="Pooling">How tokens become one vector.</param>
/// <param name="Projection">What follows.</param>
/// <param name="Asked">Ids of a sentence at most, as the configuration says.</param>
/// <param name="Words">The tokenizer.</param>
internal sealed record TransformersTextConfig(TextEncoderConfig Encoder, string Name, TokenPooling Pooling, TextProjection Projection, int Asked, TokenizerConfig Words) : TextTowerConfig
{
    public override string? Family => Name;

    public override TokenizerConfig Tokenizer => Words;

    public override int ContextLength => Math.Min(Asked, Encoder.LongestSentence ?? int.MaxValue);

    public override int VocabularySize => Encoder.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{Encoder.Width} wide, {Encoder.Layers} blocks, context {ContextLength}, vocabulary {VocabularySize}");

    public override KeyTable? Keys => Encoder.Keys;

    // With cls_pooler the original's decoder does not get the first token, so that a caption has nothing to begin from.
    public override CaptionTokens? Captions => Pooling != TokenPooling.PoolingLayer && Encoder.SentenceIds is { } ids ? new CaptionTokens(Encoder.Width, ids.Begin, ids.End, Encoder.PaddingId) : null;

    public override ITextTower Build(WeightReader weights, int embedDimension) => new TransformersTextTower(this, embedDimension, weights.Scope("text"));
}

/// <summary>Such a tower.</summary>
internal sealed class TransformersTextTower : ICaptionText
{
    private readonly TransformersTextConfig _config;
    private readonly ITextEncoder _encoder;
    private readonly Weight? _hiddenProjection, _projection, _meanQuery, _poolingWeight, _poolingBias;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>text</c>.</param>
    public TransformersTextTower(TransformersTextConfig config, int embedDimension, WeightReader weights)
    {
        _config = config;
        int width = config.Encoder.Width, middle = (width + embedDimension) / 2;
        _encoder = config.Encoder.Build(weights.Scope("transformer"), config.ContextLength);
        if (config.Pooling == TokenPooling.Mean)
            _meanQuery = weights.CreateFromValues("query of the mean", WeightRole.Tokens, new float[width], 1, width);
        if (config.Pooling == TokenPooling.PoolingLayer)
        {
            _poolingWeight = weights.Read("transformer.pooler.dense.weight", WeightRole.Linear, width, width);
            _poolingBias = weights.Read("transformer.pooler.dense.bias", WeightRole.Vector, width);
        }

        if (config.Projection == TextProjection.Mlp)
        {
            _hiddenProjection = weights.Read("proj.0.weight", WeightRole.Linear, middle, width);
            _projection = weights.Read("proj.2.weight", WeightRole.Linear, embedDimension, middle);
        }
        else if (config.Projection == TextProjection.Linear)
        {
            _projection = weights.Read("proj.weight", WeightRole.Linear, embedDimension, width);
        }
    }

    /// <inheritdoc/>
    public bool IsCausal => false;

    /// <inheritdoc/>
    public List<TokenStore> CreatePast(IBackend backend, int count, int capacity) => [];

    /// <inheritdoc/>
    public Tensor ForwardTokens(IPass pass, ReadOnlySpan<int> ids, int length, int position, IReadOnlyList<TokenStore> past) =>
        _encoder.Forward(pass, new PaddedSentences(ids, length, _config.Encoder.PaddingId, hidesInnerPadding: true, cuts: false), onlyFirst: false);

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        // The original hides every padding id, wherever it stands.
        var sentences = new PaddedSentences(ids, length, _config.Encoder.PaddingId, hidesInnerPadding: true);
        long mark = pass.EnterScope();
        Tensor x = _encoder.Forward(pass, sentences, onlyFirst: _meanQuery is null);                                             // [n, t, width] or [n, width]
        if (_meanQuery is not null)
            x = Mean(pass, x, sentences);                                                                                        // [n, width]
        if (_poolingWeight is not null)
            x = pass.Linear(x, _poolingWeight, _poolingBias, new Epilogue { Activation = Activation.Tanh });
        if (_hiddenProjection is not null)
            x = pass.Linear(x, _hiddenProjection, bias: null, new Epilogue { Activation = Activation.Gelu });
        return pass.LeaveScope(mark, _projection is null ? x : pass.Linear(x, _projection, bias: null));                         // [n, embed_dim]
    }

    /// <summary>Every score of a query of zeros is zero: its softmax is the mean over the keys that it sees.</summary>
    private Tensor Mean(IPass pass, in Tensor x, PaddedSentences sentences)
    {
        Tensor query = pass.BroadcastTokens(_meanQuery!, sentences.Count);                                                       // [n, 1, width]
        Tensor mean = pass.Attention(query, x, x, _config.Encoder.Heads, sentences.Mask(pass, 1));
        return mean.Reshape(new Shape(sentences.Count, _config.Encoder.Width));
    }
}
