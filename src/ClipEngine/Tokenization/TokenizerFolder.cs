using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Tokenization;

/// <summary>
/// Reads the tokenizer that lies in a model's folder, or a single file of one: <c>tokenizer.json</c>, <c>vocab.txt</c>, <c>vocab.json</c> with
/// <c>merges.txt</c>, <c>spiece.model</c>, <c>tokenizer.model</c> or <c>sentencepiece.bpe.model</c>. The rules, family by family, are in docs/tokenizers.md.
/// </summary>
public static class TokenizerFolder
{
    private static readonly string[] s_names = ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"];

    /// <summary>Files of which one is enough, with <c>merges.txt</c> beside <c>vocab.json</c>.</summary>
    internal static IReadOnlyList<string> Vocabularies => s_names;

    /// <summary>All files that a tokenizer may have.</summary>
    internal static IEnumerable<string> FileNames => [.. s_names, "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

    /// <summary>Whether a folder holds a file that <see cref="Load"/> reads.</summary>
    /// <param name="folder">A folder; it need not exist.</param>
    public static bool HasTokenizer(string folder) => s_names.Any(name => FilePlace.IsFile(Path.Combine(folder, name)));

    /// <summary>Reads a tokenizer.</summary>
    /// <param name="path">A folder, or a tokenizer's file.</param>
    /// <param name="options">Whose pipeline, and with which settings; null for transformers'.</param>
    /// <returns>A thread-safe tokenizer.</returns>
    /// <exception cref="BadInputException">There is no tokenizer, a file is damaged, or it says what is not understood; the message names the file and the part.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static TextTokenizer Load(string path, TokenizerOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new TokenizerOptions();
        Check(path, options);
        return Complete(path, options.Like == TokenizerStyle.File ? ReadLiterally(path) : TransformersTokenizers.Read(path, options), options);
    }

    /// <summary>CLIP's own vocabulary, which needs no file, under the rules of transformers' CLIPTokenizer. open_clip's own rules are <see cref="ClipTokenizer"/>'s.</summary>
    /// <param name="options">The context length counts; null for 77.</param>
    /// <returns>A thread-safe tokenizer.</returns>
    public static TextTokenizer Clip(TokenizerOptions? options = null) => Complete("CLIP", TokenizerBuilder.ClipWithoutFiles(), options ?? new TokenizerOptions());

    private static TextTokenizer Complete(string path, TokenizerParts parts, TokenizerOptions options)
    {
        if (options.StripSeparator && parts.SeparatorId is null)
            throw new BadInputException(path, "the separator shall be stripped, and this tokenizer has none.", "Leave the option away.");
        int context = options.ContextLength
            ?? (options.Like == TokenizerStyle.OpenClip ? ClipTokenizer.DefaultContextLength : parts.LongestSentence ?? int.MaxValue);
        int specials = parts.Prefix.Length + parts.Suffix.Length;
        if (context <= specials)
            throw new BadInputException(path, $"a sentence may have {context} ids, of which special tokens take {specials}.", "Choose a longer context.");
        TextClean clean = options.Like == TokenizerStyle.OpenClip ? options.Clean ?? TextClean.Whitespace : TextClean.None;
        return new TextTokenizer(parts with { PaddingId = parts.PaddingId ?? options.PaddingId }, clean, context, options.StripSeparator);
    }

    private static void Check(string path, TokenizerOptions options)
    {
        if (!FilePlace.IsFile(path) && !FilePlace.IsFolder(path))
            throw new BadInputException(path, "there is no such file or folder.", $"Name a folder with {string.Join(", ", s_names)}, or one of these files.");
        if (options.ContextLength is { } context && context < 1)
            throw new BadInputException("context", $"a sentence may have {context} ids.", "At least 1 was expected.");
        if (options.Like != TokenizerStyle.OpenClip && options.Clean is not null and not TextClean.None)
            throw new BadInputException("clean", $"{options.Clean} is open_clip's cleaning, and the tokenizer is read as {options.Like} does, which cleans nothing.", "Ask for open_clip's pipeline, or leave the cleaning away.");
        if (options.Like == TokenizerStyle.File && (options.ClassName ?? options.Language) is { } idle)
            throw new BadInputException("like", $"a file that is read as it stands has no class or language ('{BadInputException.Escape(idle, 80)}').", "Leave the option away, or ask for transformers' pipeline.");
    }

    private static TokenizerParts ReadLiterally(string path)
    {
        string file = FilePlace.IsFolder(path)
            ? s_names.Where(static name => name == "tokenizer.json" || name.EndsWith(".model", StringComparison.Ordinal)).Select(name => Path.Combine(path, name)).FirstOrDefault(File.Exists)
                ?? throw new BadInputException(path, "there is neither a tokenizer.json nor a SentencePiece model in the folder.", "Name a folder that has one.")
            : path;
        if (Path.GetExtension(file).Equals(".json", StringComparison.OrdinalIgnoreCase))
            return TokenizerJson.Read(file, static json => json.ReadWhole());
        if (!Path.GetExtension(file).Equals(".model", StringComparison.OrdinalIgnoreCase))
            throw new BadInputException(file, "only tokenizer.json and SentencePiece models (.model) say everything about a tokenizer.", "Ask for transformers' pipeline, with a class.");
        SentencePieceFile model = SentencePieceFile.Read(file);
        return new TokenizerParts { Source = file, Encoder = new SentencePieceEncoder(new SentencePieceModel(model)), BytesOf = TokenTexts.Of(model.Pieces, []).BytesOf, VocabularySize = model.Pieces.Count };
    }

    /// <summary><c>model_type</c> of the <c>config.json</c> in a folder; null where there is none.</summary>
    internal static string? ModelType(string folder)
    {
        string path = Path.Combine(folder, "config.json");
        return FilePlace.IsFile(path) && TokenizerSettings.ReadObject(path).TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String ? type.GetString() : null;
    }
}
