using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>What a caption decoder has to know of the text tower whose tokens it reads.</summary>
/// <param name="Width">Of a token.</param>
/// <param name="BeginId">What a sentence begins with.</param>
/// <param name="EndId">What ends it.</param>
/// <param name="PaddingId">What stands behind the end.</param>
internal readonly record struct CaptionTokens(int Width, int BeginId, int EndId, int PaddingId);

/// <summary>A text tower whose tokens a caption decoder reads (CoCa, arXiv:2205.01917, section 3.2).</summary>
internal interface ICaptionText : ITextTower
{
    /// <summary>Whether a token depends on those before it alone. Their keys and values are then kept; else a longer sentence is another one from its first token on.</summary>
    bool IsCausal { get; }

    /// <summary>Where a causal tower keeps keys and values; empty for another.</summary>
    /// <param name="backend">Where the stores are made.</param>
    /// <param name="count">Sentences.</param>
    /// <param name="capacity">Ids of each at most.</param>
    List<TokenStore> CreatePast(IBackend backend, int count, int capacity);

    /// <summary>Enqueues what the decoder reads of sentences that are being written.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="ids"><c>[n, length]</c>: all ids, those that were there before among them.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="position">The first id that is new; 0 where the tower is not causal.</param>
    /// <param name="past">From <see cref="CreatePast"/>; what is new is added.</param>
    /// <returns><c>[n, length - position, width]</c>.</returns>
    Tensor ForwardTokens(IPass pass, ReadOnlySpan<int> ids, int length, int position, IReadOnlyList<TokenStore> past);
}
