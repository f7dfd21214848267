using ClipEngine.Files;

namespace ClipEngine.Tokenization;

/// <summary>
/// transformers 5.24's tokenizer classes. All but the literal ones take from <c>tokenizer.json</c> only the vocabulary, the merges, the table of
/// replacements, the added tokens and the post-processor, and build normalizer and pre-tokenizer from the class and <c>tokenizer_config.json</c>.
/// </summary>
internal static class TransformersTokenizers
{
    private const string Bert = "BertTokenizer", Clip = "CLIPTokenizer", Gemma = "GemmaTokenizer", Gpt2 = "GPT2Tokenizer", Nllb = "NllbTokenizer",
        Roberta = "RobertaTokenizer", Siglip = "SiglipTokenizer", Siglip2 = "Siglip2Tokenizer", T5 = "T5Tokenizer", XlmRoberta = "XLMRobertaTokenizer";

    /// <summary>Classes that read a tokenizer.json as it stands.</summary>
    private static readonly string[] s_literal = ["PreTrainedTokenizerFast", "TokenizersBackend"];

    private static readonly Dictionary<string, string> s_classOfModel = new(StringComparer.Ordinal)
    {
        ["align"] = Bert,
        ["bert"] = Bert,
        ["blip"] = Bert,
        ["chinese_clip"] = Bert,
        ["distilbert"] = Bert,
        ["flava"] = Bert,
        ["git"] = Bert,
        ["vilt"] = Bert,
        ["aimv2"] = Clip,
        ["clip"] = Clip,
        ["clipseg"] = Clip,
        ["groupvit"] = Clip,
        ["owlv2"] = Clip,
        ["owlvit"] = Clip,
        ["xclip"] = Clip,
        ["gemma"] = Gemma,
        ["gemma2"] = Gemma,
        ["gemma3"] = Gemma,
        ["gemma3_text"] = Gemma,
        ["blip-2"] = Gpt2,
        ["gpt2"] = Gpt2,
        ["instructblip"] = Gpt2,
        ["opt"] = Gpt2,
        ["nllb"] = Nllb,
        ["nllb-moe"] = Nllb,
        ["bridgetower"] = Roberta,
        ["clap"] = Roberta,
        ["roberta"] = Roberta,
        ["siglip"] = Siglip,
        ["siglip2"] = Siglip2,
        ["mt5"] = T5,
        ["t5"] = T5,
        ["umt5"] = T5,
        ["altclip"] = XlmRoberta,
        ["metaclip_2"] = XlmRoberta,
        ["xlm-roberta"] = XlmRoberta,
        ["xlm-roberta-xl"] = XlmRoberta,
    };

    /// <summary>Model types whose published tokenizer_config.json names a wrong class, so that the model type decides.</summary>
    private static readonly string[] s_wronglyNamed = ["siglip2"];

    public static TokenizerParts Read(string path, TokenizerOptions options)
    {
        string folder = FilePlace.IsFolder(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        TokenizerSettings settings = TokenizerSettings.Read(folder);
        string name = ChooseClass(path, folder, settings, options);
        if (s_literal.Contains(name))
            return ReadLiteral(path, folder, settings);
        if (options.Language is not null && name != Nllb)
            throw new BadInputException("language", $"the tokenizer is a {name}, which knows no languages.", "Leave the option away.");
        // Another class's settings name tokens that this one, which runs SentencePiece itself, never has.
        if (name == Siglip && settings.ClassName is not null and not Siglip)
            settings = TokenizerSettings.None(path);
        if (settings.Text("truncation_side") is not null and not "right")
            throw settings.Refuse("sentences are cut at their left, which is not supported.");
        return name switch
        {
            Bert => new TokenizerBuilder(path, settings, "vocab.txt").Bert(),
            Clip => new TokenizerBuilder(path, settings, "vocab.json").Clip(),
            Gemma => new TokenizerBuilder(path, settings, "tokenizer.model").Gemma(lowers: false),
            Siglip2 => new TokenizerBuilder(path, settings, "tokenizer.model").Gemma(lowers: true),
            Gpt2 => new TokenizerBuilder(path, settings, "vocab.json").Gpt2(),
            Nllb => new TokenizerBuilder(path, settings, "sentencepiece.bpe.model").Nllb(options.Like == TokenizerStyle.OpenClip ? null : options.Language),
            Roberta => new TokenizerBuilder(path, settings, "vocab.json").Roberta(),
            T5 => new TokenizerBuilder(path, settings, "spiece.model").T5(),
            XlmRoberta => new TokenizerBuilder(path, settings, "sentencepiece.bpe.model").XlmRoberta(),
            Siglip => SiglipEncoder.Read(path, settings),
            _ => throw new BadInputException(path, $"the tokenizer class {BadInputException.Escape(name, 80)} is not built.",
                $"These are: {string.Join(", ", s_classOfModel.Values.Distinct().Order(StringComparer.Ordinal))}, and {s_literal[0]} for a tokenizer.json as it stands."),
        };
    }

    /// <summary>The class that was asked for; that of a model type whose repositories are known to name a wrong one; the settings' own; the model type's.</summary>
    private static string ChooseClass(string path, string folder, TokenizerSettings settings, TokenizerOptions options)
    {
        if (options.ClassName is { } asked)
            return asked.EndsWith("Fast", StringComparison.Ordinal) && asked != s_literal[0] ? asked[..^4] : asked;
        string? type = options.ModelType ?? TokenizerFolder.ModelType(folder);
        if (type is not null && s_wronglyNamed.Contains(type))
            return s_classOfModel[type];
        if (settings.ClassName is { } named)
            return named;
        if (type is not null)
        {
            return s_classOfModel.GetValueOrDefault(type)
                ?? throw new BadInputException(path, $"the model type {BadInputException.Escape(type, 80)} leads to no tokenizer class that is built.", "Name the class.");
        }

        return FileOf(path, "tokenizer.json") is not null
            ? s_literal[0]
            : throw new BadInputException(path, "nothing says which tokenizer class it is: there is neither a tokenizer_class in tokenizer_config.json nor a model_type in config.json.", "Name the class.");
    }

    /// <summary>A file of a folder, or the file itself where it is of that kind; null where there is none.</summary>
    public static string? FileOf(string path, string name)
    {
        if (FilePlace.IsFile(path))
            return Path.GetExtension(path).Equals(Path.GetExtension(name), StringComparison.OrdinalIgnoreCase) ? path : null;
        string file = Path.Combine(path, name);
        return FilePlace.IsFile(file) ? file : null;
    }

    private static TokenizerParts ReadLiteral(string path, string folder, TokenizerSettings settings)
    {
        string file = FileOf(path, "tokenizer.json") ?? throw new BadInputException(path, $"there is no tokenizer.json, which {s_literal[0]} reads.", "Name another class.");
        TokenizerParts parts = TokenizerJson.Read(file, static json => json.ReadWhole());
        Dictionary<string, int> ids = TokenizerJson.Read(file, static json =>
        {
            Vocabulary vocabulary = json.ReadVocabulary();
            foreach (AddedToken token in json.ReadAddedTokens(vocabulary))
                vocabulary.Ids[token.Content] = token.Id;
            return vocabulary.Ids;
        });
        int? IdOf(string role) => settings.Special(role) is { } token
            ? ids.TryGetValue(token.Content, out int id) ? id : throw settings.Refuse($"'{role}' is '{BadInputException.Escape(token.Content, 80)}', which {Path.GetFileName(file)} lacks.")
            : null;
        return parts with
        {
            PaddingId = IdOf("pad_token") ?? parts.PaddingId,
            SeparatorId = IdOf("sep_token"),
            PadsLeft = settings.Text("padding_side") == "left",
            LongestSentence = settings.LongestSentence ?? parts.LongestSentence,
        };
    }
}
