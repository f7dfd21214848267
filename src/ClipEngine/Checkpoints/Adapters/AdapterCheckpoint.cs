using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Adapters;

/// <summary>
/// A checkpoint with the LoRA or DoRA adapter that lies in its folder added to its weights, tensor by tensor as they are borrowed:
/// <c>W + s B A</c>, and for DoRA <c>m (W + s B A) / |W + s B A|</c> row by row. Sums are made in double precision and rounded once to fp32.
/// </summary>
internal sealed class AdapterCheckpoint : ICheckpoint
{
    private static readonly string[] s_fileNames = ["adapter_model.safetensors", "adapter_model.bin"];

    private readonly ICheckpoint _base;
    private readonly ICheckpoint _adapter;
    private readonly Dictionary<string, StoredTensor> _tensors;
    private readonly Dictionary<string, Change> _changes = [];
    private readonly HashSet<string> _widened = [];

    private AdapterCheckpoint(ICheckpoint stored, ICheckpoint adapter)
    {
        _base = stored;
        _adapter = adapter;
        _tensors = new Dictionary<string, StoredTensor>(stored.Tensors);
    }

    public string Path => _base.Path;

    public string Format => _base.Format;

    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    public IReadOnlyDictionary<string, string> Metadata => _base.Metadata;

    public IReadOnlyList<string> Notices { get; private set; } = [];

    /// <summary>Adds the adapter of a folder to the weights beside it.</summary>
    /// <param name="stored">The weights under their own layout's keys; owned by the result from here on.</param>
    /// <param name="folder">Holds <c>adapter_config.json</c> and <c>adapter_model.safetensors</c> or <c>.bin</c>.</param>
    /// <exception cref="CheckpointException">The adapter is of another kind, damaged, or not this model's.</exception>
    public static ICheckpoint Apply(ICheckpoint stored, string folder)
    {
        string configuration = System.IO.Path.Combine(folder, AdapterConfig.FileName);
        AdapterConfig config = AdapterConfig.Read(configuration);
        string path = s_fileNames.Select(name => System.IO.Path.Combine(folder, name)).FirstOrDefault(FilePlace.IsFile)
            ?? throw new CheckpointException(configuration, CheckpointError.NotFound, $"has no weights beside it ({string.Join(" or ", s_fileNames)}).", "Put them there, or move the file out of the folder to run the base model.");
        ICheckpoint adapter = Checkpoint.OpenShard(path);
        try
        {
            var checkpoint = new AdapterCheckpoint(stored, adapter);
            checkpoint.Read(config, configuration);
            return checkpoint;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    public TensorBytes Borrow(string name)
    {
        if (!_changes.TryGetValue(name, out Change? change))
            return _widened.Contains(name) ? Store(CheckpointExtensions.ReadSingles(_base, name)) : _base.Borrow(name);
        if (change.Replacement is { } replacement)
            return _widened.Contains(name) ? Store(_adapter.ReadSingles(replacement)) : _adapter.Borrow(replacement);
        return Store(Merge(name, change));
    }

    public void Dispose()
    {
        _adapter.Dispose();
        _base.Dispose();
    }

    private void Read(AdapterConfig config, string configuration)
    {
        var parts = new Dictionary<string, Dictionary<string, string>>(); // module -> part -> key
        foreach (string key in _adapter.Tensors.Keys)
        {
            (string module, string part) = Split(key);
            if (part.Length == 0)
                AddReplacement(key, module);
            else if (!(parts.TryGetValue(module, out Dictionary<string, string>? found) ? found : parts[module] = []).TryAdd(part, key))
                throw Refuse($"has the {part} of '{BadInputException.Escape(module, 80)}' twice.");
        }

        foreach ((string module, Dictionary<string, string> found) in parts)
            AddProduct(config, module, found);
        Notices = [.. _base.Notices, $"{configuration}: the adapter is added to {_changes.Count} of the model's weights, as transformers' from_pretrained does."];
    }

    /// <summary>The module that a key of the adapter belongs to, and which of its parts it is; none where it takes the place of a weight.</summary>
    private static (string Module, string Part) Split(string key)
    {
        const string Front = "base_model.model.";
        string name = key.StartsWith(Front, StringComparison.Ordinal) ? key[Front.Length..] : key;
        // The wrapped module stands one step down (nn.MultiheadAttention keeps its output projection there).
        name = name.Replace(".base_layer.", ".", StringComparison.Ordinal).Replace(".modules_to_save.default.", ".", StringComparison.Ordinal);
        foreach (string part in (ReadOnlySpan<string>)["lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector"])
        {
            int place = name.IndexOf($".{part}", StringComparison.Ordinal);
            string end = place < 0 ? "" : name[(place + part.Length + 1)..];
            if (place > 0 && end is "" or ".weight" or ".default" or ".default.weight")
                return (name[..place], part);
        }

        return (name, "");
    }

    private void AddReplacement(string key, string target)
    {
        if (target.Contains("lora_", StringComparison.Ordinal) || !_tensors.TryGetValue(target, out StoredTensor weight))
            throw Refuse($"has '{BadInputException.Escape(key, 100)}', which belongs to no weight of the model.");
        StoredTensor own = _adapter.Tensors[key];
        if (!own.Dimensions.AsSpan().SequenceEqual(weight.Dimensions.AsSpan()))
            throw Refuse($"has '{BadInputException.Escape(key, 100)}' as {own}; the model has {weight}.");
        _changes.Add(target, new Change { Replacement = key });
        _tensors[target] = own with { Name = target };
        if (own.Type.IsFloatingPoint())
            WidenWithSiblings(target);
    }

    private void AddProduct(AdapterConfig config, string module, Dictionary<string, string> parts)
    {
        string shown = BadInputException.Escape(module, 100);
        bool isEmbedding = parts.ContainsKey("lora_embedding_A");
        string? first = parts.GetValueOrDefault(isEmbedding ? "lora_embedding_A" : "lora_A");
        string? second = parts.GetValueOrDefault(isEmbedding ? "lora_embedding_B" : "lora_B");
        string? magnitude = parts.GetValueOrDefault("lora_magnitude_vector");
        if (first is null || second is null)
            throw Refuse($"has only one of the two matrices of '{shown}'.");
        if (magnitude is not null != config.UsesMagnitudes || (isEmbedding && magnitude is not null))
            throw Refuse($"has {(magnitude is null ? "no magnitudes" : "magnitudes")} for '{shown}', and use_dora is {(config.UsesMagnitudes ? "true" : "false")}.");
        string? target = new[] { module + ".weight", module + ".in_proj_weight", module }.FirstOrDefault(_tensors.ContainsKey);
        if (target is null)
            throw Refuse($"changes '{shown}', which the model does not have.");
        StoredTensor weight = _tensors[target];
        (StoredTensor a, StoredTensor b) = (_adapter.Tensors[first], _adapter.Tensors[second]);
        long rank = a.Dimensions.IsEmpty ? 0 : a.Dimensions[0];
        long rows = weight.Dimensions.IsEmpty ? 0 : weight.Dimensions[0];
        long columns = rows == 0 ? 0 : weight.ElementCount / rows;
        bool fits = rank > 0 && rows > 0 && a.Type.IsFloatingPoint() && b.Type.IsFloatingPoint() && weight.Type.IsFloatingPoint() && weight.ElementCount <= Array.MaxLength
            && (isEmbedding
                ? a.ElementCount == rank * rows && b.Dimensions.AsSpan().SequenceEqual([columns, rank])
                : a.ElementCount == rank * columns && b.ElementCount == rows * rank && b.Dimensions.Length >= 2 && b.Dimensions[0] == rows && b.Dimensions[1] == rank)
            && (magnitude is null || _adapter.Tensors[magnitude].ElementCount == rows);
        if (!fits)
            throw Refuse($"has matrices {a} and {b} for '{shown}', which do not make the model's {weight}.");
        if (rank != config.Rank(module))
            throw Refuse($"has matrices of rank {rank} for '{shown}', where {AdapterConfig.FileName} (r, rank_pattern) says {config.Rank(module)}: the two do not belong together.");
        if (!_changes.TryAdd(target, new Change { First = first, Second = second, Magnitude = magnitude, IsEmbedding = isEmbedding, Rank = (int)rank, Scale = config.Scale(module, rank) }))
            throw Refuse($"changes '{BadInputException.Escape(target, 100)}' twice.");
        WidenWithSiblings(target);
    }

    /// <summary>Makes a weight fp32, and the two beside it where queries, keys and values are put together later and have to be of one type.</summary>
    private void WidenWithSiblings(string target)
    {
        Widen(target);
        foreach (string one in (ReadOnlySpan<string>)[".q_proj.", ".k_proj.", ".v_proj."])
        {
            foreach (string other in target.Contains(one, StringComparison.Ordinal) ? (ReadOnlySpan<string>)[".q_proj.", ".k_proj.", ".v_proj."] : [])
            {
                string sibling = target.Replace(one, other, StringComparison.Ordinal);
                if (_tensors.TryGetValue(sibling, out StoredTensor tensor) && tensor.Type.IsFloatingPoint())
                    Widen(sibling);
            }
        }
    }

    private void Widen(string key)
    {
        StoredTensor tensor = _tensors[key];
        if (tensor.Type != ElementType.Float32)
            _widened.Add(key);
        _tensors[key] = tensor with { Type = ElementType.Float32, ByteLength = tensor.ElementCount * sizeof(float) };
    }

    private float[] Merge(string name, Change change)
    {
        float[] weight = _base.ReadSingles(name), a = _adapter.ReadSingles(change.First!), b = _adapter.ReadSingles(change.Second!);
        float[]? magnitudes = change.Magnitude is { } key ? _adapter.ReadSingles(key) : null;
        int rows = (int)_tensors[name].Dimensions[0], columns = weight.Length / rows, rank = change.Rank;
        Parallel.For(0, rows, row =>
        {
            double[] sums = new double[columns];
            for (int r = 0; r < rank; r++)
            {
                if (change.IsEmbedding)
                {
                    double factor = change.Scale * a[(r * rows) + row]; // A [rank, rows], B [columns, rank]
                    for (int c = 0; c < columns; c++)
                        sums[c] += factor * b[(c * rank) + r];
                }
                else
                {
                    double factor = change.Scale * b[(row * rank) + r]; // A [rank, columns], B [rows, rank]
                    for (int c = 0; c < columns; c++)
                        sums[c] += factor * a[(r * columns) + c];
                }
            }

            Span<float> target = weight.AsSpan(row * columns, columns);
            double squares = 0;
            for (int c = 0; c < columns; c++)
            {
                sums[c] += target[c];
                squares += sums[c] * sums[c];
            }

            double factorOfRow = magnitudes is null ? 1 : magnitudes[row] / Math.Sqrt(squares);
            for (int c = 0; c < columns; c++)
                target[c] = (float)(factorOfRow * sums[c]);
        });
        return weight;
    }

    private static unsafe TensorBytes Store(float[] values)
    {
        TensorBytes bytes = TensorBytes.Allocate((long)values.Length * sizeof(float));
        MemoryMarshal.AsBytes(values.AsSpan()).CopyTo(new Span<byte>((void*)bytes.Address, checked(values.Length * sizeof(float))));
        return bytes;
    }

    private CheckpointException Refuse(string problem) => new(_adapter.Path, CheckpointError.DoesNotFit, problem, "Use the adapter that belongs to this model, or move it out of the folder to run the base model.");

    /// <summary>What happens to one weight.</summary>
    private sealed record Change
    {
        public string? Replacement { get; init; }

        public string? First { get; init; }

        public string? Second { get; init; }

        public string? Magnitude { get; init; }

        public bool IsEmbedding { get; init; }

        public int Rank { get; init; }

        public double Scale { get; init; }
    }
}
