using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Tokenization;

/// <summary><c>tokenizer_config.json</c> (and <c>special_tokens_map.json</c> of older folders): what transformers' classes are made with.</summary>
internal sealed class TokenizerSettings
{
    private const int LargestLength = 64 << 20;

    private readonly string _path;
    private readonly Dictionary<string, JsonElement> _values;

    private TokenizerSettings(string path, Dictionary<string, JsonElement> values)
    {
        _path = path;
        _values = values;
    }

    /// <summary>No settings: every class has its defaults.</summary>
    public static TokenizerSettings None(string path) => new(path, []);

    /// <summary>The settings that lie in a folder.</summary>
    public static TokenizerSettings Read(string folder)
    {
        string path = Path.Combine(folder, "tokenizer_config.json"), map = Path.Combine(folder, "special_tokens_map.json");
        var values = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (string file in new[] { map, path }.Where(FilePlace.IsFile))
        {
            foreach (JsonProperty entry in ReadObject(file).EnumerateObject())
                values[entry.Name] = entry.Value;
        }

        return new TokenizerSettings(path, values);
    }

    /// <summary>A small JSON file whose root is an object.</summary>
    public static JsonElement ReadObject(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(TokenizerFiles.ReadBytes(path, LargestLength));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new BadInputException(path, "a JSON object was expected.");
            Touch(document.RootElement);
            return document.RootElement.Clone();
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new BadInputException(path, $"the file is not JSON: {BadInputException.Escape(exception.Message, 300)}", "Download it again.", exception);
        }
    }

    /// <summary>Reads every name and string once: what is not Unicode throws here, and nowhere later.</summary>
    private static void Touch(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                _ = element.GetString();
                break;
            case JsonValueKind.Array:
                foreach (JsonElement inner in element.EnumerateArray())
                    Touch(inner);
                break;
            case JsonValueKind.Object:
                foreach (JsonProperty entry in element.EnumerateObject())
                {
                    _ = entry.Name;
                    Touch(entry.Value);
                }

                break;
        }
    }

    /// <summary><c>tokenizer_class</c>, without "Fast" at its end.</summary>
    public string? ClassName => Text("tokenizer_class") is { } name ? name.EndsWith("Fast", StringComparison.Ordinal) && name != "PreTrainedTokenizerFast" ? name[..^4] : name : null;

    /// <summary><c>model_max_length</c>, unless it is one of the huge numbers that mean "no limit".</summary>
    public int? LongestSentence => Value("model_max_length") is { ValueKind: JsonValueKind.Number } number && number.GetDouble() is >= 1 and <= 1 << 20 and double length ? (int)length : null;

    public string? Text(string name) => Value(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : throw Refuse($"'{name}' is {BadInputException.Escape(value.GetRawText(), 80)}; a string was expected.");

    public bool? Flag(string name) => Value(name) is not { } value ? null
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
        : throw Refuse($"'{name}' is {BadInputException.Escape(value.GetRawText(), 80)}; true or false was expected.");

    public int? Integer(string name) => Value(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number is >= 0 and <= 1 << 20 ? number
        : throw Refuse($"'{name}' is {BadInputException.Escape(value.GetRawText(), 80)}; a number from 0 to {1 << 20} was expected.");

    /// <summary>A special token by its role (<c>pad_token</c>); its id is not known here. Null where the settings do not name it.</summary>
    public AddedToken? Special(string role) => Value(role) is { } value ? Token(value, role, id: -1) : null;

    /// <summary>Special tokens without a role.</summary>
    public IEnumerable<AddedToken> MoreSpecials()
    {
        foreach (string name in new[] { "additional_special_tokens", "extra_special_tokens" })
        {
            if (Value(name) is not { ValueKind: JsonValueKind.Array } list)
                continue;
            foreach (JsonElement token in list.EnumerateArray())
                yield return Token(token, name, id: -1);
        }
    }

    /// <summary><c>added_tokens_decoder</c>: added tokens with their ids, in the order of these.</summary>
    public IReadOnlyList<AddedToken> AddedTokens()
    {
        var tokens = new List<AddedToken>();
        if (Value("added_tokens_decoder") is not { ValueKind: JsonValueKind.Object } decoder)
            return tokens;
        foreach (JsonProperty entry in decoder.EnumerateObject())
        {
            if (!int.TryParse(entry.Name, out int id) || id is < 0 or > 1 << 24)
                throw Refuse($"added_tokens_decoder has the id '{BadInputException.Escape(entry.Name, 40)}'.");
            tokens.Add(Token(entry.Value, "added_tokens_decoder", id));
        }

        return [.. tokens.OrderBy(static token => token.Id)];
    }

    public BadInputException Refuse(string problem) => new(_path, problem, "Get the file again, or correct it.");

    private JsonElement? Value(string name) => _values.TryGetValue(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>A token is a string, or an object that says how it is found in a text.</summary>
    private AddedToken Token(JsonElement value, string role, int id)
    {
        string? content = value.ValueKind switch
        {
            JsonValueKind.String => value.GetString(),
            JsonValueKind.Object when value.TryGetProperty("content", out JsonElement text) && text.ValueKind == JsonValueKind.String => text.GetString(),
            _ => null,
        };
        if (string.IsNullOrEmpty(content))
            throw Refuse($"'{role}' holds {BadInputException.Escape(value.GetRawText(), 80)}; a token was expected.");
        return new AddedToken(content, id)
        {
            SingleWord = Has("single_word"),
            StripsLeft = Has("lstrip"),
            StripsRight = Has("rstrip"),
            IsNormalized = Has("normalized"),
            IsSpecial = value.ValueKind == JsonValueKind.String || Has("special"),
        };

        bool Has(string name) => value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out JsonElement flag) && flag.ValueKind == JsonValueKind.True;
    }
}
