using System.Text.Json;

namespace ClipEngine.Tokenization;

internal sealed partial class TokenizerJson
{
    private static readonly string[] s_clipExpressions =
    [
        @"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        @"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    ];

    /// <summary>The special words of the second expression.</summary>
    private static readonly string[] s_clipWords = ["<|startoftext|>", "<|endoftext|>"];

    private TextNormalizer? ReadNormalizer()
    {
        var steps = new List<TextNormalizer>();
        foreach (JsonElement step in Steps("normalizer", "normalizers"))
        {
            switch (Text(step, "type"))
            {
                case "NFC":
                    steps.Add(new ComposedForm());
                    break;
                case "Lowercase":
                    steps.Add(new LowerCase());
                    break;
                case "Strip":
                    steps.Add(new StripEnds(FlagOr(step, "strip_left", true), FlagOr(step, "strip_right", true)));
                    break;
                case "Prepend":
                    steps.Add(new Prepend(Text(step, "prepend")));
                    break;
                case "Replace":
                    steps.Add(ReadReplace(step));
                    break;
                case "Precompiled":
                    if (ReadMap(step) is { } map)
                        steps.Add(new CharacterMapNormalizer(map));
                    break;
                case "BertNormalizer":
                    bool lowers = FlagOr(step, "lowercase", true);
                    steps.Add(new BertNormalizer
                    {
                        Cleans = FlagOr(step, "clean_text", true),
                        SplitsChinese = FlagOr(step, "handle_chinese_chars", true),
                        StripsAccents = FlagOr(step, "strip_accents", lowers),
                        Lowers = lowers,
                    });
                    break;
                case string other:
                    throw Unsupported("normalizer", other);
            }
        }

        return steps.Count switch
        {
            0 => null,
            1 => steps[0],
            <= 32 => new NormalizerSequence([.. steps]),
            _ => throw Refuse($"normalizer has {steps.Count} steps."),
        };
    }

    private TextNormalizer ReadReplace(JsonElement step)
    {
        string content = Text(step, "content");
        JsonElement pattern = Member(step, "pattern", JsonValueKind.Object);
        if (content.Length > 8)
            throw Refuse($"normalizer Replace puts {content.Length} characters in a place; at most 8 are read.");
        if (!pattern.TryGetProperty("Regex", out JsonElement expression))
        {
            string literal = Text(pattern, "String");
            return literal.Length > 0 ? new ReplaceLiteral(literal, content) : throw Refuse("normalizer Replace looks for nothing.");
        }

        return expression.GetString() switch
        {
            @"\s+" => new ReplaceRuns(1, anyWhiteSpace: true, content),
            @"\s{2,}" => new ReplaceRuns(2, anyWhiteSpace: true, content),
            " +" => new ReplaceRuns(1, anyWhiteSpace: false, content),
            " {2,}" => new ReplaceRuns(2, anyWhiteSpace: false, content),
            string other => throw Unsupported("normalizer Replace with the expression", other),
            null => throw Refuse("normalizer Replace has no expression."),
        };
    }

    private List<TextSplitter> ReadSplitters()
    {
        var splitters = new List<TextSplitter>();
        foreach (JsonElement step in Steps("pre_tokenizer", "pretokenizers"))
        {
            switch (Text(step, "type"))
            {
                case "BertPreTokenizer":
                    splitters.Add(new BertSplitter());
                    break;
                case "WhitespaceSplit":
                    splitters.Add(new WhiteSpaceSplitter());
                    break;
                case "Metaspace":
                    splitters.Add(ReadMetaspace(step));
                    break;
                case "ByteLevel":
                    splitters.Add(new ByteLevelSplitter(Flag(step, "add_prefix_space"), FlagOr(step, "use_regex", true)));
                    break;
                case "Split":
                    splitters.Add(ReadSplit(step));
                    break;
                case string other:
                    throw Unsupported("pre_tokenizer", other);
            }
        }

        return splitters.Count <= 32 ? splitters : throw Refuse($"pre_tokenizer has {splitters.Count} steps.");
    }

    /// <summary>Both spellings: <c>prepend_scheme</c>, and <c>add_prefix_space</c> of older files.</summary>
    private MetaspaceSplitter ReadMetaspace(JsonElement step)
    {
        string mark = Text(step, "replacement");
        if (mark.Length != 1 || char.IsSurrogate(mark[0]))
            throw Unsupported("pre_tokenizer Metaspace with the replacement", mark);
        bool always = FlagOr(step, "add_prefix_space", true);
        WordMark inFront = TextOr(step, "prepend_scheme", always ? "always" : "never") switch
        {
            "always" => WordMark.Always,
            "first" => WordMark.First,
            "never" => WordMark.Never,
            string other => throw Unsupported("pre_tokenizer Metaspace with prepend_scheme", other),
        };
        return new MetaspaceSplitter(mark[0], inFront, FlagOr(step, "split", true));
    }

    private TextSplitter ReadSplit(JsonElement step)
    {
        JsonElement pattern = Member(step, "pattern", JsonValueKind.Object);
        string behavior = Text(step, "behavior");
        bool isInverted = Flag(step, "invert");
        if (pattern.TryGetProperty("Regex", out JsonElement expression))
        {
            int known = Array.IndexOf(s_clipExpressions, expression.GetString());
            if (known < 0)
                throw Unsupported("pre_tokenizer Split with the expression", expression.GetString() ?? "");
            return behavior == "Removed" && isInverted
                ? new ClipSplitter(known == 1 ? s_clipWords : [])
                : throw Unsupported("pre_tokenizer Split by CLIP's expression with the behavior", $"{behavior}, {(isInverted ? "" : "not ")}inverted");
        }

        string literal = Text(pattern, "String");
        if (literal.Length == 0 || isInverted)
            throw Refuse("pre_tokenizer Split looks for nothing, or is inverted, which is supported for CLIP's expression only.");
        return new LiteralSplitter(literal, behavior switch
        {
            "Removed" => CutBehavior.Removed,
            "Isolated" => CutBehavior.Isolated,
            "MergedWithPrevious" => CutBehavior.MergedWithPrevious,
            "MergedWithNext" => CutBehavior.MergedWithNext,
            _ => throw Unsupported("pre_tokenizer Split with the behavior", behavior),
        });
    }

    /// <summary>A part's steps: none, itself, or those of a sequence, which may hold sequences in turn.</summary>
    private IEnumerable<JsonElement> Steps(string name, string listName) => TryMember(Root, name, out JsonElement step) ? Flatten(step, listName) : [];

    private IEnumerable<JsonElement> Flatten(JsonElement step, string listName) => Text(step, "type") == "Sequence"
        ? Member(step, listName, JsonValueKind.Array).EnumerateArray().SelectMany(inner => Flatten(inner, listName))
        : [step];

    private JsonElement Member(JsonElement parent, string name, JsonValueKind kind)
    {
        if (parent.ValueKind != JsonValueKind.Object || !parent.TryGetProperty(name, out JsonElement member))
            throw Refuse($"'{Show(name)}' is missing.");
        return member.ValueKind == kind ? member : throw Refuse($"'{Show(name)}' is of kind {member.ValueKind}; {kind} was expected.");
    }

    private static bool TryMember(JsonElement parent, string name, out JsonElement member) =>
        parent.TryGetProperty(name, out member) && member.ValueKind != JsonValueKind.Null;

    private string Text(JsonElement parent, string name) => Member(parent, name, JsonValueKind.String).GetString()!;

    private static string TextOr(JsonElement parent, string name, string fallback) => TryMember(parent, name, out JsonElement value) ? value.GetString()! : fallback;

    private static bool Flag(JsonElement parent, string name) => FlagOr(parent, name, false);

    private static bool FlagOr(JsonElement parent, string name, bool fallback) => TryMember(parent, name, out JsonElement value) ? value.GetBoolean() : fallback;

    private int IntegerOr(JsonElement parent, string name, int fallback)
    {
        int number = TryMember(parent, name, out JsonElement value) ? value.GetInt32() : fallback;
        return number >= -1 ? number : throw Refuse($"'{name}' is {number}.");
    }

    private void RequireOff(JsonElement parent, string name)
    {
        if (TryMember(parent, name, out JsonElement value) && value.ValueKind != JsonValueKind.False && !(value.ValueKind == JsonValueKind.Number && value.GetDouble() == 0))
            throw Unsupported("model." + name, value.GetRawText());
    }

    private BadInputException Unsupported(string part, string found) => Refuse($"{part} '{Show(found)}' is unsupported.");

    private BadInputException Refuse(string problem) => new(_path, problem, "Only tokenizers whose every step is known are read; see docs/tokenizers.md.");

    private static string Show(string text) => BadInputException.Escape(text, 80);
}
