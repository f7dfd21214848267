using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>A checkpoint in several files, tied together by a <c>*.index.json</c> as transformers writes it.</summary>
internal sealed class ShardedCheckpoint : ICheckpoint, IHasTensorsInFiles
{
    private const int MaximumIndexLength = 100_000_000;

    // Hundreds of shards are usual, and so are limits of 1024 open files.
    private const int MostOpen = 4;

    private readonly string _folder;
    private readonly Dictionary<string, StoredTensor> _tensors = [];
    private readonly Dictionary<string, string> _shardOf = [];
    private readonly Dictionary<string, (long Length, DateTime WrittenAt)> _seen = [];
    private readonly List<(string Name, ICheckpoint Checkpoint)> _open = []; // the last used comes last
    private readonly Lock _gate = new();
    private bool _isDisposed;

    private ShardedCheckpoint(string path)
    {
        Path = path;
        _folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
    }

    /// <inheritdoc/>
    public string Path { get; }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    /// <inheritdoc/>
    public string Format => "sharded checkpoint";

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> Metadata { get; } = new Dictionary<string, string>();

    /// <inheritdoc/>
    public IReadOnlyList<string> Notices { get; private set; } = [];

    /// <summary>Opens the index and every shard it names, and checks that they agree.</summary>
    public static ShardedCheckpoint Open(string path)
    {
        (Dictionary<string, string> fileOf, double? totalSize) = ReadIndex(path);
        var checkpoint = new ShardedCheckpoint(path);
        try
        {
            checkpoint.Merge(fileOf, totalSize);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public TensorBytes Borrow(string name)
    {
        // What is lent outlives the closing of its file.
        lock (_gate)
            return OpenShard(_shardOf[name]).Borrow(name);
    }

    /// <inheritdoc/>
    public TensorPlace? Locate(string name)
    {
        lock (_gate)
            return OpenShard(_shardOf[name]) is IHasTensorsInFiles shard ? shard.Locate(name) : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            foreach ((_, ICheckpoint shard) in _open)
                shard.Dispose();
            _open.Clear();
        }
    }

    /// <summary>A shard, opened where it is not; the one that was not used for the longest time is closed for it.</summary>
    private ICheckpoint OpenShard(string name)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        int index = _open.FindIndex(shard => shard.Name == name);
        if (index >= 0)
        {
            (string Name, ICheckpoint Checkpoint) found = _open[index];
            _open.RemoveAt(index);
            _open.Add(found);
            return found.Checkpoint;
        }

        string path = System.IO.Path.Combine(_folder, name);
        if (!FilePlace.IsFile(path))
        {
            throw new CheckpointException(Path, CheckpointError.MissingShard, $"the shard {BadInputException.Escape(name, 120)} is not beside the index.",
                "Download the missing file into the same folder.");
        }

        ICheckpoint opened = Checkpoint.OpenShard(path);
        var file = new FileInfo(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
        (long, DateTime) now = (file.Length, file.LastWriteTimeUtc);
        if (!_seen.TryAdd(name, now) && _seen[name] != now)
        {
            opened.Dispose();
            throw new CheckpointException(path, CheckpointError.Changed, "the file was written to while it was being read.", "Wait until whoever writes it is done, then try again.");
        }

        if (_open.Count == MostOpen)
        {
            _open[0].Checkpoint.Dispose();
            _open.RemoveAt(0);
        }

        _open.Add((name, opened));
        return opened;
    }

    private void Merge(Dictionary<string, string> fileOf, double? totalSize)
    {
        string[] files = [.. fileOf.Values.Distinct().Order(StringComparer.Ordinal)];
        // All names before anything is opened.
        if (Array.Find(files, static name => !SafeNames.IsFileName(name)) is { } unsafeName)
        {
            throw new CheckpointException(Path, CheckpointError.UnsafeName,
                $"names the shard '{BadInputException.Escape(unsafeName, 120)}'; a shard is a plain file name beside its index.", "Do not use this file.");
        }

        long found = 0;
        foreach (string file in files)
        {
            foreach ((string key, StoredTensor tensor) in OpenShard(file).Tensors)
            {
                string shown = BadInputException.Escape(key, 80);
                if (!fileOf.TryGetValue(key, out string? named))
                    throw Refuse($"tensor '{shown}' of {BadInputException.Escape(file, 80)} is not in the index.");
                if (!_tensors.TryAdd(key, tensor))
                    throw new CheckpointException(Path, CheckpointError.DuplicateKey, $"tensor '{shown}' is in two shards.", "Download index and shards again, together.");
                if (named != file)
                    throw Refuse($"tensor '{shown}' should be in {BadInputException.Escape(named, 80)}, but is in {BadInputException.Escape(file, 80)}.");
                _shardOf.Add(key, file);
                found += tensor.ByteLength;
            }
        }

        foreach ((string key, string file) in fileOf)
        {
            if (!_tensors.ContainsKey(key))
                throw Refuse($"tensor '{BadInputException.Escape(key, 80)}' should be in {BadInputException.Escape(file, 80)}, but is not.");
        }

        // transformers writes this number and never reads it: older versions counted otherwise, and people edit files.
        if (totalSize is { } total && total != found)
            Notices = [$"{Path}: the index declares {total} bytes of tensors, the shards hold {found}; every tensor that it names is there."];
    }

    private CheckpointException Refuse(string problem) =>
        new(Path, CheckpointError.InvalidIndex, problem, "Download index and shards again, together.");

    private static (Dictionary<string, string> FileOf, double? TotalSize) ReadIndex(string path)
    {
        using CheckpointFile file = CheckpointFile.Open(path);
        if (file.Length > MaximumIndexLength)
            throw new CheckpointException(path, CheckpointError.TooComplex, $"an index of {file.Length} bytes is not read; at most {MaximumIndexLength} are.");
        byte[] json = file.Read(0, (int)file.Length);
        var fileOf = new Dictionary<string, string>();
        double? totalSize = null;
        bool hasMap = false;
        try
        {
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
            reader.Read();
            Expect(reader.TokenType == JsonTokenType.StartObject, path, "must be a JSON object");
            while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
            {
                if (reader.ValueTextEquals("weight_map"u8))
                {
                    Expect(!hasMap, path, "has two 'weight_map'");
                    hasMap = true;
                    ReadMap(ref reader, path, fileOf);
                }
                else if (reader.ValueTextEquals("metadata"u8))
                {
                    totalSize = ReadTotalSize(ref reader, path);
                }
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }

            // Anything but white space behind the object makes the reader throw here.
            reader.Read();
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new CheckpointException(path, CheckpointError.InvalidJson, $"is not valid JSON: {BadInputException.Escape(exception.Message)}",
                "Download it again.", exception);
        }

        if (!hasMap)
        {
            throw new CheckpointException(path, CheckpointError.UnknownFormat, "is JSON without a 'weight_map': a configuration, perhaps, but no index of weights.",
                "Name the folder or the weights themselves.");
        }

        return (fileOf, totalSize);
    }

    private static void ReadMap(ref Utf8JsonReader reader, string path, Dictionary<string, string> fileOf)
    {
        reader.Read();
        Expect(reader.TokenType == JsonTokenType.StartObject, path, "must have an object as 'weight_map'");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            reader.Read();
            Expect(reader.TokenType == JsonTokenType.String, path, "must map every tensor to a file name");
            if (!fileOf.TryAdd(key, reader.GetString()!))
            {
                throw new CheckpointException(path, CheckpointError.DuplicateKey, $"names the tensor '{BadInputException.Escape(key, 80)}' twice.",
                    "Download index and shards again, together.");
            }
        }
    }

    private static double? ReadTotalSize(ref Utf8JsonReader reader, string path)
    {
        double? totalSize = null;
        reader.Read();
        if (reader.TokenType == JsonTokenType.Null)
            return null;
        Expect(reader.TokenType == JsonTokenType.StartObject, path, "must have an object as 'metadata'");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            bool isTotal = reader.ValueTextEquals("total_size"u8);
            reader.Read();
            if (isTotal && reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out double value))
                totalSize = value;
            else
                reader.Skip();
        }

        return totalSize;
    }

    private static void Expect(bool condition, string path, string rule)
    {
        if (!condition)
            throw new CheckpointException(path, CheckpointError.InvalidIndex, $"the index of a sharded checkpoint {rule}.", "Download it again.");
    }
}
