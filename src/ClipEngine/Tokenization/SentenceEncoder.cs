namespace ClipEngine.Tokenization;

/// <summary>Turns a cleaned sentence into ids, without the special tokens that begin and end it. Immutable and thread-safe.</summary>
internal abstract class SentenceEncoder
{
    /// <summary>Adds the sentence's ids to <see cref="TokenizerScratch.Ids"/>.</summary>
    public abstract void Encode(string text, TokenizerScratch scratch);
}

/// <summary>Buffers of one thread, used again from sentence to sentence.</summary>
internal sealed class TokenizerScratch
{
    [ThreadStatic]
    private static TokenizerScratch? t_current;

    public IdList Ids { get; } = new();

    public TextPieces Pieces { get; set; } = new();

    public TextPieces OtherPieces { get; set; } = new();

    /// <summary>This thread's buffers, emptied.</summary>
    public static TokenizerScratch Take()
    {
        TokenizerScratch scratch = t_current ??= new TokenizerScratch();
        scratch.Ids.Clear();
        return scratch;
    }

    /// <summary>Forgets buffers that a very long text has made large.</summary>
    public void Release()
    {
        if (Ids.Count > 1 << 16)
            t_current = null;
    }
}

/// <summary>
/// The steps of a <c>tokenizer.json</c>: added tokens are found in the text as it was written, what lies between them is normalized, added
/// tokens of the normalized kind are found, the rest is cut into words, and the model turns words into ids.
/// </summary>
internal sealed class PipelineEncoder : SentenceEncoder
{
    private readonly TextNormalizer? _normalizer;
    private readonly TextSplitter[] _splitters;
    private readonly TokenModel _model;
    private readonly AddedTokens? _written;
    private readonly AddedTokens? _normalized;
    private readonly string _source;

    public PipelineEncoder(string source, TextNormalizer? normalizer, IEnumerable<TextSplitter> splitters, TokenModel model, IEnumerable<AddedToken> added)
    {
        _source = source;
        _normalizer = normalizer;
        _splitters = [.. splitters];
        _model = model;
        AddedToken[] all = [.. added];
        AddedToken[] normalized = [.. all.Where(static token => token.IsNormalized)
            .Select(token => token with { Content = Normalize(token.Content) }).Where(static token => token.Content.Length > 0)];
        _written = all.Any(static token => !token.IsNormalized) ? new AddedTokens(all.Where(static token => !token.IsNormalized)) : null;
        _normalized = normalized.Length > 0 ? new AddedTokens(normalized) : null;
    }

    public override void Encode(string text, TokenizerScratch scratch)
    {
        int done = 0;
        while (_written is not null && _written.TryFind(text, done, out AddedTokens.Match match))
        {
            EncodeWritten(text, done, match.Start, scratch);
            scratch.Ids.Add(match.Token.Id);
            done = match.End;
        }

        EncodeWritten(text, done, text.Length, scratch);
    }

    private void EncodeWritten(string text, int start, int end, TokenizerScratch scratch)
    {
        if (start >= end)
            return;
        string section = start == 0 && end == text.Length ? text : text[start..end];
        string normalized = Normalize(section);
        int done = 0;
        while (_normalized is not null && _normalized.TryFind(normalized, done, out AddedTokens.Match match))
        {
            EncodeNormalized(normalized.AsSpan(done, match.Start - done), start == 0 && done == 0, scratch);
            scratch.Ids.Add(match.Token.Id);
            done = match.End;
        }

        EncodeNormalized(normalized.AsSpan(done), start == 0 && done == 0, scratch);
    }

    private string Normalize(string text)
    {
        try
        {
            return _normalizer?.Normalize(text) ?? text;
        }
        catch (FormatException exception)
        {
            throw new BadInputException(_source, exception.Message, "Get the file again.", exception);
        }
    }

    private void EncodeNormalized(ReadOnlySpan<char> text, bool startsSentence, TokenizerScratch scratch)
    {
        if (text.Length == 0)
            return;
        scratch.Pieces.Clear();
        scratch.Pieces.StartsSentence = startsSentence;
        scratch.Pieces.Add(text);
        foreach (TextSplitter splitter in _splitters)
        {
            splitter.Split(scratch.Pieces, scratch.OtherPieces);
            (scratch.Pieces, scratch.OtherPieces) = (scratch.OtherPieces, scratch.Pieces);
        }

        for (int i = 0; i < scratch.Pieces.Count; i++)
            _model.Encode(scratch.Pieces[i], scratch.Ids);
    }
}

/// <summary>A SentencePiece model by itself: no added tokens, no special ones.</summary>
internal sealed class SentencePieceEncoder(SentencePieceModel model) : SentenceEncoder
{
    public override void Encode(string text, TokenizerScratch scratch) => model.Encode(text, addsMark: null, scratch.Ids);
}
