using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using ClipEngine.Files;
using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Checkpoints;

/// <summary>
/// Writes safetensors files: whole or not at all, and the same bytes for the same tensors, in whatever order they were added.
/// Tensors lie as the reference lays them: widest type first, then by name; the header is padded with spaces to 8 bytes.
/// </summary>
public sealed class SafetensorsWriter
{
    private const int ChunkLength = 1 << 20;

    private readonly Dictionary<string, Pending> _tensors = [];
    private readonly SortedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private Streamed? _streamed;

    /// <summary>A writer without tensors.</summary>
    /// <param name="metadata">Free text about the file; null for none.</param>
    public SafetensorsWriter(IReadOnlyDictionary<string, string>? metadata = null)
    {
        foreach ((string key, string value) in metadata ?? new Dictionary<string, string>())
            _metadata.Add(key, value);
    }

    /// <summary>Adds a tensor of bytes as they shall be stored: little-endian, row-major.</summary>
    /// <param name="name">The key.</param>
    /// <param name="type">The element type.</param>
    /// <param name="dimensions">Sizes, outermost first; none for a scalar.</param>
    /// <param name="bytes">Exactly as many as shape and type ask for; read when the file is written.</param>
    /// <exception cref="ArgumentException">The key exists, or the number of bytes is another.</exception>
    public void Add(string name, ElementType type, ReadOnlySpan<long> dimensions, ReadOnlyMemory<byte> bytes) =>
        Add(name, type, dimensions, bytes.Length, stream => stream.Write(bytes.Span));

    /// <summary>Adds fp32 values.</summary>
    /// <param name="name">The key.</param>
    /// <param name="values">As many as the shape asks for, row-major; read when the file is written.</param>
    /// <param name="dimensions">Sizes, outermost first.</param>
    public void Add(string name, ReadOnlyMemory<float> values, params ReadOnlySpan<long> dimensions) =>
        Add(name, ElementType.Float32, dimensions, (long)values.Length * sizeof(float), stream =>
        {
            ReadOnlySpan<float> rest = values.Span;
            while (rest.Length > 0)
            {
                int count = Math.Min(rest.Length, ChunkLength);
                stream.Write(MemoryMarshal.AsBytes(rest[..count]));
                rest = rest[count..];
            }
        });

    /// <summary>Adds a tensor of another checkpoint, which must stay open until the file is written.</summary>
    /// <param name="source">Where it lies.</param>
    /// <param name="name">Its key there.</param>
    /// <param name="newName">Its key in the new file; null for the same.</param>
    public void Add(ICheckpoint source, string name, string? newName = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        StoredTensor tensor = source.Tensors[name];
        Add(newName ?? name, tensor.Type, tensor.Dimensions.AsSpan(), tensor.ByteLength, stream =>
        {
            using TensorBytes bytes = source.Borrow(name);
            for (long start = 0; start < bytes.ByteLength; start += ChunkLength)
                stream.Write(bytes.Slice(start, (int)Math.Min(ChunkLength, bytes.ByteLength - start)));
        });
    }

    /// <summary>Makes room for an fp32 tensor that <see cref="Write(string, Action{SafetensorsRows})"/> is given row by row.</summary>
    /// <param name="name">The key.</param>
    /// <param name="dimensions">Sizes, outermost first.</param>
    /// <exception cref="ArgumentException">The key exists.</exception>
    public void AddRows(string name, params ReadOnlySpan<long> dimensions)
    {
        long bytes = sizeof(float);
        foreach (long dimension in dimensions)
            bytes = checked(bytes * dimension);
        Add(name, ElementType.Float32, dimensions, bytes, write: null);
    }

    /// <summary>Writes the file under a private name and renames it.</summary>
    /// <param name="path">The final name.</param>
    /// <exception cref="BadInputException">The metadata take more than the format's largest header.</exception>
    /// <exception cref="IOException">No space, no permission, a bad disk: nothing is left under the final name.</exception>
    public void Write(string path) => Write(path, static _ => { });

    /// <summary>The same with tensors that do not fit in memory.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="fill">Appends exactly the values of every tensor that <see cref="AddRows"/> announced, their rows in order, the tensors in any.</param>
    /// <exception cref="InvalidOperationException"><paramref name="fill"/> appended fewer or more.</exception>
    /// <exception cref="IOException">As above.</exception>
    public void Write(string path, Action<SafetensorsRows> fill)
    {
        ArgumentNullException.ThrowIfNull(fill);
        KeyValuePair<string, Pending>[] ordered = [.. _tensors
            .OrderByDescending(static pair => pair.Value.Type.SizeInBytes())
            .ThenBy(static pair => pair.Value.Type)
            .ThenBy(static pair => pair.Key, StringComparer.Ordinal)];
        byte[] json = WriteHeader(ordered);
        int mark = _streamed is null ? -1 : json.AsSpan().IndexOf(Streamed.MarkBytes);
        long unpadded = json.Length + (mark < 0 ? 0 : _streamed!.Length - Streamed.MarkBytes.Length), padded = (unpadded + 7) / 8 * 8;
        if (padded > SafetensorsFormat.MaximumHeaderLength)
        {
            throw new BadInputException(path, $"the header, which holds the names of all rows, would take {padded} bytes; the format allows {SafetensorsFormat.MaximumHeaderLength}.",
                "Write .npy, .parquet or .arrow, or divide the work into parts.");
        }

        AtomicFile.Write(path, stream =>
        {
            Span<byte> prefix = stackalloc byte[SafetensorsFormat.PrefixLength];
            BinaryPrimitives.WriteInt64LittleEndian(prefix, padded);
            stream.Write(prefix);
            if (mark < 0)
                stream.Write(json);
            else
            {
                stream.Write(json, 0, mark);
                _streamed!.Write(stream);
                stream.Write(json.AsSpan(mark + Streamed.MarkBytes.Length));
                if (stream.Position != SafetensorsFormat.PrefixLength + unpadded)
                    throw new InvalidOperationException($"{stream.Position - SafetensorsFormat.PrefixLength} bytes of header were written instead of {unpadded}.");
            }

            stream.Write("       "u8[..(int)(padded - unpadded)]);
            var regions = new Dictionary<string, (long Next, long End)>();
            foreach ((string name, Pending tensor) in ordered)
            {
                long start = stream.Position;
                if (tensor.Write is null)
                {
                    regions.Add(name, (start, start + tensor.ByteLength));
                    stream.SetLength(start + tensor.ByteLength);
                    stream.Position = start + tensor.ByteLength;
                    continue;
                }

                tensor.Write(stream);
                if (stream.Position - start != tensor.ByteLength)
                    throw new InvalidOperationException($"{name}: wrote {stream.Position - start} bytes instead of {tensor.ByteLength}.");
            }

            stream.Flush();
            var rows = new SafetensorsRows(stream.SafeFileHandle, regions);
            fill(rows);
            rows.Complete();
        });
    }

    /// <summary>Metadata that is too long to hold in memory.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="length">Bytes of its text as JSON writes it, without the quotes.</param>
    /// <param name="write">Writes those bytes.</param>
    internal void AddStreamedMetadata(string key, long length, Action<Stream> write)
    {
        _metadata.Add(key, Streamed.Mark);
        _streamed = new Streamed(length, write);
    }

    /// <summary>Adds a tensor whose bytes are written when its turn comes: behind those of wider types, and of the same type in the order of names.</summary>
    internal void Add(string name, ElementType type, ReadOnlySpan<long> dimensions, long byteLength, Action<Stream>? write)
    {
        ArgumentNullException.ThrowIfNull(name);
        long expected = type.SizeInBytes();
        foreach (long dimension in dimensions)
            expected = checked(expected * dimension);
        if (expected != byteLength)
            throw new ArgumentException($"{name}: the shape takes {expected} bytes, found {byteLength}.", nameof(dimensions));
        if (name == SafetensorsFormat.MetadataKey || !_tensors.TryAdd(name, new Pending(type, dimensions.ToArray(), byteLength, write)))
            throw new ArgumentException($"{name}: the key exists already.", nameof(name));
    }

    private byte[] WriteHeader(KeyValuePair<string, Pending>[] ordered)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (_metadata.Count > 0)
            {
                json.WriteStartObject(SafetensorsFormat.MetadataKey);
                foreach ((string key, string value) in _metadata)
                    json.WriteString(key, value);
                json.WriteEndObject();
            }

            long start = 0;
            foreach ((string name, Pending tensor) in ordered)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", SafetensorsFormat.NameOf(tensor.Type));
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Dimensions)
                    json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(start);
                json.WriteNumberValue(start += tensor.ByteLength);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The text that stands for streamed metadata until the header is written.</summary>
    private sealed record Streamed(long Length, Action<Stream> Write)
    {
        public const string Mark = "*written from a stream*";

        public static ReadOnlySpan<byte> MarkBytes => "*written from a stream*"u8;
    }

    private sealed record Pending(ElementType Type, long[] Dimensions, long ByteLength, Action<Stream>? Write);
}

/// <summary>Takes the rows of a file's tensors; see <see cref="SafetensorsWriter.Write(string, Action{SafetensorsRows})"/>.</summary>
public sealed class SafetensorsRows
{
    private readonly SafeFileHandle _file;
    private readonly Dictionary<string, (long Next, long End)> _regions;

    internal SafetensorsRows(SafeFileHandle file, Dictionary<string, (long Next, long End)> regions)
    {
        _file = file;
        _regions = regions;
    }

    /// <summary>Writes the next values of a tensor.</summary>
    /// <param name="name">The key.</param>
    /// <param name="values">Row-major; not kept.</param>
    /// <exception cref="InvalidOperationException">More values than the sizes say, or a tensor that was not announced.</exception>
    public void Append(string name, ReadOnlySpan<float> values)
    {
        if (!_regions.TryGetValue(name, out (long Next, long End) region) || (long)values.Length * sizeof(float) > region.End - region.Next)
            throw new InvalidOperationException($"{name}: {values.Length} more values do not fit.");
        RandomAccess.Write(_file, MemoryMarshal.AsBytes(values), region.Next);
        _regions[name] = (region.Next + ((long)values.Length * sizeof(float)), region.End);
    }

    internal void Complete()
    {
        foreach ((string name, (long next, long end)) in _regions)
        {
            if (next != end)
                throw new InvalidOperationException($"{name}: {(end - next) / sizeof(float)} values were announced and not written.");
        }
    }
}
