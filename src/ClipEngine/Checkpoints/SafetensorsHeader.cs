using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Unicode;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>
/// The validated table of contents of a safetensors file. The rules are the reference's, and stricter where its text asks for
/// it: no duplicate keys, no unknown fields, sizes of at most 48 bits; white space around the JSON is allowed, as its code does
/// on purpose.
/// </summary>
/// <remarks>Nothing is allocated by a number that the file merely claims: only for entries that are really there.</remarks>
internal sealed class SafetensorsHeader
{
    private readonly string _path;
    private readonly bool _isLenient;
    private readonly Dictionary<string, Entry> _entries = [];
    private readonly SortedDictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsHeader(string path, bool isLenient)
    {
        _path = path;
        _isLenient = isLenient;
    }

    /// <summary>One tensor: what it is and where in the file it begins. A class, for which .NET's collections are compiled before the program starts.</summary>
    public sealed record Entry(StoredTensor Tensor, long Start);

    /// <summary>All tensors by key.</summary>
    public IReadOnlyDictionary<string, Entry> Entries => _entries;

    /// <summary>The free text.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Where a header ends, checked against the file's length before anything is read.</summary>
    /// <param name="prefix">The first bytes of the file, nine or as many as there are.</param>
    /// <param name="fileLength">The whole file.</param>
    /// <param name="path">For messages.</param>
    /// <returns>Bytes of the header.</returns>
    public static int ReadLength(ReadOnlySpan<byte> prefix, long fileLength, string path)
    {
        if (fileLength < SafetensorsFormat.PrefixLength)
        {
            throw new CheckpointException(path, CheckpointError.Truncated,
                $"a safetensors file begins with an 8-byte length; found {fileLength} bytes in all.", "Copy or download it again.");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length == 0)
            throw new CheckpointException(path, CheckpointError.InvalidHeaderLength, "the safetensors header has length 0; the smallest is 2 ('{}').", "Copy or download it again.");
        if (length <= SafetensorsFormat.MaximumHeaderLength)
        {
            if ((long)length > fileLength - SafetensorsFormat.PrefixLength)
            {
                throw new CheckpointException(path, CheckpointError.Truncated,
                    $"the safetensors header should be {length} bytes long, but the file ends after {fileLength} bytes.", "Copy or download it again.");
            }

            return (int)length;
        }

        ulong swapped = BinaryPrimitives.ReverseEndianness(length);
        if (swapped is > 0 and <= SafetensorsFormat.MaximumHeaderLength && (long)swapped <= fileLength - SafetensorsFormat.PrefixLength
            && prefix.Length > SafetensorsFormat.PrefixLength && prefix[SafetensorsFormat.PrefixLength] is (byte)'{' or (byte)' ')
        {
            throw new CheckpointException(path, CheckpointError.InvalidHeaderLength,
                $"the header's length is written big-endian ({swapped}); the format asks for little-endian.", "Write the file again with a conforming program.");
        }

        throw new CheckpointException(path, CheckpointError.InvalidHeaderLength,
            $"the first 8 bytes claim a safetensors header of {length} bytes; at most {SafetensorsFormat.MaximumHeaderLength} are allowed.",
            "This is probably no safetensors file, or a damaged download.");
    }

    /// <summary>Parses and validates a header.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="fileLength">The whole file.</param>
    /// <param name="path">For messages.</param>
    /// <param name="isLenient">Whether unknown fields of an entry are passed over.</param>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long fileLength, string path, bool isLenient)
    {
        if (!Utf8.IsValid(json))
            throw new CheckpointException(path, CheckpointError.InvalidUtf8, "the safetensors header is not valid UTF-8.", "Copy or download it again.");
        var header = new SafetensorsHeader(path, isLenient);
        // A header is an object of objects that hold arrays: anything deeper is refused by the reader before it costs anything.
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 4 });
        try
        {
            header.ReadObject(ref reader);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string whose escapes are no text, such as a lone surrogate.
            throw new CheckpointException(path, CheckpointError.InvalidJson,
                $"the safetensors header is not the JSON object that the format asks for: {BadInputException.Escape(exception.Message)}",
                "Copy or download it again.", exception);
        }

        header.CheckLayout(json.Length, fileLength);
        return header;
    }

    private void ReadObject(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new CheckpointException(_path, CheckpointError.InvalidJson, $"the safetensors header must be a JSON object; found {Describe(reader.TokenType)}.");
        bool hasMetadata = false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == SafetensorsFormat.MetadataKey)
            {
                if (hasMetadata)
                    throw Duplicate(SafetensorsFormat.MetadataKey);
                hasMetadata = true;
                ReadMetadata(ref reader);
            }
            else if (!_entries.TryAdd(name, ReadEntry(ref reader, name)))
            {
                throw Duplicate(name);
            }
        }

        // Anything but white space behind the object makes the reader throw here.
        if (reader.Read())
            throw new CheckpointException(_path, CheckpointError.InvalidJson, "there is a second JSON value behind the safetensors header.");
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new CheckpointException(_path, CheckpointError.InvalidMetadata, $"__metadata__ must be an object of strings; found {Describe(reader.TokenType)}.");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw new CheckpointException(_path, CheckpointError.InvalidMetadata,
                    $"__metadata__ must hold strings only; '{BadInputException.Escape(key, 80)}' is {Describe(reader.TokenType)}.");
            }

            if (!_metadata.TryAdd(key, reader.GetString()!))
                throw Duplicate(SafetensorsFormat.MetadataKey + "." + key);
        }
    }

    private Entry ReadEntry(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Refuse(name, CheckpointError.InvalidField, $"its entry must be an object; found {Describe(reader.TokenType)}.");
        string? typeName = null;
        ImmutableArray<long> dimensions = default;
        long start = -1;
        long end = -1;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            if (reader.ValueTextEquals("dtype"u8))
            {
                reader.Read();
                if (typeName is not null)
                    throw Duplicate(name + ".dtype");
                if (reader.TokenType != JsonTokenType.String)
                    throw Refuse(name, CheckpointError.InvalidField, $"its dtype must be a string; found {Describe(reader.TokenType)}.");
                typeName = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                reader.Read();
                if (!dimensions.IsDefault)
                    throw Duplicate(name + ".shape");
                dimensions = ReadShape(ref reader, name);
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                reader.Read();
                if (start >= 0)
                    throw Duplicate(name + ".data_offsets");
                (start, end) = ReadOffsets(ref reader, name);
            }
            else
            {
                string field = reader.GetString()!;
                if (!_isLenient)
                    throw Refuse(name, CheckpointError.UnknownField, $"its entry has the unknown field '{BadInputException.Escape(field, 80)}'.");
                reader.Read();
                reader.Skip();
            }
        }

        string? missing = typeName is null ? "dtype" : dimensions.IsDefault ? "shape" : start < 0 ? "data_offsets" : null;
        if (missing is not null)
            throw Refuse(name, CheckpointError.InvalidField, $"its entry has no '{missing}'.");
        return new Entry(new StoredTensor(name, ParseType(typeName!, name), dimensions, CheckSize(name, typeName!, dimensions, start, end)), start);
    }

    private ElementType ParseType(string typeName, string name)
    {
        if (SafetensorsFormat.TryParse(typeName, out ElementType type))
            return type;
        throw SafetensorsFormat.IsUnsupported(typeName)
            ? Refuse(name, CheckpointError.UnsupportedElementType,
                $"its type {typeName} is part of the format but not supported here; supported are BOOL, integers, F16, BF16, F32 and F64.", "Convert the checkpoint to F16, BF16 or F32.")
            : Refuse(name, CheckpointError.UnknownElementType, $"its type '{BadInputException.Escape(typeName, 40)}' is none of the format's.");
    }

    private ImmutableArray<long> ReadShape(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Refuse(name, CheckpointError.InvalidShape, $"its shape must be an array; found {Describe(reader.TokenType)}.");
        Span<long> dimensions = stackalloc long[SafetensorsFormat.MaximumRank];
        int rank = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (rank == dimensions.Length)
                throw Refuse(name, CheckpointError.InvalidShape, $"its shape has more than {SafetensorsFormat.MaximumRank} dimensions.");
            if (!TryReadSize(ref reader, out dimensions[rank++]))
            {
                throw Refuse(name, CheckpointError.InvalidShape,
                    $"a dimension must be a whole number from 0 to 2^48; found {Quote(ref reader)}.");
            }
        }

        return [.. dimensions[..rank]];
    }

    private (long Start, long End) ReadOffsets(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Refuse(name, CheckpointError.InvalidOffsets, $"its data_offsets must be an array; found {Describe(reader.TokenType)}.");
        Span<long> offsets = stackalloc long[2];
        int count = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (count == 2)
                throw Refuse(name, CheckpointError.InvalidOffsets, "its data_offsets must be two numbers; found more.");
            if (!TryReadSize(ref reader, out offsets[count++]))
                throw Refuse(name, CheckpointError.InvalidOffsets, $"an offset must be a whole number from 0 to 2^48; found {Quote(ref reader)}.");
        }

        if (count != 2)
            throw Refuse(name, CheckpointError.InvalidOffsets, $"its data_offsets must be two numbers; found {count}.");
        if (offsets[1] < offsets[0])
            throw Refuse(name, CheckpointError.InvalidOffsets, $"its data_offsets are reversed: [{offsets[0]}, {offsets[1]}].");
        return (offsets[0], offsets[1]);
    }

    private long CheckSize(string name, string typeName, ImmutableArray<long> dimensions, long start, long end)
    {
        if (!SafetensorsFormat.TryParse(typeName, out ElementType type))
            return 0; // refused by the caller, with the type's own message
        long size = type.SizeInBytes();
        bool isTooLarge = false;
        foreach (long dimension in dimensions.AsSpan())
        {
            // A zero anywhere makes the tensor empty, wherever the product would have overflowed before.
            if (dimension == 0)
            {
                (size, isTooLarge) = (0, false);
                break;
            }

            isTooLarge |= size > SafetensorsFormat.MaximumSize / dimension;
            size = isTooLarge ? size : size * dimension;
        }

        if (isTooLarge)
            throw Refuse(name, CheckpointError.InvalidShape, $"its shape [{string.Join(", ", dimensions)}] overflows: more than 2^48 bytes.");
        if (size != end - start)
        {
            throw Refuse(name, CheckpointError.SizeMismatch,
                $"its shape [{string.Join(", ", dimensions)}] of {typeName} takes {size} bytes, its data_offsets span {end - start}.");
        }

        return size;
    }

    private void CheckLayout(int headerLength, long fileLength)
    {
        long dataStart = SafetensorsFormat.PrefixLength + (long)headerLength;
        var ordered = new Entry[_entries.Count];
        _entries.Values.CopyTo(ordered, 0);
        Array.Sort(ordered, static (left, right) => left.Start != right.Start
            ? left.Start.CompareTo(right.Start)
            : left.Tensor.ByteLength.CompareTo(right.Tensor.ByteLength));
        long expected = 0;
        foreach (Entry entry in ordered)
        {
            if (entry.Start != expected)
            {
                bool isHole = entry.Start > expected;
                throw Refuse(entry.Tensor.Name, isHole ? CheckpointError.Hole : CheckpointError.Overlap,
                    $"its bytes begin at {entry.Start}, {(isHole ? "behind a hole:" : "inside another tensor:")} expected {expected}.");
            }

            expected += entry.Tensor.ByteLength;
        }

        long declared = dataStart + expected;
        if (declared > fileLength)
        {
            throw new CheckpointException(_path, CheckpointError.Truncated,
                $"the header declares {declared} bytes in all, the file has {fileLength}.", "The copy or download is incomplete: get it again.");
        }

        if (declared < fileLength)
        {
            throw new CheckpointException(_path, CheckpointError.TrailingData,
                $"the header accounts for {declared} bytes, the file has {fileLength}: {fileLength - declared} bytes belong to no tensor.",
                "The file is damaged or carries something else with it: get it again.");
        }

        foreach (Entry entry in ordered)
            _entries[entry.Tensor.Name] = entry with { Start = dataStart + entry.Start };
    }

    private static bool TryReadSize(ref Utf8JsonReader reader, out long size)
    {
        size = 0;
        return reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out size)
            && reader.ValueSpan[0] != (byte)'-' && size <= SafetensorsFormat.MaximumSize;
    }

    private static string Quote(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.Number
        ? BadInputException.Escape(System.Text.Encoding.UTF8.GetString(reader.ValueSpan[..Math.Min(reader.ValueSpan.Length, 60)]), 60)
        : Describe(reader.TokenType);

    private static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a string",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "a truth value",
        JsonTokenType.Null => "null",
        _ => "nothing",
    };

    private CheckpointException Duplicate(string name) =>
        new(_path, CheckpointError.DuplicateKey, $"duplicate key '{BadInputException.Escape(name, 120)}' in the safetensors header.",
            "Programs differ in which of the two they take, so the file is refused: write it again with a conforming program.");

    private CheckpointException Refuse(string name, CheckpointError error, string problem, string? remedy = null) =>
        new(_path, error, $"tensor '{BadInputException.Escape(name, 80)}': {problem}", remedy ?? "The file is damaged or was written by a faulty program: get it again.");
}
