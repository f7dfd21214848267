using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// BERT (arXiv:1810.04805) as BLIP has it: norms behind the sums, and between self-attention and MLP a cross-attention to an image's
/// tokens, which is skipped whole where there is no image. An image's keys and values do not depend on the sentence: they are
/// projected once (<see cref="PrepareImage"/>) and kept beyond the pass.
/// </summary>
internal sealed class BlipText
{
    private readonly BlipTextConfig _config;
    private readonly BertEmbeddings _embeddings;
    private readonly Layer[] _layers;
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the transformer.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="imageWidth">Of an image's token.</param>
    /// <param name="weights">A reader below <c>text_encoder</c> or <c>text_decoder.bert</c>.</param>
    public BlipText(BlipTextConfig config, int imageWidth, WeightReader weights)
    {
        _config = config;
        _embeddings = new BertEmbeddings(config, weights.Scope("embeddings"));
        _layers = new Layer[config.Layers];
        for (int layer = 0; layer < _layers.Length; layer++)
            _layers[layer] = new Layer(config, imageWidth, weights.Scope($"encoder.layer.{layer}"));
        _blocks = [.. _layers.Select(static layer => layer.Block)];
    }

    /// <summary>Projects an image's tokens to the keys and values of every layer and keeps them.</summary>
    /// <param name="pass">A pass of <paramref name="backend"/>.</param>
    /// <param name="backend">Where the stores are made.</param>
    /// <param name="imageTokens"><c>[1, tokens, image width]</c>.</param>
    public PreparedImage PrepareImage(IPass pass, IBackend backend, in Tensor imageTokens) =>
        ImageKeyValues.Prepare(pass, backend, imageTokens, _layers.Select(static layer => layer.Cross.KeyValues));

    /// <summary>Cuts the padding of sentences; padding is what stands behind their end.</summary>
    /// <param name="ids"><c>[n, length]</c>.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <exception cref="ArgumentException">The lengths do not fit each other or the model.</exception>
    public PaddedSentences Cut(ReadOnlySpan<int> ids, int length) => length >= 1 && length <= _config.Positions && ids.Length > 0 && ids.Length % length == 0
        ? new PaddedSentences(ids, length, _config.PaddingId, hidesInnerPadding: false)
        : throw new ArgumentException($"expected sentences of 1 to {_config.Positions} ids, found {ids.Length} ids in sentences of {length}.", nameof(ids));

    /// <summary>Sentences by themselves; of each the first token.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="sentences">Padded.</param>
    /// <returns><c>[n, width]</c>.</returns>
    public Tensor ForwardFirst(IPass pass, PaddedSentences sentences)
    {
        long mark = pass.EnterScope();
        Tensor x = _embeddings.Forward(pass, sentences.Ids, sentences.Length);
        return pass.LeaveScope(mark, pass.TransformerStack(x, _blocks, sentences.Mask(pass, sentences.Length), sentences.First(pass)));
    }

    /// <summary>Sentences with an image; of each the first token.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="image">From <see cref="PrepareImage"/>.</param>
    /// <param name="sentences">Padded.</param>
    /// <returns><c>[n, width]</c>.</returns>
    public Tensor ForwardFirst(IPass pass, PreparedImage image, PaddedSentences sentences)
    {
        long mark = pass.EnterScope();
        AttentionMask mask = sentences.Mask(pass, sentences.Length);
        Tensor x = _embeddings.Forward(pass, sentences.Ids, sentences.Length);
        long inner = pass.EnterScope();
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            Layer own = _layers[layer];
            Tensor queryKeyValue = pass.Linear(x, own.Block.InProjectionWeight, own.Block.InProjectionBias);
            Tensor attended;
            if (layer < _layers.Length - 1)
            {
                attended = pass.SelfAttention(queryKeyValue, _config.Heads, mask);
            }
            else
            {
                // Of the last layer one token is used.
                queryKeyValue = queryKeyValue.Reshape(new Shape(sentences.Count, sentences.Length, 3 * _config.Width));
                Tensor query = pass.SliceTokens(queryKeyValue, 0, 1);
                attended = pass.Attention(new TokenView(query, 0, _config.Width), Part(queryKeyValue, 1), Part(queryKeyValue, 2), _config.Heads, mask);
                x = pass.SliceTokens(x, 0, 1);
            }

            x = pass.ReleaseAllBut(inner, Finish(pass, own, image, layer, attended, x));
        }

        x = pass.LeaveScope(inner, x);
        return pass.LeaveScope(mark, x.Reshape(new Shape(sentences.Count, _config.Width)));
    }

    /// <summary>One step of a sentence that is written: new tokens attend to what was stored of those before them, and to the image.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="image">From <see cref="PrepareImage"/>.</param>
    /// <param name="ids"><c>[n, count]</c>: the new ids.</param>
    /// <param name="count">New ids of one sentence.</param>
    /// <param name="past">Keys and values of the tokens before, two stores for each layer; the new ones are added.</param>
    /// <param name="position">How many tokens are stored.</param>
    /// <param name="lengths">Ids of each sentence that are no padding; empty where there is none.</param>
    /// <returns><c>[n, count, width]</c>.</returns>
    public Tensor ForwardNext(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int count, IReadOnlyList<TokenStore> past, int position, ReadOnlySpan<int> lengths)
    {
        long mark = pass.EnterScope();
        Tensor x = _embeddings.Forward(pass, ids, count, position);
        var mask = new AttentionMask { Causal = true, Offset = position, KeyLengths = lengths.IsEmpty ? default : pass.Upload(lengths, new Shape(lengths.Length)) };
        long inner = pass.EnterScope();
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            Layer own = _layers[layer];
            Tensor queryKeyValue = pass.Linear(x, own.Block.InProjectionWeight, own.Block.InProjectionBias);
            pass.Store(past[2 * layer], Part(queryKeyValue, 1), position);
            pass.Store(past[(2 * layer) + 1], Part(queryKeyValue, 2), position);
            Tensor attended = pass.Attention(Part(queryKeyValue, 0), pass.Load(past[2 * layer]), pass.Load(past[(2 * layer) + 1]), _config.Heads, mask);
            x = pass.ReleaseAllBut(inner, Finish(pass, own, image, layer, attended, x));
        }

        return pass.LeaveScope(mark, pass.LeaveScope(inner, x));
    }

    /// <summary>Where the keys and values of sentences are kept while they are written.</summary>
    public List<TokenStore> CreatePast(IBackend backend, int count, int capacity) =>
        [.. Enumerable.Range(0, 2 * _layers.Length).Select(_ => backend.CreateTokenStore(new Shape(count, capacity, _config.Width)))];

    /// <summary>What follows self-attention in a layer: its output, the image, the MLP.</summary>
    private Tensor Finish(IPass pass, Layer own, PreparedImage image, int layer, in Tensor attended, in Tensor input)
    {
        Tensor x = BertEncoder.AddAttended(pass, own.Block, attended, input);
        return own.FeedForward.Forward(pass, own.Cross.Forward(pass, x, pass.Load(image.Stores[2 * layer]), pass.Load(image.Stores[(2 * layer) + 1])));
    }

    private TokenView Part(in Tensor queryKeyValue, int part) => new(queryKeyValue, part * _config.Width, _config.Width);

    /// <summary>One layer: BERT's block, and the cross-attention in its middle.</summary>
    private sealed class Layer
    {
        public Layer(BlipTextConfig config, int imageWidth, WeightReader weights)
        {
            Block = BertEncoder.ReadBlock(config, weights);
            FeedForward = new BertFeedForward(Block);
            Cross = new BertCrossAttention(config, imageWidth, weights.Scope("crossattention"));
        }

        public TransformerBlock Block { get; }

        /// <summary>The block's MLP, for where the image stands before it.</summary>
        public BertFeedForward FeedForward { get; }

        public BertCrossAttention Cross { get; }
    }
}
