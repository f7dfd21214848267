using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// RoBERTa's encoder (arXiv:1907.11692) as a text tower of open_clip's <c>HFTextEncoder</c>: the mean of the tokens that are no padding,
/// then two layers with GELU between them. XLM-RoBERTa has the same form.
/// </summary>
internal sealed class RobertaTower
{
    private readonly TextConfig _config;
    private readonly Weight _tokenTable, _positionTable, _normWeight, _normBias, _hiddenProjection, _projection, _meanQuery;
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="positions">Rows of the table of positions, those for padding included.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>text</c>.</param>
    public RobertaTower(TextConfig config, int positions, int embedDimension, WeightReader weights)
    {
        _config = config;
        int width = config.Width, middle = (width + embedDimension) / 2;
        WeightReader embeddings = weights.Scope("transformer.embeddings");
        _tokenTable = embeddings.Read("word_embeddings.weight", WeightRole.EmbeddingTable, config.VocabularySize, width);
        _positionTable = ReadPositions(embeddings, positions, width);
        embeddings.AllowUnused("position_ids"); // counts from 0; old checkpoints carry it
        _normWeight = embeddings.Read("LayerNorm.weight", WeightRole.Vector, width);
        _normBias = embeddings.Read("LayerNorm.bias", WeightRole.Vector, width);
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = ReadBlock(weights.Scope($"transformer.encoder.layer.{layer}"), config);
        _hiddenProjection = weights.Read("proj.0.weight", WeightRole.Linear, middle, width);
        _projection = weights.Read("proj.2.weight", WeightRole.Linear, embedDimension, middle);
        _meanQuery = weights.CreateFromValues("query of the mean", WeightRole.Tokens, new float[width], 1, width);
    }

    /// <summary>Enqueues the tower.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="ids"><c>[n, length]</c>.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <returns><c>[n, embed_dim]</c>.</returns>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        int batch = ids.Length / length;
        (int[] kept, int[] places, int[] lengths, bool hasGaps) = Prepare(ids, batch, length);
        int needed = kept.Length / batch;
        long mark = pass.EnterScope();
        var shape = new Shape(batch, needed);
        Tensor words = pass.TokenEmbedding(pass.Upload(kept, shape), _tokenTable, appendedToken: null, positions: null);         // [n, t, width]
        Tensor positions = pass.TokenEmbedding(pass.Upload(places, shape), _positionTable, appendedToken: null, positions: null);
        Tensor x = pass.LayerNorm(pass.Add(words, positions), _normWeight, _normBias, _config.Epsilon);
        var keyLengths = new AttentionMask { KeyLengths = pass.Upload(lengths, new Shape(batch)) };
        x = pass.TransformerStack(x, _blocks, hasGaps ? keyLengths with { Additive = UploadMask(pass, kept, batch, needed, needed) } : keyLengths);
        // Every score of a query of zeros is zero: its softmax is the mean over the keys that it sees.
        Tensor query = pass.BroadcastTokens(_meanQuery, batch);                                                                  // [n, 1, width]
        AttentionMask seen = hasGaps ? keyLengths with { Additive = UploadMask(pass, kept, batch, 1, needed) } : keyLengths;
        var tokens = new TokenView(x, 0, _config.Width);
        Tensor pooled = pass.Attention(new TokenView(query, 0, _config.Width), tokens, tokens, _config.Heads, seen);             // [n, 1, width]
        pooled = pass.Linear(pooled.Reshape(new Shape(batch, _config.Width)), _hiddenProjection, bias: null, new Epilogue { Activation = Activation.Gelu });
        return pass.LeaveScope(mark, pass.Linear(pooled, _projection, bias: null));                                              // [n, embed_dim]
    }

    /// <summary>
    /// What is computed: columns behind the last token of the longest sentence are left out, as nothing sees them. Positions count the
    /// tokens that are no padding, from the padding id + 1; padding itself has the position of its id.
    /// </summary>
    private (int[] Ids, int[] Positions, int[] Lengths, bool HasGaps) Prepare(ReadOnlySpan<int> ids, int batch, int length)
    {
        int[] lengths = new int[batch];
        int needed = 1;
        bool hasGaps = false;
        for (int n = 0; n < batch; n++)
        {
            ReadOnlySpan<int> sentence = ids.Slice(n * length, length);
            lengths[n] = sentence.LastIndexOfAnyExcept(_config.PadId) + 1;
            hasGaps |= sentence[..lengths[n]].Contains(_config.PadId);
            needed = Math.Max(needed, lengths[n]);
        }

        int[] kept = new int[batch * needed], positions = new int[kept.Length];
        for (int n = 0; n < batch; n++)
        {
            int position = _config.PadId;
            for (int i = 0; i < needed; i++)
            {
                int id = ids[(n * length) + i], at = (n * needed) + i;
                kept[at] = id;
                positions[at] = id == _config.PadId ? _config.PadId : ++position;
            }
        }

        return (kept, positions, lengths, hasGaps);
    }

    /// <summary>Hides padding in the midst of sentences, which a number of keys cannot say.</summary>
    private Tensor UploadMask(IPass pass, ReadOnlySpan<int> ids, int batch, int queries, int length)
    {
        float[] mask = new float[batch * queries * length];
        for (int i = 0; i < mask.Length; i++)
        {
            int n = i / (queries * length);
            mask[i] = ids[(n * length) + (i % length)] == _config.PadId ? float.NegativeInfinity : 0;
        }

        return pass.Upload(mask, new Shape(batch, queries, length));
    }

    /// <summary>The one token type is added to every position.</summary>
    private static Weight ReadPositions(WeightReader embeddings, int positions, int width)
    {
        float[] values = embeddings.ReadValues("position_embeddings.weight", positions, width);
        float[] type = embeddings.ReadValues("token_type_embeddings.weight", 1, width);
        for (int i = 0; i < values.Length; i++)
            values[i] += type[i % width];
        return embeddings.CreateFromValues("position_embeddings.weight and token type", WeightRole.EmbeddingTable, values, positions, width);
    }

    private static TransformerBlock ReadBlock(WeightReader weights, TextConfig config)
    {
        int width = config.Width, hidden = config.HiddenWidth;
        return new TransformerBlock
        {
            InProjectionWeight = weights.Read("attention.self.qkv.weight", WeightRole.Linear, 3 * width, width),
            InProjectionBias = weights.Read("attention.self.qkv.bias", WeightRole.Vector, 3 * width),
            OutProjectionWeight = weights.Read("attention.output.dense.weight", WeightRole.Linear, width, width),
            OutProjectionBias = weights.Read("attention.output.dense.bias", WeightRole.Vector, width),
            Norm1Weight = weights.Read("attention.output.LayerNorm.weight", WeightRole.Vector, width),
            Norm1Bias = weights.Read("attention.output.LayerNorm.bias", WeightRole.Vector, width),
            ExpandWeight = weights.Read("intermediate.dense.weight", WeightRole.Linear, hidden, width),
            ExpandBias = weights.Read("intermediate.dense.bias", WeightRole.Vector, hidden),
            ContractWeight = weights.Read("output.dense.weight", WeightRole.Linear, width, hidden),
            ContractBias = weights.Read("output.dense.bias", WeightRole.Vector, width),
            Norm2Weight = weights.Read("output.LayerNorm.weight", WeightRole.Vector, width),
            Norm2Bias = weights.Read("output.LayerNorm.bias", WeightRole.Vector, width),
            NormPlacement = NormPlacement.Behind,
            Heads = config.Heads,
            Activation = config.Activation,
            Epsilon = config.Epsilon,
        };
    }
}
