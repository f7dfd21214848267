using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A model that writes sentences about images, token by token.</summary>
public interface ICaptioner : IModel
{
    /// <summary>The id that every sentence begins with; a prompt follows it.</summary>
    int BeginId { get; }

    /// <summary>The id that ends a sentence.</summary>
    int EndId { get; }

    /// <summary>What stands behind a sentence that ended, in a table of several.</summary>
    int PaddingId { get; }

    /// <summary>Ids of a caption at most.</summary>
    int CaptionLength => ContextLength;

    /// <summary>Logits of each id: one more than the largest id that a caption can have.</summary>
    int CaptionVocabulary => VocabularySize;

    /// <summary>Whose way of searching the model's captions are found in.</summary>
    CaptionStyle Style => CaptionStyle.Transformers;

    /// <summary>Enqueues what of an image does not depend on the sentence.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <returns><c>[n, tokens, width]</c>.</returns>
    Tensor EncodeImageTokens(IPass pass, in Tensor pixels);

    /// <summary>What every sentence about an image looks at, kept beyond the pass.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="imageTokens"><c>[1, tokens, width]</c>.</param>
    PreparedImage PrepareImage(IPass pass, in Tensor imageTokens);

    /// <summary>Room for sentences that are written side by side.</summary>
    /// <param name="count">Sentences.</param>
    /// <param name="capacity">Ids of each at most.</param>
    CaptionState Begin(int count, int capacity);

    /// <summary>Enqueues the next tokens of every sentence.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="image">The image of all of them.</param>
    /// <param name="state">What was written so far; the new ids are added.</param>
    /// <param name="ids"><c>[n, count]</c>: the new ids.</param>
    /// <param name="count">New ids of each sentence.</param>
    /// <param name="lengths">Ids of each sentence that are no padding; empty where there is none.</param>
    /// <returns><c>[n, count, CaptionVocabulary]</c> logits of the id behind each of them.</returns>
    Tensor Continue(IPass pass, PreparedImage image, CaptionState state, ReadOnlySpan<int> ids, int count, ReadOnlySpan<int> lengths = default);
}

/// <summary>Whose way of searching for captions a model was published with.</summary>
public enum CaptionStyle
{
    /// <summary>transformers 5.24's <c>generate</c>: beams are ranked by the mean log-probability of their new ids.</summary>
    Transformers,

    /// <summary>open_clip 3.3's <c>CoCa.generate</c>: beams, in groups, are ranked by the mean raw logit of all ids; without beams the last place of the longest caption is the end's.</summary>
    OpenClip,
}

/// <summary>Keys and values of sentences that are being written.</summary>
/// <param name="stores">Of the model's own meaning; each <c>[sentences, capacity, width]</c>. Disposed with this.</param>
public sealed class CaptionState(IReadOnlyList<TokenStore> stores) : IDisposable
{
    /// <summary>The stores.</summary>
    public IReadOnlyList<TokenStore> Stores => stores;

    /// <summary>Ids that were written.</summary>
    public int Position { get; set; }

    /// <summary>The ids of each sentence, for a model whose next id does not follow from its stores alone; empty where it does not keep them.</summary>
    public IReadOnlyList<int[]> Ids { get; set; } = [];

    /// <summary>Sentence i goes on from what sentence <c>sources[i]</c> was.</summary>
    public void Reorder(IPass pass, ReadOnlySpan<int> sources)
    {
        ArgumentNullException.ThrowIfNull(pass);
        foreach (TokenStore store in stores)
            pass.Reorder(store, sources);
        if (Ids.Count == 0)
            return;
        var ids = new int[sources.Length][];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = Ids[sources[i]];
        Ids = ids;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TokenStore store in stores)
            store.Dispose();
    }
}
