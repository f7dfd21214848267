using System.Globalization;
using System.Text.Json;

namespace ClipEngine.Tokenization;

/// <summary>The vocabulary of a tokenizer with what its model says about it.</summary>
internal sealed record Vocabulary
{
    /// <summary>Pieces and their ids.</summary>
    public required Dictionary<string, int> Ids { get; init; }

    /// <summary>Of a unigram model: each piece with its score; its place is its id. Else empty.</summary>
    public IReadOnlyList<(string Piece, double Score)> Scored { get; init; } = [];

    /// <summary>Of a byte-pair encoding: which neighbours join. Else null.</summary>
    public PairMerges? Merges { get; init; }

    public int Id(string piece) => Ids.GetValueOrDefault(piece, -1);
}

/// <summary>
/// The parts of a <c>tokenizer.json</c> of the tokenizers library. Each is read by itself: transformers' classes take some of them and build
/// the others anew. What is not understood is refused by name; nothing is approximated.
/// </summary>
internal sealed partial class TokenizerJson : IDisposable
{
    private const int LargestLength = 256 << 20;
    private const int LargestId = 1 << 24;

    private readonly string _path;
    private readonly JsonDocument _document;

    private TokenizerJson(string path, JsonDocument document)
    {
        _path = path;
        _document = document;
    }

    private JsonElement Root => _document.RootElement;

    private JsonElement Model => Member(Root, "model", JsonValueKind.Object);

    /// <summary>Opens the file and reads something of it; what is not well-formed is refused with the file's name.</summary>
    /// <exception cref="BadInputException">The file is damaged or says what is not understood.</exception>
    public static T Read<T>(string path, Func<TokenizerJson, T> read)
    {
        byte[] content = TokenizerFiles.ReadBytes(path, LargestLength);
        try
        {
            using var json = new TokenizerJson(path, JsonDocument.Parse(content, new JsonDocumentOptions { AllowDuplicateProperties = false }));
            return read(json);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new BadInputException(path, $"the file is not a well-formed tokenizer.json: {BadInputException.Escape(exception.Message, 300)}",
                "Download it again.", exception);
        }
    }

    public void Dispose() => _document.Dispose();

    /// <summary>The whole file, as the tokenizers library runs it.</summary>
    public TokenizerParts ReadWhole()
    {
        Vocabulary vocabulary = ReadVocabulary(roundsScores: true);
        List<AddedToken> added = ReadAddedTokens(vocabulary);
        int size = SizeOf(vocabulary, added);
        (int[] prefix, int[] suffix) = ReadEnds(size) ?? ([], []);
        List<TextSplitter> splitters = ReadSplitters();
        bool isByteLevel = splitters.Exists(static splitter => splitter is ByteLevelSplitter);
        TokenModel model = ReadModel(vocabulary, isByteLevel);
        return new TokenizerParts
        {
            Source = _path,
            Encoder = new PipelineEncoder(_path, ReadNormalizer(), splitters, model, added),
            BytesOf = ReadTexts(vocabulary, added, isByteLevel).BytesOf,
            Prefix = prefix,
            Suffix = suffix,
            PaddingId = ReadPadding(size),
            VocabularySize = size,
            LongestSentence = ReadTruncation(),
        };
    }

    /// <summary>One more than the largest id.</summary>
    public static int SizeOf(Vocabulary vocabulary, IReadOnlyList<AddedToken> added) =>
        1 + Math.Max(vocabulary.Ids.Values.DefaultIfEmpty(-1).Max(), added.Select(static token => token.Id).DefaultIfEmpty(-1).Max());

    /// <summary><c>WordPiece</c>, <c>Unigram</c> or <c>BPE</c>; old files leave it out and show it by their other members.</summary>
    public string ModelType()
    {
        JsonElement model = Model;
        if (model.TryGetProperty("type", out JsonElement type) && type.ValueKind != JsonValueKind.Null)
            return type.GetString() ?? "";
        return model.TryGetProperty("merges", out _) ? "BPE"
            : model.TryGetProperty("unk_id", out _) ? "Unigram"
            : model.TryGetProperty("continuing_subword_prefix", out _) ? "WordPiece"
            : throw Refuse("model.type is missing.");
    }

    /// <summary>The vocabulary with its merges or scores.</summary>
    /// <param name="roundsScores">Read scores as the tokenizers library does, one unit in the last place off now and then: that decides between cuts of equal sums.</param>
    public Vocabulary ReadVocabulary(bool roundsScores = false)
    {
        string type = ModelType();
        switch (type)
        {
            case "WordPiece":
                return new Vocabulary { Ids = ReadIds() };
            case "BPE":
                Dictionary<string, int> ids = ReadIds();
                return new Vocabulary { Ids = ids, Merges = ReadMerges(ids) };
            case "Unigram":
                return ReadScored(roundsScores);
            default:
                throw Unsupported("model.type", type);
        }
    }

    public List<AddedToken> ReadAddedTokens(Vocabulary vocabulary)
    {
        var added = new List<AddedToken>();
        if (!TryMember(Root, "added_tokens", out JsonElement list))
            return added;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonElement token in list.EnumerateArray())
        {
            string content = Text(token, "content");
            int id = Member(token, "id", JsonValueKind.Number).TryGetInt32(out int number) ? number : -1;
            int known = vocabulary.Id(content);
            if (content.Length == 0 || id is < 0 or > LargestId || (known >= 0 && known != id) || !seen.Add(content))
                throw Refuse($"added_tokens gives '{Show(content)}' the id {id}, which contradicts the vocabulary or is out of range.");
            added.Add(new AddedToken(content, id)
            {
                SingleWord = Flag(token, "single_word"),
                StripsLeft = Flag(token, "lstrip"),
                StripsRight = Flag(token, "rstrip"),
                IsNormalized = Flag(token, "normalized"),
                IsSpecial = Flag(token, "special"),
            });
        }

        return added;
    }

    /// <summary>The padding id of <c>padding</c>; null where the file pads nothing.</summary>
    public int? ReadPadding(int size)
    {
        if (!TryMember(Root, "padding", out JsonElement padding))
            return null;
        int id = Member(padding, "pad_id", JsonValueKind.Number).GetInt32();
        return id >= 0 && id < size ? id : throw Refuse($"padding.pad_id is {id}; ids run from 0 to {size - 1}.");
    }

    /// <summary><c>truncation.max_length</c>; null where the file cuts nothing.</summary>
    public int? ReadTruncation()
    {
        if (!TryMember(Root, "truncation", out JsonElement truncation))
            return null;
        if (truncation.TryGetProperty("direction", out JsonElement direction) && direction.GetString() != "Right")
            throw Unsupported("truncation.direction", direction.GetString() ?? "");
        int length = Member(truncation, "max_length", JsonValueKind.Number).GetInt32();
        return length > 0 ? length : throw Refuse($"truncation.max_length is {length}.");
    }

    /// <summary>The ids that the post-processor puts in front of and behind a sentence; null where there is none.</summary>
    public (int[] Prefix, int[] Suffix)? ReadEnds(int size)
    {
        if (!TryMember(Root, "post_processor", out JsonElement whole))
            return null;
        var prefix = new List<int>();
        var suffix = new List<int>();
        foreach (JsonElement processor in Steps("post_processor", "processors"))
        {
            switch (Text(processor, "type"))
            {
                case "RobertaProcessing" or "BertProcessing":
                    prefix.Insert(0, Pair(processor, "cls"));
                    suffix.Add(Pair(processor, "sep"));
                    break;
                case "TemplateProcessing":
                    ReadTemplate(processor, prefix, suffix);
                    break;
                case "ByteLevel":
                    break;
                case string other:
                    throw Unsupported("post_processor.type", other);
            }
        }

        foreach (int id in prefix.Concat(suffix))
        {
            if (id < 0 || id >= size)
                throw Refuse($"post_processor adds the id {id}; ids run from 0 to {size - 1}.");
        }

        return prefix.Count + suffix.Count <= 64 ? ([.. prefix], [.. suffix]) : throw Refuse($"post_processor adds {prefix.Count + suffix.Count} ids to every sentence.");

        int Pair(JsonElement parent, string name)
        {
            JsonElement pair = Member(parent, name, JsonValueKind.Array);
            return pair.GetArrayLength() == 2 && pair[0].ValueKind == JsonValueKind.String && pair[1].TryGetInt32(out int id)
                ? id
                : throw Refuse($"post_processor.{name} holds no token with its id.");
        }
    }

    /// <summary>The table of replacements among the normalizers, with which unigram models come; null where there is none.</summary>
    public CharacterMap? ReadMap()
    {
        foreach (JsonElement step in Steps("normalizer", "normalizers"))
        {
            if (Text(step, "type") == "Precompiled")
                return ReadMap(step);
        }

        return null;
    }

    private static CharacterMap? ReadMap(JsonElement step)
    {
        byte[] table = step.TryGetProperty("precompiled_charsmap", out JsonElement map) && map.ValueKind == JsonValueKind.String ? map.GetBytesFromBase64() : [];
        return table.Length == 0 ? null : CharacterMap.Read(table);
    }

    private void ReadTemplate(JsonElement processor, List<int> prefix, List<int> suffix)
    {
        JsonElement specials = Member(processor, "special_tokens", JsonValueKind.Object);
        var before = new List<int>();
        bool isBehind = false;
        foreach (JsonElement part in Member(processor, "single", JsonValueKind.Array).EnumerateArray())
        {
            if (part.TryGetProperty("Sequence", out _))
            {
                isBehind = !isBehind ? true : throw Refuse("post_processor.single holds the sentence twice.");
                continue;
            }

            string name = Text(Member(part, "SpecialToken", JsonValueKind.Object), "id");
            JsonElement special = Member(specials, name, JsonValueKind.Object);
            foreach (JsonElement id in Member(special, "ids", JsonValueKind.Array).EnumerateArray())
                (isBehind ? suffix : before).Add(id.GetInt32());
        }

        if (!isBehind)
            throw Refuse("post_processor.single does not hold the sentence.");
        prefix.InsertRange(0, before);
    }

    private Dictionary<string, int> ReadIds()
    {
        JsonElement vocabulary = Member(Model, "vocab", JsonValueKind.Object);
        var ids = new Dictionary<string, int>(vocabulary.GetPropertyCount(), StringComparer.Ordinal);
        var owners = new HashSet<int>(vocabulary.GetPropertyCount());
        foreach (JsonProperty entry in vocabulary.EnumerateObject())
        {
            int id = entry.Value.ValueKind == JsonValueKind.Number && entry.Value.TryGetInt32(out int number) ? number : -1;
            if (id is < 0 or > LargestId)
                throw Refuse($"model.vocab gives '{Show(entry.Name)}' the id {Show(entry.Value.GetRawText())}; ids are integers from 0 to {LargestId}.");
            if (!owners.Add(id))
                throw Refuse($"model.vocab gives the id {id} twice, the second time to '{Show(entry.Name)}'.");
            ids.Add(entry.Name, id);
        }

        return ids.Count > 0 ? ids : throw Refuse("model.vocab is empty.");
    }

    private Vocabulary ReadScored(bool rounds)
    {
        JsonElement list = Member(Model, "vocab", JsonValueKind.Array);
        var scored = new List<(string, double)>(list.GetArrayLength());
        var ids = new Dictionary<string, int>(list.GetArrayLength(), StringComparer.Ordinal);
        foreach (JsonElement entry in list.EnumerateArray())
        {
            if (entry.ValueKind != JsonValueKind.Array || entry.GetArrayLength() != 2 || entry[0].ValueKind != JsonValueKind.String || entry[1].ValueKind != JsonValueKind.Number)
                throw Refuse($"model.vocab[{scored.Count}] is {Show(entry.GetRawText())}; a piece with its score was expected.");
            double score = rounds ? RoundedTwice(entry[1].GetRawText()) : entry[1].GetDouble();
            if (!double.IsFinite(score))
                throw Refuse($"the score of model.vocab[{scored.Count}] is {score}.");
            string piece = entry[0].GetString()!;
            ids[piece] = scored.Count;
            scored.Add((piece, score));
        }

        return scored.Count is > 0 and <= LargestId ? new Vocabulary { Ids = ids, Scored = scored } : throw Refuse($"model.vocab has {scored.Count} pieces.");
    }

    /// <summary>A number as Rust's serde_json reads it by default: its digits as a whole number, divided or multiplied by a power of ten, each step rounded.</summary>
    private static double RoundedTwice(string text)
    {
        ulong digits = 0;
        int exponent = 0, at = text[0] == '-' ? 1 : 0;
        bool isFraction = false;
        for (; at < text.Length && text[at] is not ('e' or 'E'); at++)
        {
            if (text[at] == '.')
            {
                isFraction = true;
            }
            else if (digits > (ulong.MaxValue - 9) / 10)
            {
                // What no longer fits is left out, as there.
                exponent += isFraction ? 0 : 1;
            }
            else
            {
                digits = (10 * digits) + (ulong)(text[at] - '0');
                exponent -= isFraction ? 1 : 0;
            }
        }

        if (at < text.Length)
            exponent += Math.Clamp(int.Parse(text.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture), -1000, 1000);
        double value = digits;
        for (; exponent < -308; exponent += 308)
            value /= 1e308;
        // Powers of ten are read from text: those above 22 that Math.Pow gives need not be the nearest ones.
        double power = double.Parse($"1e{Math.Min(Math.Abs(exponent), 308)}", NumberStyles.Float, CultureInfo.InvariantCulture);
        value = exponent < 0 ? value / power : value * power;
        return text[0] == '-' ? -value : value;
    }

    private PairMerges ReadMerges(Dictionary<string, int> ids)
    {
        JsonElement list = Member(Model, "merges", JsonValueKind.Array);
        var merges = new MergeListReader(list.GetArrayLength(), ids, problem => Refuse("model." + problem));
        foreach (JsonElement entry in list.EnumerateArray())
        {
            if (entry.ValueKind == JsonValueKind.String)
                merges.Add(entry.GetString()!);
            else if (entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() == 2)
                merges.Add(entry[0].GetString() ?? "", entry[1].GetString() ?? "");
            else
                throw Refuse($"model.merges[{merges.Count}] is {Show(entry.GetRawText())}; a pair of symbols was expected.");
        }

        return merges.Complete();
    }

    private TokenModel ReadModel(Vocabulary vocabulary, bool isByteLevel)
    {
        JsonElement model = Model;
        switch (ModelType())
        {
            case "WordPiece":
                return new WordPieceModel(vocabulary.Ids, TextOr(model, "continuing_subword_prefix", "##"),
                    IdOf(vocabulary, TextOr(model, "unk_token", "[UNK]"), "model.unk_token"), IntegerOr(model, "max_input_chars_per_word", 100));
            case "Unigram":
                int unknown = IntegerOr(model, "unk_id", -1);
                if (unknown >= vocabulary.Scored.Count)
                    throw Refuse($"model.unk_id is {unknown}; ids run from 0 to {vocabulary.Scored.Count - 1}.");
                return new UnigramModel(vocabulary.Scored, unknown, Flag(model, "byte_fallback"));
            default:
                RequireOff(model, "dropout");
                RequireOff(model, "ignore_merges");
                if (TextOr(model, "continuing_subword_prefix", "") is { Length: > 0 } prefix)
                    throw Unsupported("model.continuing_subword_prefix", prefix);
                string unknownWord = TextOr(model, "unk_token", "");
                int unknownId = unknownWord.Length == 0 ? -1 : IdOf(vocabulary, unknownWord, "model.unk_token");
                string suffix = TextOr(model, "end_of_word_suffix", "");
                if (isByteLevel)
                {
                    RequireOff(model, "byte_fallback");
                    return PairModels.ByteLevel(vocabulary, suffix, unknownId, Refuse);
                }

                return suffix.Length == 0
                    ? new CharacterPairModel(vocabulary.Ids, vocabulary.Merges!) { FallsBackToBytes = Flag(model, "byte_fallback"), Unknown = unknownId, FusesUnknown = Flag(model, "fuse_unk") }
                    : throw Unsupported("model.end_of_word_suffix without ByteLevel", suffix);
        }
    }

    private TokenTexts ReadTexts(Vocabulary vocabulary, List<AddedToken> added, bool isByteLevel) => ModelType() switch
    {
        "WordPiece" => new TokenTexts(vocabulary.Ids, PieceStyle.WordPiece, TextOr(Model, "continuing_subword_prefix", "##"), added),
        "BPE" when isByteLevel => new TokenTexts(vocabulary.Ids, PieceStyle.ByteLevel, TextOr(Model, "end_of_word_suffix", ""), added),
        _ => new TokenTexts(vocabulary.Ids, PieceStyle.Metaspace, "\u2581", added),
    };

    private int IdOf(Vocabulary vocabulary, string piece, string role) => vocabulary.Id(piece) is >= 0 and int id
        ? id
        : throw Refuse($"{role} is '{Show(piece)}', which model.vocab lacks.");
}
