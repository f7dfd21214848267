using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>
/// A safetensors file, validated in full when it is opened: header length, UTF-8, JSON, every entry, and
/// that the tensors cover the data without hole, overlap or trailing byte.
/// </summary>
public sealed class SafetensorsFile : ICheckpoint, IHasTensorsInFiles
{
    private readonly CheckpointFile _file;
    private readonly SafetensorsHeader _header;
    private readonly TensorTable _tensors;

    private SafetensorsFile(CheckpointFile file, SafetensorsHeader header)
    {
        _file = file;
        _header = header;
        _tensors = new TensorTable(header.Entries);
    }

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    /// <inheritdoc/>
    public string Format => "safetensors";

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens and validates a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="lenient">Passes over fields of a tensor's entry that the format does not know; nothing else is ever forgiven.</param>
    /// <exception cref="CheckpointException">Any departure from the format, named.</exception>
    public static SafetensorsFile Open(string path, bool lenient = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        CheckpointFile file = CheckpointFile.Open(path);
        try
        {
            byte[] prefix = file.Read(0, (int)Math.Min(file.Length, SafetensorsFormat.PrefixLength + 1));
            int headerLength = SafetensorsHeader.ReadLength(prefix, file.Length, path);
            byte[] json = file.Read(SafetensorsFormat.PrefixLength, headerLength);
            return new SafetensorsFile(file, SafetensorsHeader.Parse(json, file.Length, path, lenient));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public TensorBytes Borrow(string name)
    {
        SafetensorsHeader.Entry entry = _header.Entries[name];
        return _file.Borrow(entry.Start, entry.Tensor.ByteLength, entry.Tensor.Type.SizeInBytes());
    }

    /// <inheritdoc/>
    TensorPlace? IHasTensorsInFiles.Locate(string name) => new TensorPlace(_file, _header.Entries[name].Start);

    /// <summary>Reads some of a tensor's bytes into the caller's memory.</summary>
    /// <param name="name">The tensor's key.</param>
    /// <param name="start">Counted from the tensor's first byte.</param>
    /// <param name="bytes">Filled; must not reach beyond the tensor.</param>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    public void Read(string name, long start, Span<byte> bytes)
    {
        SafetensorsHeader.Entry entry = _header.Entries[name];
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, entry.Tensor.ByteLength - bytes.Length);
        _file.Read(entry.Start + start, bytes);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    /// <summary>The header's entries seen as tensors, without a second table of a million keys.</summary>
    private sealed class TensorTable(IReadOnlyDictionary<string, SafetensorsHeader.Entry> entries) : IReadOnlyDictionary<string, StoredTensor>
    {
        public int Count => entries.Count;

        public IEnumerable<string> Keys => entries.Keys;

        public IEnumerable<StoredTensor> Values => entries.Values.Select(static entry => entry.Tensor);

        public StoredTensor this[string key] => entries[key].Tensor;

        public bool ContainsKey(string key) => entries.ContainsKey(key);

        public bool TryGetValue(string key, out StoredTensor value)
        {
            bool isThere = entries.TryGetValue(key, out SafetensorsHeader.Entry? entry);
            value = isThere ? entry!.Tensor : default;
            return isThere;
        }

        public IEnumerator<KeyValuePair<string, StoredTensor>> GetEnumerator() =>
            entries.Select(static pair => KeyValuePair.Create(pair.Key, pair.Value.Tensor)).GetEnumerator();

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
