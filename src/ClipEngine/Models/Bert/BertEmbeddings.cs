using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BERT's embeddings: words, positions and the first token type, summed and normalised.</summary>
internal sealed class BertEmbeddings
{
    private readonly BertConfig _config;
    private readonly Weight _words, _positions, _normWeight, _normBias;

    /// <summary>Loads the embeddings.</summary>
    /// <param name="config">Their sizes.</param>
    /// <param name="weights">A reader below <c>embeddings</c>.</param>
    public BertEmbeddings(BertConfig config, WeightReader weights)
    {
        _config = config;
        _words = weights.Read("word_embeddings.weight", WeightRole.EmbeddingTable, config.VocabularySize, config.Width);
        _positions = ReadPositions(weights);
        weights.AllowUnused("position_ids"); // counts from 0; old checkpoints carry it
        weights.AllowUnused("token_type_ids"); // zeros
        _normWeight = weights.Read("LayerNorm.weight", WeightRole.Vector, config.Width);
        _normBias = weights.Read("LayerNorm.bias", WeightRole.Vector, config.Width);
    }

    /// <summary>Enqueues the embeddings.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="ids"><c>[n, length]</c>.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="firstPosition">The position of the first id, where positions count all tokens.</param>
    /// <returns><c>[n, length, width]</c>.</returns>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length, int firstPosition = 0)
    {
        var shape = new Shape(ids.Length / length, length);
        long mark = pass.EnterScope();
        Tensor x = pass.TokenEmbedding(pass.Upload(ids, shape), _words, appendedToken: null, _config.CountsBehindPadding ? null : _positions, firstPosition);
        if (_config.CountsBehindPadding)
        {
            Tensor positions = pass.Upload(PaddedSentences.PositionsBehindPadding(ids, length, _config.PaddingId), shape);
            x = pass.Add(x, pass.TokenEmbedding(positions, _positions, appendedToken: null, positions: null));
        }

        return pass.LeaveScope(mark, pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon));
    }

    /// <summary>The table of positions, with the token type that every token has.</summary>
    private Weight ReadPositions(WeightReader weights)
    {
        const string Key = "position_embeddings.weight";
        WeightRole role = _config.CountsBehindPadding ? WeightRole.EmbeddingTable : WeightRole.Tokens;
        int width = _config.Width;
        if (_config.TokenTypes == 0)
            return weights.Read(Key, role, _config.Positions, width);
        const string Types = "token_type_embeddings.weight";
        return weights.Compute($"{Key} and token type 0", role, () =>
        {
            float[] values = weights.ReadValues(Key, _config.Positions, width);
            float[] types = weights.ReadValues(Types, _config.TokenTypes, width);
            for (int i = 0; i < values.Length; i++)
                values[i] += types[i % width];
            return values;
        }, [(Key, new Shape(_config.Positions, width)), (Types, new Shape(_config.TokenTypes, width))], _config.Positions, width);
    }
}
