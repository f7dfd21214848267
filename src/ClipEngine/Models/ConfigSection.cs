using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>
/// One JSON object of a configuration, read key by key. Every problem goes to a list that is reported once;
/// keys that nobody asked for are problems too.
/// </summary>
internal sealed class ConfigSection
{
    private readonly Dictionary<string, JsonElement> _unread = [];
    private readonly List<string> _problems;
    private readonly string _name;

    public ConfigSection(JsonElement element, string name, List<string> problems)
    {
        _name = name;
        _problems = problems;
        foreach (JsonProperty property in element.EnumerateObject())
            _unread[property.Name] = property.Value;
    }

    /// <summary>A section that is not there: every key has its default.</summary>
    public static ConfigSection Empty(string name, List<string> problems) => new(s_nothing, name, problems);

    private static readonly JsonElement s_nothing = JsonDocument.Parse("{}").RootElement.Clone();

    public bool Has(string key) => _unread.TryGetValue(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    public void Problem(string key, string text) => _problems.Add($"{_name}{key}: {text}");

    /// <summary>Takes the value out; null counts as absent, as it does for open_clip's optional settings.</summary>
    public bool TryTake(string key, out JsonElement value) => _unread.Remove(key, out value) && value.ValueKind != JsonValueKind.Null;

    public void IgnoreKeys(params string[] keys)
    {
        foreach (string key in keys)
            _unread.Remove(key);
    }

    /// <summary>A whole number in [<paramref name="minimum"/>, <paramref name="maximum"/>]; without a default it must be there.</summary>
    public int Integer(string key, int? fallback, int minimum = 1, int maximum = 1 << 24)
    {
        if (!TryTake(key, out JsonElement value))
        {
            if (fallback is null)
                Problem(key, "is missing.");
            return fallback ?? minimum;
        }

        return IntegerValue(value, key, minimum, maximum);
    }

    public bool Boolean(string key, bool fallback)
    {
        if (!TryTake(key, out JsonElement value))
            return fallback;
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        Problem(key, $"expected true or false, found {Show(value)}.");
        return fallback;
    }

    public double Number(string key, double fallback, double minimum, double maximum)
    {
        if (!TryTake(key, out JsonElement value))
            return fallback;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= minimum && number <= maximum)
            return number;
        Problem(key, string.Create(CultureInfo.InvariantCulture, $"expected a number from {minimum} to {maximum}, found {Show(value)}."));
        return fallback;
    }

    public string? Text(string key)
    {
        if (!TryTake(key, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.String)
            return value.GetString();
        Problem(key, $"expected text, found {Show(value)}.");
        return null;
    }

    /// <summary>One of a closed set of words; an array, for which no code has to be compiled when the program runs, as it has for a span.</summary>
    public T Choice<T>(string key, T fallback, params (string Word, T Value)[] choices)
    {
        if (!TryTake(key, out JsonElement value))
            return fallback;
        foreach ((string word, T choice) in choices)
        {
            if (value.ValueKind == JsonValueKind.String && value.ValueEquals(word))
                return choice;
        }

        var words = new List<string>();
        foreach ((string word, _) in choices)
            words.Add(word);
        Problem(key, $"expected one of {string.Join(", ", words)}, found {Show(value)}.");
        return fallback;
    }

    /// <summary>A number for both directions, or [height, width].</summary>
    public (int Height, int Width) Pair(string key, int? fallback, int maximum)
    {
        if (!TryTake(key, out JsonElement value))
        {
            if (fallback is null)
                Problem(key, "is missing.");
            return (fallback ?? 1, fallback ?? 1);
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            int size = IntegerValue(value, key, 1, maximum);
            return (size, size);
        }

        if (value.GetArrayLength() == 2)
            return (IntegerValue(value[0], key, 1, maximum), IntegerValue(value[1], key, 1, maximum));
        Problem(key, $"expected a number or [height, width], found {Show(value)}.");
        return (1, 1);
    }

    /// <summary>As many whole numbers from 1 to <paramref name="maximum"/> as the usual ones are.</summary>
    public ImmutableArray<int> Integers(string key, ImmutableArray<int> usual, int maximum)
    {
        if (!TryTake(key, out JsonElement value))
            return usual;
        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == usual.Length)
            return [.. value.EnumerateArray().Select(element => IntegerValue(element, key, 1, maximum))];
        Problem(key, $"expected {usual.Length} whole numbers, found {Show(value)}.");
        return usual;
    }

    public ImmutableArray<float>? Triple(string key)
    {
        if (!TryTake(key, out JsonElement value))
            return null;
        var numbers = new float[3];
        bool isTriple = value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 3;
        for (int i = 0; isTriple && i < 3; i++)
            isTriple = value[i].ValueKind == JsonValueKind.Number && value[i].TryGetSingle(out numbers[i]) && float.IsFinite(numbers[i]);
        if (isTriple)
            return ImmutableArray.Create(numbers);
        Problem(key, $"expected three numbers, found {Show(value)}.");
        return null;
    }

    /// <summary>A nested object, or null.</summary>
    public ConfigSection? Section(string key)
    {
        if (!TryTake(key, out JsonElement value))
            return null;
        if (value.ValueKind == JsonValueKind.Object)
            return new ConfigSection(value, $"{_name}{key}.", _problems);
        Problem(key, $"expected an object, found {Show(value)}.");
        return null;
    }

    /// <summary>An option of open_clip that is known and not built: only the value that switches it off is taken.</summary>
    public void RequireOff(string key)
    {
        if (TryTake(key, out JsonElement value) && value.ValueKind != JsonValueKind.False && !value.ValueEqualsOrdinal("default"))
            Problem(key, $"is not built; expected false, found {Show(value)}.");
    }

    /// <summary>Whatever was not asked for is unknown.</summary>
    public void RefuseTheRest()
    {
        foreach (string key in _unread.Keys)
            _problems.Add($"{_name}{BadInputException.Escape(key, 60)}: unknown key.");
    }

    public int IntegerValue(JsonElement value, string key, int minimum, int maximum)
    {
        if (value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= minimum && number <= maximum)
            return number;
        Problem(key, $"expected a whole number from {minimum} to {maximum}, found {Show(value)}.");
        return minimum;
    }

    public static string Show(JsonElement value) => BadInputException.Escape(value.GetRawText(), 80);
}

internal static class JsonElementExtensions
{
    public static bool ValueEqualsOrdinal(this JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);
}
