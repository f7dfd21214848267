using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ClipEngine.Cli.Parts;

/// <summary>Everything that a part's features depend on but its own images: parts of one run agree in all of it. Two parts that differ must not be put together, and a part of another run is not taken for one of this.</summary>
internal sealed class PartRun
{
    private readonly SortedDictionary<string, string> _facts;

    /// <summary>A run.</summary>
    /// <param name="facts">What it depends on, by the names that messages use.</param>
    public PartRun(IEnumerable<KeyValuePair<string, string>> facts)
    {
        _facts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string name, string value) in facts)
            _facts.Add(name, value);
        Json = JsonSerializer.Serialize(_facts, JsonLines.Default.SortedDictionaryStringString);
        Key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Json)));
    }

    /// <summary>As it stands in a part's metadata.</summary>
    public string Json { get; }

    /// <summary>The SHA-256 of that.</summary>
    public string Key { get; }

    /// <summary>Reads what <see cref="Json"/> wrote; null where it is something else.</summary>
    public static PartRun? TryParse(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, JsonLines.Default.SortedDictionaryStringString) is { } facts ? new PartRun(facts) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>In what this run differs from another one: <c>element type: fp32 here, bf16 there</c>. Null where they are the same.</summary>
    public string? DifferenceTo(PartRun other)
    {
        foreach (string name in _facts.Keys.Union(other._facts.Keys))
        {
            string here = _facts.GetValueOrDefault(name, "nothing"), there = other._facts.GetValueOrDefault(name, "nothing");
            if (here != there)
                return $"{BadInputException.Escape(name, 60)}: {BadInputException.Escape(here, 160)} here, {BadInputException.Escape(there, 160)} there";
        }

        return null;
    }
}
