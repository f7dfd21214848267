using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>What a <see cref="TextTokenizer"/> is made of.</summary>
internal sealed record TokenizerParts
{
    /// <summary>The file that it came from, for messages.</summary>
    public required string Source { get; init; }

    public required SentenceEncoder Encoder { get; init; }

    /// <summary>What an id stands for.</summary>
    public required Func<int, ReadOnlyMemory<byte>> BytesOf { get; init; }

    /// <summary>Ids in front of every sentence.</summary>
    public int[] Prefix { get; init; } = [];

    /// <summary>Ids behind every sentence; kept when it is cut.</summary>
    public int[] Suffix { get; init; } = [];

    /// <summary>Whether a sentence that ends in the suffix's only id already gets no second one.</summary>
    public bool EndsOnce { get; init; }

    /// <summary>What fills a row; null where the tokenizer has no such token.</summary>
    public int? PaddingId { get; init; }

    public bool PadsLeft { get; init; }

    /// <summary>The separator, which <see cref="TokenizerOptions.StripSeparator"/> replaces; null where there is none.</summary>
    public int? SeparatorId { get; init; }

    public required int VocabularySize { get; init; }

    /// <summary>The longest sentence that the files name; null where they name none.</summary>
    public int? LongestSentence { get; init; }
}

/// <summary>
/// A tokenizer read from a model's files by <see cref="TokenizerFolder"/>: WordPiece, unigram or byte-pair encoding, with the text cleaning, the special tokens and
/// the padding of the pipeline that was asked for. Immutable and thread-safe; time is proportional to the text's length but for a logarithm.
/// </summary>
public sealed class TextTokenizer : ITokenizer
{
    private readonly TokenizerParts _parts;
    private readonly TextClean _clean;
    private readonly bool _stripsSeparator;

    internal TextTokenizer(TokenizerParts parts, TextClean clean, int contextLength, bool stripsSeparator)
    {
        _parts = parts;
        _clean = clean;
        _stripsSeparator = stripsSeparator;
        ContextLength = contextLength;
    }

    /// <summary>Ids of one sentence at most, special tokens included; <see cref="int.MaxValue"/> where nothing bounds it.</summary>
    public int ContextLength { get; }

    /// <inheritdoc/>
    public int VocabularySize => _parts.VocabularySize;

    /// <summary>The id that fills rows; null where the tokenizer has none, and then only whole rows can be encoded.</summary>
    public int? PaddingId => _parts.PaddingId;

    /// <inheritdoc/>
    /// <remarks>Padding stands in front of the sentence where the tokenizer's files say so (Gemma's class does, unless told otherwise).</remarks>
    /// <exception cref="ArgumentException"><paramref name="ids"/> has not exactly <see cref="ContextLength"/> places.</exception>
    /// <exception cref="BadInputException">The tokenizer has no padding token and the sentence does not fill the row.</exception>
    public EncodedLength Encode(string text, Span<int> ids)
    {
        if (ids.Length != ContextLength)
            throw new ArgumentException($"{ContextLength} ids were expected, the context length; there is room for {ids.Length}.", nameof(ids));
        EncodedLength length = Fill(text, ids, out TokenizerScratch scratch);
        scratch.Release();
        Span<int> padding = _parts.PadsLeft ? ids[..^length.Count] : ids[length.Count..];
        if (padding.Length > 0)
        {
            if (_parts.PadsLeft)
                ids[..length.Count].CopyTo(ids[^length.Count..]);
            padding.Fill(_parts.PaddingId ?? throw new BadInputException(_parts.Source, "the tokenizer has no padding token, so that sentences of different lengths cannot stand in one table.",
                "Name a pad_token in tokenizer_config.json beside it."));
        }

        if (_stripsSeparator)
            ids.Replace(_parts.SeparatorId!.Value, 0);
        return length;
    }

    /// <summary>Encodes one sentence without padding.</summary>
    /// <param name="text">Any text; cleaned the way the pipeline does.</param>
    /// <param name="length">How many ids the sentence takes, and whether it had to be cut.</param>
    /// <returns>The ids, special tokens included.</returns>
    public int[] Encode(string text, out EncodedLength length)
    {
        ArgumentNullException.ThrowIfNull(text);
        TokenizerScratch scratch = EncodeContent(text);
        int[] ids = new int[Math.Min(ContextLength, (long)scratch.Ids.Count + _parts.Prefix.Length + _parts.Suffix.Length)];
        length = Assemble(scratch.Ids, ids);
        scratch.Release();
        if (length.Count < ids.Length)
            ids = ids[..length.Count];
        if (_stripsSeparator)
            ids.AsSpan().Replace(_parts.SeparatorId!.Value, 0);
        return ids;
    }

    /// <inheritdoc/>
    /// <remarks>Spaces stand where the vocabulary has them: in front of a word in BERT's, GPT-2's and SentencePiece's, behind it in CLIP's. What the tokenizer's cleaning took away, and unknown words, do not come back.</remarks>
    public ReadOnlyMemory<byte> BytesOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return _parts.BytesOf(id);
    }

    private EncodedLength Fill(string text, Span<int> ids, out TokenizerScratch scratch)
    {
        ArgumentNullException.ThrowIfNull(text);
        scratch = EncodeContent(text);
        return Assemble(scratch.Ids, ids);
    }

    private TokenizerScratch EncodeContent(string text)
    {
        TokenizerScratch scratch = TokenizerScratch.Take();
        text = TextCleaning.Clean(text, _clean);
        _parts.Encoder.Encode(TextCleaning.WithoutLoneSurrogates(text), scratch);
        return scratch;
    }

    /// <summary>Puts the special tokens round what fits of the sentence.</summary>
    private EncodedLength Assemble(IdList content, Span<int> ids)
    {
        int specials = _parts.Prefix.Length + _parts.Suffix.Length;
        int kept = Math.Min(content.Count, ids.Length - specials);
        _parts.Prefix.CopyTo(ids);
        content.Span[..kept].CopyTo(ids[_parts.Prefix.Length..]);
        int end = _parts.Prefix.Length + kept;
        if (_parts.EndsOnce && kept > 0 && ids[end - 1] == _parts.Suffix[0])
            return new EncodedLength(end, end + content.Count - kept);
        _parts.Suffix.CopyTo(ids[end..]);
        return new EncodedLength(end + _parts.Suffix.Length, content.Count + specials);
    }
}
