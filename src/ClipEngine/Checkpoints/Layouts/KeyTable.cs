using System.Globalization;

namespace ClipEngine.Checkpoints.Layouts;

/// <summary>
/// One layout's keys in another's words, for families whose key map goes one way. <c>#</c> stands for a block's number; <c>?</c> for
/// queries, keys and values (<c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c> or <c>query</c>, <c>key</c>, <c>value</c>), three tensors that become one, in that order; an entry that ends in a dot stands for weight and bias;
/// a new name that ends in <c>^T</c> for a matrix with rows and columns exchanged.
/// </summary>
internal sealed class KeyTable
{
    private static readonly string[][] s_parts = [["q_proj", "k_proj", "v_proj"], ["query", "key", "value"]];

    private const string Transposed = "^T";

    private readonly Dictionary<string, string> _entries = [];
    private readonly HashSet<string> _dropped;

    /// <summary>A table.</summary>
    /// <param name="dropped">Keys that are left out: buffers that follow from the sizes, second names of a shared tensor.</param>
    /// <param name="entries">From and to.</param>
    public KeyTable(string[] dropped, params ReadOnlySpan<(string From, string To)> entries)
    {
        _dropped = [.. dropped];
        foreach ((string from, string to) in entries)
        {
            if (!from.EndsWith('.'))
            {
                _entries.Add(from, to);
                continue;
            }

            // A fused bias is named as its matrix is, with another last word.
            foreach (string kind in new[] { "weight", "bias" })
                _entries.Add(from + kind, to.EndsWith('.') || to.EndsWith('_') ? to + kind : to);
        }
    }

    /// <summary>The checkpoint under the new names; keys that the table does not know keep theirs.</summary>
    /// <param name="source">Owned by the result from here on.</param>
    public ICheckpoint Apply(ICheckpoint source)
    {
        var recipes = new List<Recipe>();
        foreach (string key in source.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            if (_dropped.Contains(key))
                continue;
            (string pattern, string number) = Generalize(key);
            if (_entries.TryGetValue(pattern, out string? to))
                recipes.Add(Make(to.Replace("#", number, StringComparison.Ordinal), key));
            else if (!TryJoin(source, recipes, key, pattern, number))
                recipes.Add(new Recipe.Rename(key, key));
        }

        return MappedCheckpoint.Create(source, recipes);
    }

    private static Recipe Make(string to, string key) =>
        to.EndsWith(Transposed, StringComparison.Ordinal) ? new Recipe.Transpose(to[..^Transposed.Length], key) : new Recipe.Rename(to, key);

    /// <summary>Queries, keys and values behind one another, where all three are there and alike.</summary>
    private bool TryJoin(ICheckpoint source, List<Recipe> recipes, string key, string pattern, string number)
    {
        foreach (string[] parts in s_parts)
        {
            int which = Array.FindIndex(parts, part => pattern.Contains($".{part}.", StringComparison.Ordinal));
            if (which < 0 || !_entries.TryGetValue(pattern.Replace($".{parts[which]}.", ".?.", StringComparison.Ordinal), out string? to))
                continue;
            string[] sources = [.. parts.Select(other => key.Replace($".{parts[which]}.", $".{other}.", StringComparison.Ordinal))];
            bool isWhole = Array.TrueForAll(sources, source.Tensors.ContainsKey) && source.Tensors[key].Dimensions.Length > 0
                && Array.TrueForAll(sources, other => source.Tensors[other].Type == source.Tensors[key].Type
                    && source.Tensors[other].Dimensions.AsSpan().SequenceEqual(source.Tensors[key].Dimensions.AsSpan()));
            if (!isWhole)
                return false;
            if (which == 0)
                recipes.Add(new Recipe.Join(to.Replace("#", number, StringComparison.Ordinal), sources));
            return true;
        }

        return false;
    }

    /// <summary>The key with its first step that is a number as <c>#</c>.</summary>
    private static (string Pattern, string Number) Generalize(string key)
    {
        string[] steps = key.Split('.');
        int at = Array.FindIndex(steps, static step => step is "0" || (step.Length is > 0 and < 5 && step[0] != '0' && int.TryParse(step, NumberStyles.None, CultureInfo.InvariantCulture, out _)));
        if (at < 0)
            return (key, "");
        string number = steps[at];
        steps[at] = "#";
        return (string.Join('.', steps), number);
    }
}
