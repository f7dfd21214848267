using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>M2M-100's encoder (arXiv:2010.11125), which NLLB (arXiv:2207.04672) shares: its sizes.</summary>
internal sealed record M2M100TextEncoder : TextEncoderConfig
{
    private static readonly KeyTable s_keys = new(
        ["text.transformer.embed_positions.weights"], // sines, which follow from the width
        ("text.transformer.layers.#.self_attn.?.", "text.transformer.layers.#.self_attn.qkv."));

    /// <summary><c>d_model</c>.</summary>
    public required int TokenWidth { get; init; }

    /// <summary><c>encoder_layers</c>.</summary>
    public required int Blocks { get; init; }

    /// <summary><c>encoder_attention_heads</c>.</summary>
    public required int AttentionHeads { get; init; }

    /// <summary><c>encoder_ffn_dim</c>.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary><c>vocab_size</c>.</summary>
    public required int Words { get; init; }

    /// <summary><c>pad_token_id</c>.</summary>
    public int Padding { get; init; } = 1;

    /// <summary><c>scale_embedding</c>: words are multiplied by the root of the width.</summary>
    public bool ScalesWords { get; init; } = true;

    /// <summary><c>activation_function</c>.</summary>
    public Activation Activation { get; init; } = Activation.Relu;

    public override int Width => TokenWidth;

    public override int Layers => Blocks;

    public override int Heads => AttentionHeads;

    public override int VocabularySize => Words;

    public override int PaddingId => Padding;

    public override KeyTable? Keys => s_keys;

    public override TextEncoderConfig With(ConfigSection sizes)
    {
        int width = sizes.Integer("d_model", Width, 2, 1 << 16), heads = sizes.Integer("encoder_attention_heads", Heads, 1, 1 << 12);
        if (width % heads != 0 || width % 2 != 0)
            sizes.Problem("encoder_attention_heads", $"expected a divisor of an even d_model {width}, found {heads}.");
        return this with
        {
            TokenWidth = width,
            AttentionHeads = heads,
            Blocks = sizes.Integer("encoder_layers", Layers, 1, 1 << 10),
            HiddenWidth = sizes.Integer("encoder_ffn_dim", HiddenWidth, 1, 1 << 20),
            Words = sizes.Integer("vocab_size", Words),
            Padding = sizes.Integer("pad_token_id", Padding, 0),
            ScalesWords = sizes.Boolean("scale_embedding", ScalesWords),
            Activation = sizes.Choice("activation_function", Activation, ("relu", Activation.Relu), ("gelu", Activation.Gelu)),
        };
    }

    public override ITextEncoder Build(WeightReader weights, int contextLength) => new M2M100Encoder(this, weights, contextLength);
}

/// <summary>
/// M2M-100's encoder: scaled words and fixed sines, pre-norm blocks, a last norm. Positions count the tokens that are no padding, from
/// the padding id + 1; padding itself has none.
/// </summary>
internal sealed class M2M100Encoder : ITextEncoder
{
    private const float Epsilon = 1e-5f;

    private readonly M2M100TextEncoder _config;
    private readonly Weight _words, _positions, _normWeight, _normBias;
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the encoder.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader below <c>text.transformer</c>.</param>
    /// <param name="contextLength">Tokens of a sentence at most.</param>
    public M2M100Encoder(M2M100TextEncoder config, WeightReader weights, int contextLength)
    {
        _config = config;
        int width = config.Width, positions = contextLength + config.PaddingId + 1;
        _words = ReadWords(weights);
        _positions = weights.Compute("sines of positions", WeightRole.EmbeddingTable, () => Sines(positions, width, config.PaddingId), [], positions, width);
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = ReadBlock(weights.Scope($"layers.{layer}"));
        _normWeight = weights.Read("layer_norm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("layer_norm.bias", WeightRole.Vector, width);
    }

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, PaddedSentences sentences, bool onlyFirst)
    {
        var shape = new Shape(sentences.Count, sentences.Length);
        long mark = pass.EnterScope();
        Tensor words = pass.TokenEmbedding(pass.Upload(sentences.Ids, shape), _words, appendedToken: null, positions: null);             // [n, t, width]
        Tensor places = pass.Upload(PaddedSentences.PositionsBehindPadding(sentences.Ids, sentences.Length, _config.PaddingId), shape);
        Tensor x = pass.Add(words, pass.TokenEmbedding(places, _positions, appendedToken: null, positions: null));
        x = pass.TransformerStack(x, _blocks, sentences.Mask(pass, sentences.Length), onlyFirst ? sentences.First(pass) : default);
        return pass.LeaveScope(mark, pass.LayerNorm(x, _normWeight, _normBias, Epsilon));
    }

    /// <summary>Frequencies 10000^(-i / (half - 1)), sines in the first half of a position and cosines in the second; the row of the padding id is zero.</summary>
    private static float[] Sines(int positions, int width, int paddingId)
    {
        const double Base = 10000;
        int half = width / 2;
        float[] table = new float[positions * width];
        for (int position = 0; position < positions; position++)
        {
            for (int i = 0; i < half && position != paddingId; i++)
            {
                // Frequencies and angles are fp32 in the original.
                float angle = position * MathF.Exp(i * -(float)(Math.Log(Base) / (half - 1)));
                table[(position * width) + i] = MathF.Sin(angle);
                table[(position * width) + half + i] = MathF.Cos(angle);
            }
        }

        return table;
    }

    /// <summary>The table with its factor in it: the original multiplies each row that it looks up.</summary>
    private Weight ReadWords(WeightReader weights)
    {
        const string Key = "embed_tokens.weight";
        int width = _config.Width;
        if (!_config.ScalesWords)
            return weights.Read(Key, WeightRole.EmbeddingTable, _config.VocabularySize, width);
        return weights.Compute($"{Key} times the root of the width", WeightRole.EmbeddingTable, () =>
        {
            float[] table = weights.ReadValues(Key, _config.VocabularySize, width);
            System.Numerics.Tensors.TensorPrimitives.Multiply(table, MathF.Sqrt(width), table);
            return table;
        }, [(Key, new Shape(_config.VocabularySize, width))], _config.VocabularySize, width);
    }

    private TransformerBlock ReadBlock(WeightReader weights)
    {
        int width = _config.Width, hidden = _config.HiddenWidth;
        return new TransformerBlock
        {
            Norm1Weight = weights.Read("self_attn_layer_norm.weight", WeightRole.Vector, width),
            Norm1Bias = weights.Read("self_attn_layer_norm.bias", WeightRole.Vector, width),
            InProjectionWeight = weights.Read("self_attn.qkv.weight", WeightRole.Linear, 3 * width, width),
            InProjectionBias = weights.Read("self_attn.qkv.bias", WeightRole.Vector, 3 * width),
            OutProjectionWeight = weights.Read("self_attn.out_proj.weight", WeightRole.Linear, width, width),
            OutProjectionBias = weights.Read("self_attn.out_proj.bias", WeightRole.Vector, width),
            Norm2Weight = weights.Read("final_layer_norm.weight", WeightRole.Vector, width),
            Norm2Bias = weights.Read("final_layer_norm.bias", WeightRole.Vector, width),
            ExpandWeight = weights.Read("fc1.weight", WeightRole.Linear, hidden, width),
            ExpandBias = weights.Read("fc1.bias", WeightRole.Vector, hidden),
            ContractWeight = weights.Read("fc2.weight", WeightRole.Linear, width, hidden),
            ContractBias = weights.Read("fc2.bias", WeightRole.Vector, width),
            Heads = _config.Heads,
            Activation = _config.Activation,
            Epsilon = Epsilon,
        };
    }
}
