namespace ClipEngine.Tokenization;

/// <summary>A CLIP tokenizer as a <c>tokenizer.json</c> describes it; see <see cref="TokenizerJson"/>.</summary>
internal sealed class HuggingFaceTokenizer : ITokenizer
{
    private readonly BytePairEncoder _encoder;
    private readonly KeyValuePair<string, int>[] _added;

    public HuggingFaceTokenizer(BytePairEncoder encoder, IReadOnlyDictionary<string, int> added, int contextLength, int vocabularySize)
    {
        _encoder = encoder;
        _added = [.. added.OrderByDescending(token => token.Key.Length)];
        ContextLength = contextLength;
        VocabularySize = vocabularySize;
    }

    public required int Start { get; init; }

    public required int End { get; init; }

    public required int Padding { get; init; }

    public required bool Compose { get; init; }

    public required bool Lower { get; init; }

    public int ContextLength { get; }

    public int VocabularySize { get; }

    public EncodedLength Encode(string text, Span<int> ids)
    {
        ArgumentNullException.ThrowIfNull(text);
        var sentence = new SentenceWriter(ids, ContextLength, Start);
        // Added tokens are found in the text as it was written, before any cleaning, and split it.
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            foreach ((string word, int id) in _added)
            {
                if (!text.AsSpan(i).StartsWith(word, StringComparison.Ordinal))
                    continue;
                EncodePlain(text[done..i], ref sentence);
                sentence.Add(id);
                done = i + word.Length;
                i = done - 1;
                break;
            }
        }

        EncodePlain(text[done..], ref sentence);
        return sentence.Finish(End, Padding);
    }

    private void EncodePlain(string text, ref SentenceWriter sentence)
    {
        if (Compose)
            text = UnicodeComposition.Compose(text);
        if (Lower)
            // Letter by letter, without the rule of the final sigma.
            text = UnicodeCase.Lower(text, knowsFinalSigma: false);
        var words = new WordSplitter(text, [], ignoreCase: false);
        while (words.MoveNext())
            sentence.Advance(_encoder.Encode(words.Current, sentence.Free));
    }
}
