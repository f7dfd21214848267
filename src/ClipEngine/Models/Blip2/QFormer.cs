using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// BLIP-2's Q-Former (arXiv:2301.12597, section 3.1). Learned queries and a sentence's tokens share self-attention and have MLPs of
/// their own; in some layers the queries, and only they, look at the image. The queries go through it with or without a sentence, a
/// sentence with or without the queries.
/// </summary>
internal sealed class QFormer
{
    private readonly QFormerConfig _config;
    private readonly Weight _queries, _words, _positions, _normWeight, _normBias;
    private readonly Layer[] _layers;
    private readonly TransformerBlock[] _textBlocks;

    /// <summary>Loads the Q-Former.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="imageWidth">Of an image's token.</param>
    /// <param name="weights">A reader above <c>qformer</c>, <c>embeddings</c> and <c>query_tokens</c>.</param>
    public QFormer(QFormerConfig config, int imageWidth, WeightReader weights)
    {
        _config = config;
        int width = Bert.Width;
        _words = weights.Read("embeddings.word_embeddings.weight", WeightRole.EmbeddingTable, Bert.VocabularySize, width);
        _positions = weights.Read("embeddings.position_embeddings.weight", WeightRole.Tokens, Bert.Positions, width);
        _queries = weights.ReadAs("query_tokens", WeightRole.Tokens, new Shape(config.Queries, width), 1, config.Queries, width);
        WeightReader qFormer = weights.Scope("qformer");
        // BERT's norm of the embeddings; here it stands behind the queries too.
        _normWeight = qFormer.Read("layernorm.weight", WeightRole.Vector, width);
        _normBias = qFormer.Read("layernorm.bias", WeightRole.Vector, width);
        _layers = [.. Enumerable.Range(0, Bert.Layers).Select(layer => new Layer(Bert, layer % config.CrossAttentionFrequency == 0 ? imageWidth : null, qFormer.Scope($"encoder.layer.{layer}")))];
        _textBlocks = [.. _layers.Select(static layer => layer.Text)];
    }

    private BertConfig Bert => _config.Bert;

    /// <summary>Projects an image's tokens to the keys and values of every layer that looks at it, and keeps them.</summary>
    /// <param name="pass">A pass of <paramref name="backend"/>.</param>
    /// <param name="backend">Where the stores are made.</param>
    /// <param name="imageTokens"><c>[1, tokens, image width]</c>.</param>
    public PreparedImage PrepareImage(IPass pass, IBackend backend, in Tensor imageTokens) =>
        ImageKeyValues.Prepare(pass, backend, imageTokens, _layers.Where(static layer => layer.Cross is not null).Select(static layer => layer.Cross!.KeyValues));

    /// <summary>The queries of images, without a sentence.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="imageTokens"><c>[n, tokens, image width]</c>.</param>
    /// <returns><c>[n, queries, width]</c>.</returns>
    public Tensor ForwardImages(IPass pass, in Tensor imageTokens)
    {
        long mark = pass.EnterScope();
        Tensor x = pass.LayerNorm(pass.BroadcastTokens(_queries, (int)imageTokens.Shape[0]), _normWeight, _normBias, Bert.Epsilon);
        long inner = pass.EnterScope();
        foreach (Layer layer in _layers)
        {
            Tensor attended = pass.SelfAttention(pass.Linear(x, layer.Text.InProjectionWeight, layer.Text.InProjectionBias), Bert.Heads);
            Tensor queries = BertEncoder.AddAttended(pass, layer.Text, attended, x);
            if (layer.Cross is { } cross)
            {
                (Tensor keys, Tensor values) = cross.KeyValues.Project(pass, imageTokens);
                queries = cross.Forward(pass, queries, keys, values);
            }

            x = pass.ReleaseAllBut(inner, layer.Queries.Forward(pass, queries));
        }

        return pass.LeaveScope(mark, pass.LeaveScope(inner, x));
    }

    /// <summary>Sentences by themselves; of each the first token. Nothing looks at an image.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="sentences">Padded.</param>
    /// <returns><c>[n, width]</c>.</returns>
    public Tensor ForwardTexts(IPass pass, PaddedSentences sentences)
    {
        long mark = pass.EnterScope();
        Tensor x = pass.LayerNorm(Embed(pass, sentences), _normWeight, _normBias, Bert.Epsilon);
        return pass.LeaveScope(mark, pass.TransformerStack(x, _textBlocks, sentences.Mask(pass, sentences.Length), sentences.First(pass)));
    }

    /// <summary>Sentences with an image; of each the queries.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="image">From <see cref="PrepareImage"/>.</param>
    /// <param name="sentences">Padded.</param>
    /// <returns><c>[n, queries, width]</c>.</returns>
    public Tensor ForwardPairs(IPass pass, PreparedImage image, PaddedSentences sentences)
    {
        int count = sentences.Count, queryCount = _config.Queries, width = Bert.Width;
        long mark = pass.EnterScope();
        var mask = new AttentionMask { KeyLengths = pass.Upload([.. sentences.Lengths.Select(length => queryCount + length)], new Shape(count)) };
        Tensor x = pass.LayerNorm(pass.ConcatenateTokens(pass.BroadcastTokens(_queries, count), Embed(pass, sentences)), _normWeight, _normBias, Bert.Epsilon);
        long inner = pass.EnterScope();
        int store = 0;
        for (int at = 0; at < _layers.Length; at++)
        {
            Layer layer = _layers[at];
            bool isLast = at == _layers.Length - 1;
            Tensor queryKeyValue = pass.Linear(x, layer.Text.InProjectionWeight, layer.Text.InProjectionBias);
            Tensor attended;
            if (isLast)
            {
                // Of the last layer the queries are used.
                Tensor own = pass.SliceTokens(queryKeyValue, 0, queryCount);
                attended = pass.Attention(new TokenView(own, 0, width), new TokenView(queryKeyValue, width, width), new TokenView(queryKeyValue, 2 * width, width), Bert.Heads, mask);
                x = pass.SliceTokens(x, 0, queryCount);
            }
            else
            {
                attended = pass.SelfAttention(queryKeyValue, Bert.Heads, mask);
            }

            Tensor both = BertEncoder.AddAttended(pass, layer.Text, attended, x);
            Tensor queries = isLast ? both : pass.SliceTokens(both, 0, queryCount);
            if (layer.Cross is { } cross)
                queries = cross.Forward(pass, queries, pass.Load(image.Stores[store++]), pass.Load(image.Stores[store++]));
            queries = layer.Queries.Forward(pass, queries);
            x = pass.ReleaseAllBut(inner, isLast ? queries : pass.ConcatenateTokens(queries, layer.Words.Forward(pass, pass.SliceTokens(both, queryCount, sentences.Length))));
        }

        return pass.LeaveScope(mark, pass.LeaveScope(inner, x));
    }

    /// <summary>Words and positions, which count from the sentence's first token whether or not queries stand before it.</summary>
    private Tensor Embed(IPass pass, PaddedSentences sentences) =>
        pass.TokenEmbedding(pass.Upload(sentences.Ids, new Shape(sentences.Count, sentences.Length)), _words, appendedToken: null, _positions);

    /// <summary>One layer; the image's width where its queries look at the image, else null.</summary>
    private sealed class Layer
    {
        public Layer(BertConfig config, int? imageWidth, WeightReader weights)
        {
            Text = BertEncoder.ReadBlock(config, weights);
            Words = new BertFeedForward(Text);
            Queries = new BertFeedForward(config, weights, "_query");
            Cross = imageWidth is { } width ? new BertCrossAttention(config, width, weights.Scope("crossattention")) : null;
        }

        /// <summary>BERT's block: the self-attention of all tokens, and the sentence's MLP.</summary>
        public TransformerBlock Text { get; }

        /// <summary>That MLP, for where queries stand before the sentence.</summary>
        public BertFeedForward Words { get; }

        public BertFeedForward Queries { get; }

        public BertCrossAttention? Cross { get; }
    }
}
