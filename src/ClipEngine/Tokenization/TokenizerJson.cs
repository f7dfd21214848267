using System.Text.Json;

namespace ClipEngine.Tokenization;

/// <summary>
/// Reads Hugging Face <c>tokenizer.json</c> files of CLIP tokenizers: byte-pair encoding whose words end in <c>&lt;/w&gt;</c>, cut by
/// CLIP's regular expression. Whatever else such a file can hold is refused by name; nothing is approximated.
/// </summary>
public static class TokenizerJson
{
    private const long MaximumFileLength = 64 << 20;
    private const string EndOfWord = "</w>";

    private static readonly string[] s_wordExpressions =
    [
        @"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        @"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    ];

    /// <summary>Reads the file at <paramref name="path"/>.</summary>
    /// <param name="path">A <c>tokenizer.json</c>.</param>
    /// <param name="contextLength">Ids of a sentence at most, start and end included; at least 2. The file does not know it.</param>
    /// <returns>A thread-safe tokenizer that cleans text as the file says (composed form, white space, lower case), not as open_clip does.</returns>
    /// <exception cref="BadInputException">The file is damaged, or is not a CLIP tokenizer: the message names the part.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ITokenizer Load(string path, int contextLength = ClipTokenizer.DefaultContextLength)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfLessThan(contextLength, 2);
        byte[] content;
        using (FileStream stream = File.OpenRead(path))
        {
            if (stream.Length > MaximumFileLength)
                throw new BadInputException(path, $"the file has {stream.Length} bytes; a CLIP tokenizer has a few million, at most {MaximumFileLength} are read.");
            content = new byte[stream.Length];
            stream.ReadExactly(content);
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(content, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return new Reader(path, document.RootElement).Read(contextLength);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
        {
            throw new BadInputException(path, $"the file is not a well-formed tokenizer.json: {BadInputException.Escape(exception.Message, 300)}",
                "Download it again.", exception);
        }
    }

    private sealed class Reader(string path, JsonElement root)
    {
        private readonly Dictionary<string, int> _vocabulary = new(StringComparer.Ordinal);

        public HuggingFaceTokenizer Read(int contextLength)
        {
            JsonElement model = Member(root, "model", JsonValueKind.Object);
            Require(Text(model, "type"), "BPE", "model.type");
            Require(Text(model, "end_of_word_suffix"), EndOfWord, "model.end_of_word_suffix");
            RequireEmpty(model, "continuing_subword_prefix");
            RequireOff(model, "dropout");
            RequireOff(model, "fuse_unk");
            RequireOff(model, "byte_fallback");
            RequireOff(model, "ignore_merges");
            ReadVocabulary(Member(model, "vocab", JsonValueKind.Object));
            (bool compose, bool lower) = ReadNormalizer();
            CheckPreTokenizer();
            (string startWord, string endWord) = ReadPostProcessor();
            Dictionary<string, int> added = ReadAddedTokens();

            int[] byteIds = new int[256], lastByteIds = new int[256];
            for (int value = 0; value < 256; value++)
            {
                string symbol = BytePairEncoder.ByteCharacter(value).ToString();
                byteIds[value] = Id(symbol);
                lastByteIds[value] = Id(symbol + EndOfWord);
            }

            int padding = root.TryGetProperty("padding", out JsonElement found) && found.ValueKind == JsonValueKind.Object
                ? Member(found, "pad_id", JsonValueKind.Number).GetInt32()
                : 0;
            int size = 1 + Math.Max(_vocabulary.Values.Max(), added.Values.DefaultIfEmpty(0).Max());
            if (padding < 0 || padding >= size)
                throw Refuse($"padding.pad_id is {padding}; ids run from 0 to {size - 1}.");
            var encoder = new BytePairEncoder(byteIds, lastByteIds, ReadMerges(Member(model, "merges", JsonValueKind.Array)));
            return new HuggingFaceTokenizer(encoder, added, contextLength, size)
            {
                Start = SpecialId(added, startWord),
                End = SpecialId(added, endWord),
                Padding = padding,
                Compose = compose,
                Lower = lower,
            };
        }

        private void ReadVocabulary(JsonElement vocabulary)
        {
            var owners = new HashSet<int>();
            foreach (JsonProperty entry in vocabulary.EnumerateObject())
            {
                int id = entry.Value.ValueKind == JsonValueKind.Number && entry.Value.TryGetInt32(out int number) ? number : -1;
                if (id is < 0 or > 1 << 24)
                    throw Refuse($"model.vocab gives '{Show(entry.Name)}' the id {Show(entry.Value.GetRawText())}; ids are integers from 0 to {1 << 24}.");
                if (!owners.Add(id))
                    throw Refuse($"model.vocab gives the id {id} twice, the second time to '{Show(entry.Name)}'.");
                _vocabulary.Add(entry.Name, id);
            }
        }

        private Dictionary<ulong, BytePairEncoder.Merge> ReadMerges(JsonElement list)
        {
            var merges = new Dictionary<ulong, BytePairEncoder.Merge>(list.GetArrayLength());
            int rank = 0;
            foreach (JsonElement entry in list.EnumerateArray())
            {
                string[] parts = entry.ValueKind switch
                {
                    JsonValueKind.String => entry.GetString()!.Split(' '),
                    JsonValueKind.Array => [.. entry.EnumerateArray().Select(part => part.GetString() ?? "")],
                    _ => [],
                };
                if (parts.Length != 2)
                    throw Refuse($"model.merges[{rank}] is {Show(entry.GetRawText())}; a pair of symbols was expected.");
                ulong pair = BytePairEncoder.PairKey(Id(parts[0]), Id(parts[1]));
                if (!merges.TryAdd(pair, new BytePairEncoder.Merge(rank, Id(parts[0] + parts[1]))))
                    throw Refuse($"model.merges[{rank}] repeats the pair '{Show(parts[0])}' '{Show(parts[1])}'.");
                rank++;
            }

            return merges;
        }

        private (bool Compose, bool Lower) ReadNormalizer()
        {
            bool compose = false, lower = false;
            foreach (JsonElement step in Steps("normalizer", "normalizers"))
            {
                switch (Text(step, "type"))
                {
                    case "NFC":
                        compose = true;
                        break;
                    case "Lowercase":
                        lower = true;
                        break;
                    // White space only ever separates words, so that collapsing it changes no id.
                    case "Replace" when Text(step, "content") == " " && Pattern(step) == @"\s+":
                    case "Strip":
                        break;
                    case string other:
                        throw Unsupported("normalizer", other);
                }
            }

            return (compose, lower);
        }

        private void CheckPreTokenizer()
        {
            bool isSplit = false, isByteLevel = false;
            foreach (JsonElement step in Steps("pre_tokenizer", "pretokenizers"))
            {
                switch (Text(step, "type"))
                {
                    case "Split":
                        string pattern = Pattern(step);
                        if (!s_wordExpressions.Contains(pattern))
                            throw Unsupported("pre_tokenizer Split with the expression", pattern);
                        if (Text(step, "behavior") != "Removed" || !Flag(step, "invert"))
                            throw Unsupported("pre_tokenizer Split with another behavior than", "Removed, inverted");
                        isSplit = true;
                        break;
                    case "ByteLevel":
                        if (Flag(step, "add_prefix_space"))
                            throw Unsupported("pre_tokenizer ByteLevel with", "add_prefix_space");
                        isByteLevel = true;
                        break;
                    case string other:
                        throw Unsupported("pre_tokenizer", other);
                }
            }

            if (!isSplit || !isByteLevel)
                throw Refuse("the pre_tokenizer is not CLIP's: a Split by its regular expression followed by ByteLevel was expected.");
        }

        private (string Start, string End) ReadPostProcessor()
        {
            JsonElement processor = Member(root, "post_processor", JsonValueKind.Object);
            Require(Text(processor, "type"), "RobertaProcessing", "post_processor.type");
            return (Pair(processor, "cls"), Pair(processor, "sep"));

            string Pair(JsonElement parent, string name) =>
                Member(parent, name, JsonValueKind.Array).EnumerateArray().FirstOrDefault() is { ValueKind: JsonValueKind.String } word
                    ? word.GetString()!
                    : throw Refuse($"post_processor.{name} holds no token.");
        }

        private Dictionary<string, int> ReadAddedTokens()
        {
            var added = new Dictionary<string, int>(StringComparer.Ordinal);
            if (!root.TryGetProperty("added_tokens", out JsonElement list) || list.ValueKind == JsonValueKind.Null)
                return added;
            foreach (JsonElement token in list.EnumerateArray())
            {
                string content = Text(token, "content");
                int id = Member(token, "id", JsonValueKind.Number).GetInt32();
                if (content.Length == 0 || id is < 0 or > 1 << 24 || (_vocabulary.TryGetValue(content, out int known) && known != id) || !added.TryAdd(content, id))
                    throw Refuse($"added_tokens gives '{Show(content)}' the id {id}, which contradicts the vocabulary or is out of range.");
            }

            return added;
        }

        private IEnumerable<JsonElement> Steps(string name, string listName)
        {
            if (!root.TryGetProperty(name, out JsonElement step) || step.ValueKind == JsonValueKind.Null)
                return [];
            return Text(step, "type") == "Sequence" ? Member(step, listName, JsonValueKind.Array).EnumerateArray() : [step];
        }

        private string Pattern(JsonElement step)
        {
            JsonElement pattern = Member(step, "pattern", JsonValueKind.Object);
            return pattern.TryGetProperty("Regex", out JsonElement expression) ? expression.GetString() ?? "" : Text(pattern, "String");
        }

        private int SpecialId(Dictionary<string, int> added, string word) => added.TryGetValue(word, out int id) ? id : Id(word);

        private int Id(string symbol) => _vocabulary.TryGetValue(symbol, out int id)
            ? id
            : throw Refuse($"model.vocab lacks '{Show(symbol)}', which bytes or merges need.");

        private JsonElement Member(JsonElement parent, string name, JsonValueKind kind)
        {
            if (parent.ValueKind != JsonValueKind.Object || !parent.TryGetProperty(name, out JsonElement member))
                throw Refuse($"'{name}' is missing.");
            return member.ValueKind == kind ? member : throw Refuse($"'{name}' is of kind {member.ValueKind}; {kind} was expected.");
        }

        private string Text(JsonElement parent, string name) => Member(parent, name, JsonValueKind.String).GetString()!;

        private static bool Flag(JsonElement parent, string name) => parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

        private void Require(string found, string expected, string name)
        {
            if (found != expected)
                throw Refuse($"{name} is '{Show(found)}', which is unsupported; CLIP tokenizers have '{expected}'.");
        }

        private void RequireEmpty(JsonElement parent, string name)
        {
            if (parent.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString()!.Length > 0)
                throw Unsupported("model." + name, value.GetString()!);
        }

        private void RequireOff(JsonElement parent, string name)
        {
            if (parent.TryGetProperty(name, out JsonElement value) && value.ValueKind is not (JsonValueKind.Null or JsonValueKind.False)
                && !(value.ValueKind == JsonValueKind.Number && value.GetDouble() == 0))
                throw Unsupported("model." + name, value.GetRawText());
        }

        private BadInputException Unsupported(string part, string found) => Refuse($"{part} '{Show(found)}' is unsupported.");

        private BadInputException Refuse(string problem) => new(path, problem, "Only tokenizer.json files of CLIP models are read.");

        private static string Show(string text) => BadInputException.Escape(text, 80);
    }
}
