namespace ClipEngine.Tokenization;

/// <summary>Whose pipeline a tokenizer's files are read for.</summary>
public enum TokenizerStyle
{
    /// <summary>open_clip 3.3's HFTokenizer: its text cleaning, then the tokenizer as transformers reads it.</summary>
    OpenClip,

    /// <summary>transformers 5.24's AutoTokenizer: no cleaning; of most classes the files give only vocabulary and tokens, and the class the rest.</summary>
    Transformers,

    /// <summary>The file as it stands: <c>tokenizer.json</c> as the tokenizers library reads it, a SentencePiece model as that library does (without special tokens).</summary>
    File,
}

/// <summary>What open_clip does to a text before its tokenizers see it. All but <see cref="None"/> begin with ftfy's repairs and HTML references resolved twice.</summary>
public enum TextClean
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>White space runs become single spaces.</summary>
    Whitespace,

    /// <summary>The same, then lower case by Python's rules.</summary>
    Lower,

    /// <summary>Underscores become spaces, ASCII punctuation is deleted, lower case, white space runs become single spaces.</summary>
    Canonicalize,
}

/// <summary>What to take a tokenizer's files for.</summary>
public sealed record TokenizerOptions
{
    /// <summary>Whose pipeline.</summary>
    public TokenizerStyle Like { get; init; } = TokenizerStyle.Transformers;

    /// <summary>transformers' tokenizer class (<c>BertTokenizer</c>); null for the one that the folder's own files lead to.</summary>
    public string? ClassName { get; init; }

    /// <summary>transformers' model type (<c>siglip2</c>), which chooses the class where <see cref="ClassName"/> and the tokenizer's files do not; null for <c>config.json</c>'s.</summary>
    public string? ModelType { get; init; }

    /// <summary>Ids of a sentence at most, special tokens included; null for 77 (open_clip) or what the files say, if anything.</summary>
    public int? ContextLength { get; init; }

    /// <summary>open_clip's text cleaning; null for its default, <see cref="TextClean.Whitespace"/>. The other styles clean nothing.</summary>
    public TextClean? Clean { get; init; }

    /// <summary>
    /// NLLB's language code (<c>zho_Hans</c>); null for the one that the files name. open_clip 3.3 asks transformers 5.24 for it in vain: its sentences begin with
    /// the files' code (eng_Latn) whatever language it was given, and so do those of <see cref="TokenizerStyle.OpenClip"/>.
    /// </summary>
    public string? Language { get; init; }

    /// <summary>The id that fills rows where the files name none; null to refuse rows that need it.</summary>
    public int? PaddingId { get; init; }

    /// <summary>open_clip's <c>strip_sep_token</c>: every separator id becomes 0.</summary>
    public bool StripSeparator { get; init; }
}
