namespace ClipEngine.Tokenization;

/// <summary>
/// transformers' SiglipTokenizer, the last class that runs SentencePiece itself: the text is cut at special tokens, and of every piece ASCII punctuation is
/// deleted, letters are lowered and white space is joined.
/// </summary>
internal sealed class SiglipEncoder : SentenceEncoder
{
    private const string Mark = "\u2581";

    private readonly SentencePieceModel _model;
    private readonly AddedTokens _added;
    private readonly string _unknown;
    private readonly int _unknownLength;
    private readonly int _markId;
    private readonly bool _lowers;

    private SiglipEncoder(SentencePieceModel model, AddedToken[] added, string unknown, int markId, bool lowers)
    {
        _model = model;
        _added = new AddedTokens(added);
        _unknown = unknown;
        _markId = markId;
        _lowers = lowers;
        var ids = new IdList();
        model.Encode(unknown, addsMark: false, ids);
        _unknownLength = ids.Count;
    }

    public static TokenizerParts Read(string path, TokenizerSettings settings)
    {
        string file = TransformersTokenizers.FileOf(path, "spiece.model") ?? throw new BadInputException(path, "there is no spiece.model, which SiglipTokenizer reads.", "Put it there, or name another class.");
        SentencePieceFile pieces = SentencePieceFile.Read(file);
        var added = settings.AddedTokens().ToList();
        foreach ((string role, string fallback) in new[] { ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "</s>") })
        {
            AddedToken token = (settings.Special(role) ?? new AddedToken(fallback, -1)) with { StripsLeft = true, StripsRight = true, IsSpecial = true };
            if (added.Exists(known => known.Content == token.Content))
                continue;
            int id = pieces.Pieces.FindIndex(piece => piece.Text == token.Content);
            added.Add(token with { Id = id >= 0 ? id : throw new BadInputException(file, $"it lacks the token '{BadInputException.Escape(token.Content, 80)}' ({role}).") });
        }

        int IdOf(string role, string fallback) => added.First(token => token.Content == (settings.Special(role)?.Content ?? fallback)).Id;
        string unknown = settings.Special("unk_token")?.Content ?? "<unk>";
        return new TokenizerParts
        {
            Source = file,
            Encoder = new SiglipEncoder(new SentencePieceModel(pieces), [.. added.Select(static token => token with { IsNormalized = false })], unknown,
                pieces.Pieces.FindIndex(static piece => piece.Text == Mark), settings.Flag("do_lower_case") ?? true),
            BytesOf = TokenTexts.Of(pieces.Pieces, added).BytesOf,
            Suffix = [IdOf("eos_token", "</s>")],
            EndsOnce = true,
            PaddingId = IdOf("pad_token", "</s>"),
            PadsLeft = settings.Text("padding_side") == "left",
            VocabularySize = 1 + Math.Max(pieces.Pieces.Count - 1, added.Max(static token => token.Id)),
            LongestSentence = settings.LongestSentence ?? 64,
        };
    }

    public override void Encode(string text, TokenizerScratch scratch)
    {
        text = Mark + text.Replace(Mark, " ", StringComparison.Ordinal);
        int done = 0;
        while (_added.TryFind(text, done, out AddedTokens.Match match))
        {
            EncodePiece(text.AsSpan(done, match.Start - done), scratch.Ids);
            // A special token that begins the sentence needs no word mark in front.
            if (done == 0 && scratch.Ids.Count == 1 && scratch.Ids.Last == _markId && match.Token.IsSpecial)
                scratch.Ids.Clear();
            scratch.Ids.Add(match.Token.Id);
            done = match.End;
        }

        EncodePiece(text.AsSpan(done), scratch.Ids);
    }

    /// <summary>
    /// SentencePiece would take the word mark away from the beginning of a text, so that the class puts the unknown token's name in front and leaves
    /// out the ids that it has by itself.
    /// </summary>
    private void EncodePiece(ReadOnlySpan<char> piece, IdList ids)
    {
        if (piece.Length == 0)
            return;
        string cleaned = TextCleaning.WithoutPunctuation(piece.ToString());
        if (_lowers)
            cleaned = UnicodeCase.Lower(cleaned);
        cleaned = TextCleaning.CollapseWhiteSpace(cleaned);
        int start = ids.Count;
        _model.Encode(_unknown + cleaned, addsMark: false, ids);
        if (ids.Count - start >= _unknownLength)
            ids.RemoveFirst(start, _unknownLength);
    }
}
