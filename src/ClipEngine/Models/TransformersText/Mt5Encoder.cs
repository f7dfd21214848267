using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>mT5's encoder (arXiv:2010.11934, after T5, arXiv:1910.10683): its sizes.</summary>
internal sealed record Mt5TextEncoder : TextEncoderConfig
{
    /// <summary><c>d_model</c>.</summary>
    public required int TokenWidth { get; init; }

    /// <summary><c>d_kv</c>: of a head's queries, keys and values; heads side by side need not be as wide as a token.</summary>
    public int HeadWidth { get; init; } = 64;

    /// <summary><c>num_layers</c>.</summary>
    public required int Blocks { get; init; }

    /// <summary><c>num_heads</c>.</summary>
    public required int AttentionHeads { get; init; }

    /// <summary><c>d_ff</c>.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary><c>vocab_size</c>.</summary>
    public required int Words { get; init; }

    /// <summary><c>relative_attention_num_buckets</c>.</summary>
    public int Buckets { get; init; } = 32;

    /// <summary><c>relative_attention_max_distance</c>, in tokens: what lies farther shares the last bucket.</summary>
    public int MostDistance { get; init; } = 128;

    /// <summary><c>layer_norm_epsilon</c>.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary><c>pad_token_id</c>.</summary>
    public int Padding { get; init; }

    public override int Width => TokenWidth;

    public override int Layers => Blocks;

    public override int Heads => AttentionHeads;

    public override int VocabularySize => Words;

    public override int PaddingId => Padding;

    public override TextEncoderConfig With(ConfigSection sizes)
    {
        sizes.Choice("feed_forward_proj", true, ("gated-gelu", true));
        int buckets = sizes.Integer("relative_attention_num_buckets", Buckets, 4, 1 << 12);
        if (buckets % 2 != 0)
            sizes.Problem("relative_attention_num_buckets", $"expected an even number, half for either direction; found {buckets}.");
        return this with
        {
            TokenWidth = sizes.Integer("d_model", Width, 1, 1 << 16),
            HeadWidth = sizes.Integer("d_kv", HeadWidth, 1, 1 << 12),
            Blocks = sizes.Integer("num_layers", Layers, 1, 1 << 10),
            AttentionHeads = sizes.Integer("num_heads", Heads, 1, 1 << 12),
            HiddenWidth = sizes.Integer("d_ff", HiddenWidth, 1, 1 << 20),
            Words = sizes.Integer("vocab_size", Words),
            Buckets = buckets,
            MostDistance = sizes.Integer("relative_attention_max_distance", MostDistance, (buckets / 4) + 1, 1 << 20),
            Epsilon = (float)sizes.Number("layer_norm_epsilon", Epsilon, 0, 1),
            Padding = sizes.Integer("pad_token_id", Padding, 0),
        };
    }

    public override ITextEncoder Build(WeightReader weights, int contextLength) => new Mt5Encoder(this, weights);
}

/// <summary>mT5's encoder: no positions but a bias of each head by distance, the same in all layers; RMS norms; a gated MLP; no biases.</summary>
internal sealed class Mt5Encoder : ITextEncoder
{
    private readonly Mt5TextEncoder _config;
    private readonly Weight _words, _norm;
    private readonly float[] _distanceBias;
    private readonly Layer[] _layers;

    /// <summary>Loads the encoder.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader below <c>text.transformer</c>.</param>
    public Mt5Encoder(Mt5TextEncoder config, WeightReader weights)
    {
        _config = config;
        _words = weights.Read("embed_tokens.weight", WeightRole.EmbeddingTable, config.VocabularySize, config.Width);
        _distanceBias = weights.ReadValues("block.0.layer.0.SelfAttention.relative_attention_bias.weight", config.Buckets, config.Heads);
        _layers = new Layer[config.Layers];
        for (int layer = 0; layer < _layers.Length; layer++)
            _layers[layer] = new Layer(config, weights.Scope($"block.{layer}"));
        _norm = weights.Read("final_layer_norm.weight", WeightRole.Vector, config.Width);
    }

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, PaddedSentences sentences, bool onlyFirst)
    {
        int heads = _config.Heads, length = sentences.Length, width = heads * _config.HeadWidth;
        long mark = pass.EnterScope();
        AttentionMask mask = Mask(pass, sentences);
        Tensor x = pass.TokenEmbedding(pass.Upload(sentences.Ids, new Shape(sentences.Count, length)), _words, appendedToken: null, positions: null);
        long inner = pass.EnterScope();
        foreach (Layer layer in _layers)
        {
            Tensor normed = pass.RmsNorm(x, layer.Norm1, _config.Epsilon);
            Tensor query = pass.Linear(normed, layer.Query, bias: null), key = pass.Linear(normed, layer.Key, bias: null), value = pass.Linear(normed, layer.Value, bias: null);
            Tensor attended = pass.Attention(new TokenView(query, 0, width), new TokenView(key, 0, width), new TokenView(value, 0, width), heads, mask);
            Tensor sum = pass.Linear(attended, layer.Out, bias: null, new Epilogue { Residual = x });
            normed = pass.RmsNorm(sum, layer.Norm2, _config.Epsilon);
            Tensor gate = pass.Linear(normed, layer.Gate, bias: null, new Epilogue { Activation = Activation.GeluTanh });
            Tensor hidden = pass.Linear(normed, layer.Expand, bias: null, new Epilogue { Multiplier = gate });
            x = pass.ReleaseAllBut(inner, pass.Linear(hidden, layer.Contract, bias: null, new Epilogue { Residual = sum }));
        }

        x = pass.LeaveScope(inner, x);
        if (onlyFirst)
            x = pass.SliceTokens(x, 0, 1).Reshape(new Shape(sentences.Count, _config.Width));
        return pass.LeaveScope(mark, pass.RmsNorm(x, _norm, _config.Epsilon));
    }

    /// <summary>Each head's bias for every pair of tokens, and what is hidden.</summary>
    private AttentionMask Mask(IPass pass, PaddedSentences sentences)
    {
        int heads = _config.Heads, length = sentences.Length;
        var shape = new Shape(1, heads, length, length);
        if (CountingPass.InPlaceOfUpload(pass, shape) is { } counted)
            return new AttentionMask { Additive = counted };
        int area = checked(length * length);
        float[] bias = new float[checked(heads * area)];
        for (int query = 0; query < length; query++)
        {
            for (int key = 0; key < length; key++)
            {
                int bucket = Bucket(key - query);
                for (int head = 0; head < heads; head++)
                    bias[(head * area) + (query * length) + key] = _distanceBias[(bucket * heads) + head];
            }
        }

        var mask = new AttentionMask { KeyLengths = pass.Upload(sentences.Lengths, new Shape(sentences.Count)) };
        if (!sentences.HidesInnerPadding)
            return mask with { Additive = pass.Upload(bias, shape) };
        float[] hidden = sentences.InnerPadding(length), both = new float[sentences.Count * bias.Length];
        for (int i = 0; i < both.Length; i++)
            both[i] = bias[i % bias.Length] + hidden[(i / bias.Length * area) + (i % area)];
        return mask with { Additive = pass.Upload(both, new Shape(sentences.Count, heads, length, length)) };
    }

    /// <summary>
    /// T5's <c>_relative_position_bucket</c> for both directions: half of the buckets for keys behind the query; of a half, one half for
    /// single distances and the rest by logarithm up to the most distant.
    /// </summary>
    private int Bucket(int distance)
    {
        int half = _config.Buckets / 2, exact = half / 2, start = distance > 0 ? half : 0;
        distance = Math.Abs(distance);
        if (distance < exact)
            return start + distance;
        // fp32, as in the original: the borders of the buckets depend on it.
        int bucket = exact + (int)(MathF.Log((float)distance / exact) / (float)Math.Log((double)_config.MostDistance / exact) * (half - exact));
        return start + Math.Min(bucket, half - 1);
    }

    /// <summary>The weights of one layer.</summary>
    private sealed class Layer
    {
        public Layer(Mt5TextEncoder config, WeightReader weights)
        {
            int width = config.Width, inner = config.Heads * config.HeadWidth, hidden = config.HiddenWidth;
            WeightReader attention = weights.Scope("layer.0"), mlp = weights.Scope("layer.1");
            Norm1 = attention.Read("layer_norm.weight", WeightRole.Vector, width);
            Query = ReadQuery(config, attention, inner);
            Key = attention.Read("SelfAttention.k.weight", WeightRole.Linear, inner, width);
            Value = attention.Read("SelfAttention.v.weight", WeightRole.Linear, inner, width);
            Out = attention.Read("SelfAttention.o.weight", WeightRole.Linear, width, inner);
            Norm2 = mlp.Read("layer_norm.weight", WeightRole.Vector, width);
            Gate = mlp.Read("DenseReluDense.wi_0.weight", WeightRole.Linear, hidden, width);
            Expand = mlp.Read("DenseReluDense.wi_1.weight", WeightRole.Linear, hidden, width);
            Contract = mlp.Read("DenseReluDense.wo.weight", WeightRole.Linear, width, hidden);
        }

        public Weight Norm1 { get; }

        public Weight Query { get; }

        public Weight Key { get; }

        public Weight Value { get; }

        public Weight Out { get; }

        public Weight Norm2 { get; }

        public Weight Gate { get; }

        public Weight Expand { get; }

        public Weight Contract { get; }

        /// <summary>T5 does not divide scores by the root of a head's width, as <see cref="IPass.Attention"/> does: queries are multiplied by it.</summary>
        private static Weight ReadQuery(Mt5TextEncoder config, WeightReader weights, int inner)
        {
            const string Name = "SelfAttention.q.weight";
            return weights.Compute($"{Name} times the root of a head's width", WeightRole.Linear, () =>
            {
                float[] values = weights.ReadValues(Name, inner, config.Width);
                System.Numerics.Tensors.TensorPrimitives.Multiply(values, MathF.Sqrt(config.HeadWidth), values);
                return values;
            }, [(Name, new Shape(inner, config.Width))], inner, config.Width);
        }
    }
}
