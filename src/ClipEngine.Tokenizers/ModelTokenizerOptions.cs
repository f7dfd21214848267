namespace ClipEngine.Tokenizers;

/// <summary>What a text tower expects around the ids of a sentence's words.</summary>
public sealed record ModelTokenizerOptions
{
    /// <summary>Ids of one sentence at most, start and end included: the model's context length.</summary>
    public required int ContextLength { get; init; }

    /// <summary>One more than the tokenizer's largest id.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Put before each sentence; null where the tokenizer does so itself, or the model expects none.</summary>
    public int? StartId { get; init; }

    /// <summary>
    /// Put behind each sentence, and in the last place of one that is cut; null where the tokenizer does so itself, or the model expects none.
    /// The end that a tokenizer puts itself (the last id of an empty sentence) is kept when a sentence is cut.
    /// </summary>
    public int? EndId { get; init; }

    /// <summary>Fills what lies behind the sentence.</summary>
    public int PaddingId { get; init; }
}
