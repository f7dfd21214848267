using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>A checkpoint in several files, tied together by a <c>*.index.json</c> as transformers writes it.</summary>
internal sealed class ShardedCheckpoint : ICheckpoint
{
    private const int MaximumIndexLength = 100_000_000;

    private readonly Dictionary<string, ICheckpoint> _shards;
    private readonly Dictionary<string, StoredTensor> _tensors = [];
    private readonly Dictionary<string, ICheckpoint> _shardOf = [];

    private ShardedCheckpoint(string path, Dictionary<string, ICheckpoint> shards)
    {
        Path = path;
        _shards = shards;
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
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        var shards = new Dictionary<string, ICheckpoint>();
        try
        {
            foreach (string name in fileOf.Values.Distinct().Order(StringComparer.Ordinal))
            {
                if (!SafeNames.IsFileName(name))
                {
                    throw new CheckpointException(path, CheckpointError.UnsafeName,
                        $"names the shard '{BadInputException.Escape(name, 120)}'; a shard is a plain file name beside its index.", "Do not use this file.");
                }

                string shard = System.IO.Path.Combine(folder, name);
                if (!FilePlace.IsFile(shard))
                {
                    throw new CheckpointException(path, CheckpointError.MissingShard, $"the shard {BadInputException.Escape(name, 120)} is not beside the index.",
                        "Download the missing file into the same folder.");
                }

                shards.Add(name, Checkpoint.OpenShard(shard));
            }

            var checkpoint = new ShardedCheckpoint(path, shards);
            checkpoint.Merge(fileOf, totalSize);
            return checkpoint;
        }
        catch
        {
            foreach (ICheckpoint shard in shards.Values)
                shard.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public TensorBytes Borrow(string name) => _shardOf[name].Borrow(name);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ICheckpoint shard in _shards.Values)
            shard.Dispose();
    }

    private void Merge(Dictionary<string, string> fileOf, double? totalSize)
    {
        long found = 0;
        foreach ((string file, ICheckpoint shard) in _shards)
        {
            foreach ((string key, StoredTensor tensor) in shard.Tensors)
            {
                string shown = BadInputException.Escape(key, 80);
                if (!fileOf.TryGetValue(key, out string? named))
                    throw Refuse($"tensor '{shown}' of {BadInputException.Escape(file, 80)} is not in the index.");
                if (!_tensors.TryAdd(key, tensor))
                    throw new CheckpointException(Path, CheckpointError.DuplicateKey, $"tensor '{shown}' is in two shards.", "Download index and shards again, together.");
                if (named != file)
                    throw Refuse($"tensor '{shown}' should be in {BadInputException.Escape(named, 80)}, but is in {BadInputException.Escape(file, 80)}.");
                _shardOf.Add(key, shard);
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
