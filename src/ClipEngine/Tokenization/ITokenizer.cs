namespace ClipEngine.Tokenization;

/// <summary>Turns sentences into the token ids that a text tower was trained on. Thread-safe.</summary>
public interface ITokenizer
{
    /// <summary>Ids of one sentence at most, start and end included.</summary>
    int ContextLength { get; }

    /// <summary>One more than the largest id.</summary>
    int VocabularySize { get; }

    /// <summary>Encodes one sentence.</summary>
    /// <param name="text">Any text; cleaned the way the model's training did.</param>
    /// <param name="ids"><see cref="ContextLength"/> ids; what lies behind the sentence is filled with the padding id.</param>
    /// <returns>How many ids the sentence takes (start and end included), and whether it had to be cut.</returns>
    EncodedLength Encode(string text, Span<int> ids);

    /// <summary>
    /// What an id stands for, as UTF-8, with the space that separates it from its neighbour; nothing for ids that stand for no text, such as
    /// start, end and padding. A character may be spread over several ids.
    /// </summary>
    /// <param name="id">In <c>[0, VocabularySize)</c>.</param>
    /// <exception cref="ArgumentOutOfRangeException">No id of this tokenizer.</exception>
    /// <exception cref="NotSupportedException">This tokenizer cannot tell.</exception>
    ReadOnlyMemory<byte> BytesOf(int id) => throw new NotSupportedException($"{GetType().Name} cannot turn ids back into text.");
}

/// <summary>The outcome of encoding one sentence.</summary>
/// <param name="Count">Ids used, start and end included; at most the context length.</param>
/// <param name="FullCount">Ids that the whole sentence would have taken; more than <paramref name="Count"/> where it was cut.</param>
public readonly record struct EncodedLength(int Count, int FullCount)
{
    /// <summary>Whether the sentence did not fit and lost its end.</summary>
    public bool IsTruncated => FullCount > Count;
}
