using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Tokenization;

/// <summary>Builds transformers' tokenizers of one folder, class by class, from whichever of their files are there.</summary>
internal sealed class TokenizerBuilder
{
    private const char Mark = '\u2581';
    private const int LargestText = 64 << 20;

    private readonly TokenizerSettings _settings;
    private readonly string _file;
    private readonly string _path;
    private readonly string _ownName;
    private Vocabulary _vocabulary = new() { Ids = [] };
    private CharacterMap? _map;
    private List<AddedToken> _added = [];
    private (int[] Prefix, int[] Suffix)? _ends;
    private int? _padding;
    private int? _longest;

    /// <summary>Finds the file: <c>tokenizer.json</c>, or the class's own.</summary>
    /// <param name="path">A folder or a file.</param>
    /// <param name="settings">The folder's settings.</param>
    /// <param name="ownName">The class's own vocabulary file.</param>
    public TokenizerBuilder(string path, TokenizerSettings settings, string ownName)
    {
        _path = path;
        _settings = settings;
        _ownName = ownName;
        _file = TransformersTokenizers.FileOf(path, "tokenizer.json") ?? TransformersTokenizers.FileOf(path, ownName)
            ?? throw new BadInputException(path, $"there is neither a tokenizer.json nor a {ownName}, one of which its tokenizer needs.", "Put the model's own beside its weights, or name another class.");
    }

    private bool IsJson => !_file.EndsWith(".model", StringComparison.OrdinalIgnoreCase) && !_file.EndsWith(".txt", StringComparison.OrdinalIgnoreCase)
        && !(_ownName == "vocab.json" && Path.GetFileName(_file).Equals("vocab.json", StringComparison.OrdinalIgnoreCase));

    /// <summary>WordPiece over cleaned text, [CLS] and [SEP] round it.</summary>
    public TokenizerParts Bert()
    {
        if (IsJson)
            ReadJson("WordPiece");
        else
            ReadLines();
        Resolve(("unk_token", "[UNK]"), ("sep_token", "[SEP]"), ("pad_token", "[PAD]"), ("cls_token", "[CLS]"), ("mask_token", "[MASK]"));
        bool lowers = _settings.Flag("do_lower_case") ?? true;
        var normalizer = new BertNormalizer
        {
            Cleans = true,
            SplitsChinese = _settings.Flag("tokenize_chinese_chars") ?? true,
            StripsAccents = _settings.Flag("strip_accents") ?? lowers,
            Lowers = lowers,
        };
        var model = new WordPieceModel(_vocabulary.Ids, "##", Special("unk_token", "[UNK]"), longestWord: 100);
        return Complete(normalizer, [new BertSplitter()], model, ([Special("cls_token", "[CLS]")], [Special("sep_token", "[SEP]")]), "[PAD]", "[SEP]", "##");
    }

    /// <summary>CLIP's words in lower case, their bytes paired.</summary>
    public TokenizerParts Clip()
    {
        const string Start = "<|startoftext|>", End = "<|endoftext|>";
        ReadPairs();
        Resolve(("unk_token", End), ("bos_token", Start), ("eos_token", End), ("pad_token", End));
        return Complete(ClipNormalizer(), ClipSplitters(), PairModels.ByteLevel(_vocabulary, "</w>", Special("unk_token", End), Refuse),
            ([Special("bos_token", Start)], [Special("eos_token", End)]), End, null, "</w>");
    }

    /// <summary>GPT-2's words, nothing round them.</summary>
    public TokenizerParts Gpt2()
    {
        const string End = "<|endoftext|>";
        ReadPairs();
        Resolve(("unk_token", End), ("bos_token", End), ("eos_token", End), ("pad_token", null));
        return Complete(null, [new ByteLevelSplitter(_settings.Flag("add_prefix_space") ?? false, cuts: true)], PairModels.ByteLevel(_vocabulary, "", -1, Refuse), ([], []), null, null);
    }

    /// <summary>GPT-2's words between &lt;s&gt; and &lt;/s&gt;.</summary>
    public TokenizerParts Roberta()
    {
        ReadPairs();
        Resolve(("bos_token", "<s>"), ("eos_token", "</s>"), ("sep_token", "</s>"), ("cls_token", "<s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>"));
        return Complete(null, [new ByteLevelSplitter(_settings.Flag("add_prefix_space") ?? false, cuts: true)], PairModels.ByteLevel(_vocabulary, "", -1, Refuse),
            ([Special("cls_token", "<s>")], [Special("sep_token", "</s>")]), "<pad>", "</s>");
    }

    /// <summary>A unigram model whose sentences end in &lt;/s&gt;; byte pieces are in the file but never used.</summary>
    public TokenizerParts T5()
    {
        if (IsJson)
            ReadJson("Unigram");
        else
            ReadScored(ReadPieces(mustPair: false).Pieces.Select(static piece => (piece.Text, (double)piece.Score)));
        Resolve(("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"));
        if (!_settings.MoreSpecials().Any(static token => token.Content.Contains("<extra_id_", StringComparison.Ordinal)))
        {
            for (int i = (_settings.Integer("extra_ids") ?? 100) - 1; i >= 0; i--)
                Add(new AddedToken($"<extra_id_{i}>", -1) { IsSpecial = true });
        }

        var model = new UnigramModel(_vocabulary.Scored, Unknown(2), fallsBackToBytes: false);
        return Complete(MapNormalizer(), [new WhiteSpaceSplitter(), new MetaspaceSplitter(Mark, WordMark.Always, cuts: true)], model, ([], [Special("eos_token", "</s>")]), "<pad>", null);
    }

    /// <summary>A unigram model between &lt;s&gt; and &lt;/s&gt;; ids are the model file's behind four special tokens.</summary>
    public TokenizerParts XlmRoberta()
    {
        if (IsJson)
        {
            ReadJson("Unigram");
        }
        else
        {
            (string, double)[] pieces = [.. ReadPieces(mustPair: false).Pieces.Skip(3).Select(static piece => (piece.Text, (double)piece.Score))];
            ReadScored([("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0), .. pieces, ("<mask>", 0)]);
        }

        ResolveMasked();
        WordMark inFront = _settings.Flag("add_prefix_space") ?? true ? WordMark.Always : WordMark.Never;
        var model = new UnigramModel(_vocabulary.Scored, Unknown(3), fallsBackToBytes: false);
        return Complete(MapNormalizer(), [new WhiteSpaceSplitter(), new MetaspaceSplitter(Mark, inFront, cuts: true)], model,
            ([Special("bos_token", "<s>")], [Special("eos_token", "</s>")]), "<pad>", "</s>");
    }

    /// <summary>Pairs of characters; the language code stands in front.</summary>
    /// <param name="language">A code of the vocabulary, or null for the one of the file's post-processor, else the settings' <c>src_lang</c>, else English.</param>
    public TokenizerParts Nllb(string? language)
    {
        if (IsJson)
        {
            ReadJson("BPE");
        }
        else
        {
            SentencePieceFile model = ReadPieces(mustPair: true);
            string[] codes = [.. _settings.MoreSpecials().Select(static token => token.Content).Where(static code => code != "<mask>")];
            if (codes.Length == 0)
                throw Refuse("the language codes are missing, which stand in tokenizer_config.json (additional_special_tokens) or tokenizer.json.");
            string[] pieces = ["<s>", "<pad>", "</s>", "<unk>", .. model.Pieces.Skip(3).Select(static piece => piece.Text), .. codes, "<mask>"];
            Dictionary<string, int> ids = Number(pieces);
            _vocabulary = new Vocabulary { Ids = ids, Merges = PairModels.FromPieces(ids, model.Pieces.Skip(3).Select(static piece => piece.Text)) };
            _added = [.. codes.Select(code => new AddedToken(code, ids[code]) { IsSpecial = true })];
        }

        ResolveMasked();
        if (language is not null || _ends is null)
        {
            language ??= _settings.Text("src_lang") ?? "eng_Latn";
            AddedToken code = _added.FirstOrDefault(token => token.Content == language)
                ?? throw new BadInputException(_file, $"it knows no language '{BadInputException.Escape(language, 80)}'.", "Give one of its codes, such as eng_Latn or zho_Hans.");
            int end = Special("eos_token", "</s>");
            _ends = _settings.Flag("legacy_behaviour") ?? false ? ([], [end, code.Id]) : ([code.Id], [end]);
        }

        var normalizers = new List<TextNormalizer>();
        if (MapNormalizer() is { } map)
            normalizers.Add(map);
        normalizers.Add(new ReplaceRuns(2, anyWhiteSpace: false, " "));
        var pairs = new CharacterPairModel(_vocabulary.Ids, _vocabulary.Merges!) { FallsBackToBytes = false, FusesUnknown = true, Unknown = Special("unk_token", "<unk>") };
        return Complete(new NormalizerSequence([.. normalizers]), [new MetaspaceSplitter(Mark, WordMark.Always, cuts: true)], pairs, _ends.Value, "<pad>", "</s>");
    }

    /// <summary>Pairs of characters over the whole sentence, unknown ones as bytes.</summary>
    /// <param name="lowers">Whether letters are lowered first, as SigLIP 2's own class does.</param>
    public TokenizerParts Gemma(bool lowers)
    {
        if (IsJson)
        {
            ReadJson("BPE");
        }
        else
        {
            SentencePieceFile model = ReadPieces(mustPair: true);
            Dictionary<string, int> ids = Number(model.Pieces.Select(static piece => piece.Text));
            _vocabulary = new Vocabulary { Ids = ids, Merges = PairModels.FromPieces(ids, model.Pieces.Select(static piece => piece.Text)) };
            _added = [.. model.Pieces.Select(static (piece, id) => (piece, id)).Where(static entry => entry.piece.Kind is PieceKind.Control or PieceKind.UserDefined or PieceKind.Unknown)
                .Select(static entry => new AddedToken(entry.piece.Text, entry.id) { IsSpecial = entry.piece.Kind != PieceKind.UserDefined })];
        }

        Resolve(("unk_token", "<unk>"), ("bos_token", "<bos>"), ("eos_token", "<eos>"), ("pad_token", "<pad>"), ("mask_token", "<mask>"));
        (int[], int[]) ends = (_settings.Flag("add_bos_token") ?? false ? [Special("bos_token", "<bos>")] : [], _settings.Flag("add_eos_token") ?? false ? [Special("eos_token", "<eos>")] : []);
        var marks = new ReplaceLiteral(" ", Mark.ToString());
        var pairs = new CharacterPairModel(_vocabulary.Ids, _vocabulary.Merges!) { FallsBackToBytes = true, FusesUnknown = true, Unknown = Special("unk_token", "<unk>") };
        TokenizerParts parts = Complete(lowers ? new NormalizerSequence(new LowerCase(), marks) : marks, [], pairs, ends, "<pad>", null);
        return parts with { PadsLeft = _settings.Text("padding_side") is not "right" };
    }

    /// <summary>CLIP's own vocabulary, which needs no file, under the rules of transformers' class.</summary>
    public static TokenizerParts ClipWithoutFiles()
    {
        int start = ClipTokenizer.StartOfText, end = ClipTokenizer.EndOfText;
        AddedToken[] added = [new("<|startoftext|>", start) { IsSpecial = true }, new("<|endoftext|>", end) { IsSpecial = true }];
        const string Source = "CLIP's own vocabulary";
        return new TokenizerParts
        {
            Source = Source,
            Encoder = new PipelineEncoder(Source, ClipNormalizer(), ClipSplitters(), new ByteLevelModel(ClipTokenizer.Encoder), added),
            BytesOf = ClipVocabulary.BytesOf,
            Prefix = [start],
            Suffix = [end],
            PaddingId = end,
            VocabularySize = end + 1,
            LongestSentence = ClipTokenizer.DefaultContextLength,
        };
    }

    /// <summary>White space only ever separates words here, so that joining it changes no id; it does change what follows an added token.</summary>
    private static NormalizerSequence ClipNormalizer() => new(new ComposedForm(), new ReplaceRuns(1, anyWhiteSpace: true, " "), new LowerCase());

    private static TextSplitter[] ClipSplitters() => [new ClipSplitter(["<|startoftext|>", "<|endoftext|>"]), new ByteLevelSplitter(addsSpace: false, cuts: true)];

    private CharacterMapNormalizer? MapNormalizer() => _map is null ? null : new CharacterMapNormalizer(_map);

    private TokenizerParts Complete(TextNormalizer? normalizer, TextSplitter[] splitters, TokenModel model, (int[] Prefix, int[] Suffix) ownEnds, string? padding, string? separator, string affix = "")
    {
        (int[] prefix, int[] suffix) = _ends ?? ownEnds;
        PieceStyle style = model switch
        {
            WordPieceModel => PieceStyle.WordPiece,
            ByteLevelModel => PieceStyle.ByteLevel,
            _ => PieceStyle.Metaspace,
        };
        return new TokenizerParts
        {
            Source = _file,
            Encoder = new PipelineEncoder(_file, normalizer, splitters, model, _added),
            BytesOf = new TokenTexts(_vocabulary.Ids, style, style == PieceStyle.Metaspace ? Mark.ToString() : affix, _added).BytesOf,
            Prefix = prefix,
            Suffix = suffix,
            PaddingId = _settings.Special("pad_token") is not null || padding is not null ? Special("pad_token", padding!) : _padding,
            PadsLeft = _settings.Text("padding_side") == "left",
            SeparatorId = separator is null ? null : Special("sep_token", separator),
            VocabularySize = TokenizerJson.SizeOf(_vocabulary, _added),
            LongestSentence = _settings.LongestSentence ?? _longest,
        };
    }

    /// <summary>Takes the vocabulary, the added tokens and the post-processor out of a tokenizer.json.</summary>
    private void ReadJson(string type)
    {
        TokenizerJson.Read(_file, json =>
        {
            string found = json.ModelType();
            if (found != type)
                throw Refuse($"model.type is '{BadInputException.Escape(found, 40)}'; the tokenizer class needs {type}.");
            _vocabulary = json.ReadVocabulary();
            _added = json.ReadAddedTokens(_vocabulary);
            _map = json.ReadMap();
            int size = TokenizerJson.SizeOf(_vocabulary, _added);
            _ends = json.ReadEnds(size);
            _padding = json.ReadPadding(size);
            _longest = json.ReadTruncation();
            return true;
        });
    }

    private void ReadPairs()
    {
        if (IsJson)
        {
            ReadJson("BPE");
            return;
        }

        string mergesFile = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(_file))!, "merges.txt");
        if (!FilePlace.IsFile(mergesFile))
            throw Refuse("there is no merges.txt beside it.");
        Dictionary<string, int> ids;
        try
        {
            using JsonDocument document = JsonDocument.Parse(TokenizerFiles.ReadBytes(_file, LargestText), new JsonDocumentOptions { AllowDuplicateProperties = false });
            ids = document.RootElement.EnumerateObject().ToDictionary(static entry => entry.Name, entry => entry.Value.TryGetInt32(out int id) && id is >= 0 and <= 1 << 24
                ? id : throw Refuse($"'{BadInputException.Escape(entry.Name, 80)}' has the id {BadInputException.Escape(entry.Value.GetRawText(), 40)}."), StringComparer.Ordinal);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new BadInputException(_file, $"the file is not a vocabulary: {BadInputException.Escape(exception.Message, 300)}", "Download it again.", exception);
        }

        string[] lines = TokenizerFiles.ReadLines(mergesFile, LargestText);
        var merges = new MergeListReader(lines.Length, ids, problem => new BadInputException(mergesFile, problem, "Download it again."));
        foreach (string line in lines)
        {
            if (line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal))
                merges.Add(line);
        }

        _vocabulary = new Vocabulary { Ids = ids, Merges = merges.Complete() };
    }

    /// <summary>vocab.txt: a piece a line; where one stands twice, the last line counts.</summary>
    private void ReadLines()
    {
        string[] lines = TokenizerFiles.ReadLines(_file, LargestText);
        var ids = new Dictionary<string, int>(lines.Length, StringComparer.Ordinal);
        for (int id = 0; id < lines.Length; id++)
            ids[lines[id]] = id;
        _vocabulary = ids.Count > 0 ? new Vocabulary { Ids = ids } : throw Refuse("it is empty.");
    }

    private SentencePieceFile ReadPieces(bool mustPair)
    {
        SentencePieceFile model = SentencePieceFile.Read(_file);
        if (model.IsPairEncoding != mustPair)
            throw Refuse($"it is a {(mustPair ? "unigram model" : "byte-pair encoding")}; the tokenizer class needs the other kind.");
        _map = model.Map;
        return model;
    }

    private void ReadScored(IEnumerable<(string Piece, double Score)> pieces)
    {
        (string Piece, double Score)[] scored = [.. pieces];
        _vocabulary = new Vocabulary { Ids = Number(scored.Select(static piece => piece.Piece)), Scored = scored };
    }

    private static Dictionary<string, int> Number(IEnumerable<string> pieces)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        int count = 0;
        foreach (string piece in pieces)
            ids[piece] = count++;
        return ids;
    }

    private int Unknown(int id) => id < _vocabulary.Scored.Count ? id : throw Refuse($"it has {_vocabulary.Scored.Count} pieces; the class's unknown id is {id}.");

    private void ResolveMasked() => Resolve(("bos_token", "<s>"), ("eos_token", "</s>"), ("sep_token", "</s>"), ("cls_token", "<s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>"));

    /// <summary>
    /// The added tokens: those of the settings, else those of the file, and behind them the class's special tokens that are not among them. A special
    /// token is found as the file says, or else as the settings do.
    /// </summary>
    private void Resolve(params (string Role, string? Otherwise)[] roles)
    {
        if (_settings.AddedTokens() is { Count: > 0 } named)
        {
            foreach (AddedToken token in named)
            {
                if (_vocabulary.Id(token.Content) is >= 0 and int known && known != token.Id)
                    throw _settings.Refuse($"added_tokens_decoder gives '{BadInputException.Escape(token.Content, 80)}' the id {token.Id}; in {Path.GetFileName(_file)} it has {known}.");
            }

            _added = [.. named];
        }

        foreach ((string role, string? fallback) in roles)
        {
            AddedToken? token = _settings.Special(role) ?? (fallback is null ? null : new AddedToken(fallback, -1) { IsSpecial = true, StripsLeft = role == "mask_token" && fallback == "<mask>" });
            if (token is not null)
                Add(token with { IsSpecial = true });
        }

        foreach (AddedToken token in _settings.MoreSpecials())
            Add(token with { IsSpecial = true });
    }

    private void Add(AddedToken token)
    {
        if (_added.Exists(known => known.Content == token.Content))
            return;
        int id = _vocabulary.Id(token.Content);
        _added.Add(token with { Id = id >= 0 ? id : TokenizerJson.SizeOf(_vocabulary, _added) });
    }

    /// <summary>The id of a special token by its role.</summary>
    private int Special(string role, string fallback)
    {
        string content = _settings.Special(role)?.Content ?? fallback;
        if (_vocabulary.Id(content) is >= 0 and int id)
            return id;
        return _added.FirstOrDefault(token => token.Content == content)?.Id ?? throw Refuse($"it lacks the token '{BadInputException.Escape(content, 80)}' ({role}).");
    }

    private BadInputException Refuse(string problem) => new(_file, problem, "Get the file again, or name another tokenizer class.");
}
