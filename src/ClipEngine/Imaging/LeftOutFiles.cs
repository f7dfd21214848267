namespace ClipEngine.Imaging;

/// <summary>How many files of folders and shards were left out, by the endings of their names.</summary>
public sealed class LeftOutFiles
{
    private readonly SortedDictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>Endings with their dot (<c>.txt</c>, lower case), <c>no ending</c>, and <c>hidden</c> for what begins with a dot and for <c>__MACOSX</c>, each counted as one whatever it holds.</summary>
    public IReadOnlyDictionary<string, int> Counts => _counts;

    /// <summary>How many in all.</summary>
    public int Total { get; private set; }

    /// <summary>Counts a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="isHidden">Whether its ending does not matter.</param>
    public void Add(string path, bool isHidden = false)
    {
        ArgumentNullException.ThrowIfNull(path);
        string ending = Path.GetExtension(path).ToLowerInvariant();
        Add(isHidden ? "hidden" : ending.Length > 0 ? ending : "no ending", 1);
    }

    /// <summary>Counts something that is no file and has no ending.</summary>
    internal void AddKind(string kind) => Add(kind, 1);

    /// <summary>Counts what another count has.</summary>
    public void Add(LeftOutFiles other)
    {
        ArgumentNullException.ThrowIfNull(other);
        foreach ((string ending, int count) in other._counts)
            Add(ending, count);
    }

    /// <summary>In words: <c>left out 3 files that are no images (.json 2, hidden 1)</c>; empty where there is none.</summary>
    public override string ToString() => Total == 0 ? ""
        : $"left out {Total} file{(Total == 1 ? "" : "s")} that {(Total == 1 ? "is no image" : "are no images")} ({string.Join(", ", _counts.Select(static entry => $"{BadInputException.Escape(entry.Key, 30)} {entry.Value}"))})";

    private void Add(string ending, int count)
    {
        _counts[ending] = _counts.GetValueOrDefault(ending) + count;
        Total += count;
    }
}
