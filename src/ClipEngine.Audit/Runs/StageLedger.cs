using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// Which stages of a run are done: for each file the hash of what it depends on and of its content. A stage is taken as done
/// only where both still hold, so that a killed run resumes and a changed input recomputes what depends on it and nothing else.
/// </summary>
internal sealed class StageLedger
{
    public const string FileName = "stages.json";

    private readonly string _directory;
    private readonly SortedDictionary<string, StageEntry> _entries;
    private readonly HashSet<string> _current = [];

    private StageLedger(string directory, SortedDictionary<string, StageEntry> entries)
    {
        _directory = directory;
        _entries = entries;
    }

    /// <summary>Opens the ledger of a folder; one that cannot be read counts as empty, the stages are then made again. Where there is none, an empty one marks the folder as a run's.</summary>
    public static StageLedger Open(string directory)
    {
        string path = Path.Combine(directory, FileName);
        var entries = new SortedDictionary<string, StageEntry>(StringComparer.Ordinal);
        if (FilePlace.IsFile(path))
        {
            try
            {
                entries = JsonSerializer.Deserialize(File.ReadAllBytes(path), StageJson.Default.SortedDictionaryStringStageEntry) ?? entries;
            }
            catch (JsonException)
            {
                entries = new SortedDictionary<string, StageEntry>(StringComparer.Ordinal);
            }
        }

        var ledger = new StageLedger(directory, new SortedDictionary<string, StageEntry>(entries, StringComparer.Ordinal));
        if (!FilePlace.IsFile(path))
            ledger.Save();
        return ledger;
    }

    /// <summary>A key from all that a stage depends on.</summary>
    public static string Key(params IEnumerable<string> parts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in parts)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(part);
            // Lengths keep ("ab", "c") and ("a", "bc") apart.
            hash.AppendData(BitConverter.GetBytes(bytes.LongLength));
            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Makes a file unless it is there already, made from the same things.</summary>
    /// <param name="name">Its path below the run's folder, with slashes.</param>
    /// <param name="key">The hash of what it depends on.</param>
    /// <param name="make">Writes it, whole or not at all.</param>
    /// <returns>Whether it had to be made.</returns>
    public bool Ensure(string name, string key, Action<string> make)
    {
        string path = Path.Combine(_directory, name);
        _current.Add(name);
        if (_entries.TryGetValue(name, out StageEntry? entry) && entry.Key == key && FilePlace.IsFile(path) && Hash(path) == entry.Sha256)
            return false;
        make(path);
        _entries[name] = new StageEntry(key, Hash(path));
        Save();
        return true;
    }

    /// <summary>Whether a file is there, made from these things.</summary>
    public bool IsDone(string name, string key) => _entries.TryGetValue(name, out StageEntry? entry) && entry.Key == key && FilePlace.IsFile(Path.Combine(_directory, name));

    /// <summary>Keeps stages that this run did not get to: those whose name begins with this.</summary>
    public void Keep(string beginning) => _current.UnionWith(_entries.Keys.Where(name => name.StartsWith(beginning, StringComparison.Ordinal)));

    /// <summary>Forgets stages that this run does not have, and removes their files.</summary>
    public void Prune()
    {
        foreach (string name in _entries.Keys.Where(name => !_current.Contains(name)).ToList())
        {
            _entries.Remove(name);
            File.Delete(Path.Combine(_directory, name));
        }

        Save();
    }

    private static string Hash(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private void Save() =>
        AtomicFile.Write(Path.Combine(_directory, FileName), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(_entries, StageJson.Default.SortedDictionaryStringStageEntry)));
}

/// <summary>A finished stage.</summary>
/// <param name="Key">The hash of what it depends on.</param>
/// <param name="Sha256">The hash of its file.</param>
internal sealed record StageEntry(string Key, string Sha256);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(SortedDictionary<string, StageEntry>))]
internal sealed partial class StageJson : JsonSerializerContext;
