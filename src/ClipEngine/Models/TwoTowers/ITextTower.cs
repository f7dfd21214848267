using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A text tower: token ids to features.</summary>
internal interface ITextTower
{
    /// <summary>Whether a sentence's feature is one vector; else each of its tokens has one.</summary>
    bool IsPooled => true;

    /// <summary>Enqueues the tower.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="ids"><c>[n, length]</c>, padded as the tokenizer does.</param>
    /// <param name="length">Ids of one sentence, at most the context length.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, length, embed_dim]</c> without pooling.</returns>
    Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length);
}
