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
    /// <returns><c>[n, count, vocabulary]</c> logits of the id behind each of them.</returns>
    Tensor Continue(IPass pass, PreparedImage image, CaptionState state, ReadOnlySpan<int> ids, int count, ReadOnlySpan<int> lengths = default);
}

/// <summary>Keys and values of sentences that are being written.</summary>
/// <param name="stores">Of the model's own meaning; each <c>[sentences, capacity, width]</c>. Disposed with this.</param>
public sealed class CaptionState(IReadOnlyList<TokenStore> stores) : IDisposable
{
    /// <summary>The stores.</summary>
    public IReadOnlyList<TokenStore> Stores => stores;

    /// <summary>Ids that were written.</summary>
    public int Position { get; set; }

    /// <summary>Sentence i goes on from what sentence <c>sources[i]</c> was.</summary>
    public void Reorder(IPass pass, ReadOnlySpan<int> sources)
    {
        ArgumentNullException.ThrowIfNull(pass);
        foreach (TokenStore store in stores)
            pass.Reorder(store, sources);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TokenStore store in stores)
            store.Dispose();
    }
}
