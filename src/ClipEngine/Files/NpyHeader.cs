using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;
using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Files;

/// <summary>The header of a <c>.npy</c> file: magic, version, length, then a Python dictionary of descr, fortran_order and shape.</summary>
internal sealed record NpyHeader(ElementType Type, ImmutableArray<long> Dimensions, long ElementCount)
{
    /// <summary>Whether the first byte of an element is its highest.</summary>
    public bool IsBigEndian { get; init; }

    /// <summary>Whether the first index runs fastest (Fortran order).</summary>
    public bool IsColumnMajor { get; init; }

    /// <summary>NumPy itself refuses longer headers; a plain array's is under 200 characters.</summary>
    private const int MaximumLength = 10_000;

    /// <summary>NumPy's own limit (64 since version 2).</summary>
    private const int MaximumRank = 64;

    public static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    public static (NpyHeader Header, long DataOffset) Read(string path, SafeFileHandle handle)
    {
        long fileLength = RandomAccess.GetLength(handle);
        Span<byte> start = stackalloc byte[12];
        int read = ReadUpTo(handle, start, 0);
        if (read < 10 || !start[..6].SequenceEqual(Magic))
            throw new BadInputException(path, "is no .npy file: it does not begin with NumPy's signature.", "Write it with numpy.save.");

        int version = start[6];
        if (version is < 1 or > 3 || start[7] != 0)
            throw new BadInputException(path, $"expected .npy format version 1.0, 2.0 or 3.0, found {start[6]}.{start[7]}.");
        int prefix = version == 1 ? 10 : 12;
        long length = version == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(start[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(start[8..]);
        if (length > MaximumLength)
            throw new BadInputException(path, $"its header claims {length} bytes; a plain array's has under 200 and at most {MaximumLength} are read.");
        if (read < prefix || prefix + length > fileLength)
            throw new BadInputException(path, $"is cut short inside its header: {fileLength} bytes, the header alone needs {prefix + length}.");

        byte[] text = new byte[length];
        ReadUpTo(handle, text, prefix);
        // Version 1 and 2 are Latin-1, 3 is UTF-8; everything that is accepted below is ASCII, so one decoding serves all.
        NpyHeader header = new Parser(path, Encoding.Latin1.GetString(text)).Parse();

        long available = fileLength - prefix - length;
        long needed = header.ElementCount * header.Type.SizeInBytes();
        if (needed != available)
        {
            throw new BadInputException(
                path,
                $"the header says [{string.Join(", ", header.Dimensions)}] of {header.Type}, {needed} bytes; the file holds {available}.",
                needed > available ? "It was cut short: write it again." : "Something was appended to it: write it again.");
        }

        return (header, prefix + length);
    }

    /// <summary>The number of elements; refuses what no file could hold, so that byte counts never overflow.</summary>
    public static long CountElements(ImmutableArray<long> dimensions)
    {
        long count = 1;
        foreach (long dimension in dimensions)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(dimensions));
            count = checked(count * dimension);
        }

        _ = checked(count * 8);
        return count;
    }

    /// <summary>The header's bytes as NumPy writes them: version 1.0, padded with spaces so that the data begins at a multiple of 64.</summary>
    public byte[] ToBytes()
    {
        string shape = Dimensions.Length == 1 ? $"({Dimensions[0]},)" : $"({string.Join(", ", Dimensions)})";
        string text = $"{{'descr': '{Descriptor(Type)}', 'fortran_order': False, 'shape': {shape}, }}";
        int total = (10 + text.Length + 1 + 63) / 64 * 64;
        byte[] bytes = new byte[total];
        bytes.AsSpan().Fill((byte)' ');
        Magic.CopyTo(bytes);
        bytes[6] = 1;
        bytes[7] = 0;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), checked((ushort)(total - 10)));
        Encoding.ASCII.GetBytes(text, bytes.AsSpan(10));
        bytes[^1] = (byte)'\n';
        return bytes;
    }

    private static string Descriptor(ElementType type) => type switch
    {
        ElementType.Boolean => "|b1",
        ElementType.UInt8 => "|u1",
        ElementType.Int8 => "|i1",
        ElementType.UInt16 => "<u2",
        ElementType.Int16 => "<i2",
        ElementType.UInt32 => "<u4",
        ElementType.Int32 => "<i4",
        ElementType.UInt64 => "<u8",
        ElementType.Int64 => "<i8",
        ElementType.Float16 => "<f2",
        ElementType.Float32 => "<f4",
        ElementType.Float64 => "<f8",
        _ => throw new NotSupportedException($".npy has no element type {type}; use safetensors."),
    };

    private static ElementType? TypeOf(string kind) => kind switch
    {
        "b1" => ElementType.Boolean,
        "u1" => ElementType.UInt8,
        "i1" => ElementType.Int8,
        "u2" => ElementType.UInt16,
        "i2" => ElementType.Int16,
        "u4" => ElementType.UInt32,
        "i4" => ElementType.Int32,
        "u8" => ElementType.UInt64,
        "i8" => ElementType.Int64,
        "f2" => ElementType.Float16,
        "f4" => ElementType.Float32,
        "f8" => ElementType.Float64,
        _ => null,
    };

    private static int ReadUpTo(SafeFileHandle handle, Span<byte> destination, long position)
    {
        int done = 0;
        while (done < destination.Length)
        {
            int read = RandomAccess.Read(handle, destination[done..], position + done);
            if (read == 0)
                break;
            done += read;
        }

        return done;
    }

    /// <summary>Reads the one shape of dictionary that NumPy writes, in any order of keys; it is not a Python parser.</summary>
    private ref struct Parser(string path, string text)
    {
        private readonly string _text = text;
        private int _position;

        public NpyHeader Parse()
        {
            string? descriptor = null;
            bool? fortranOrder = null;
            ImmutableArray<long>? dimensions = null;

            Expect('{');
            while (!Accept('}'))
            {
                string key = String();
                Expect(':');
                switch (key)
                {
                    case "descr" when descriptor is null:
                        if (Peek() == '[')
                            throw new BadInputException(path, "holds records with named fields.", "Save one plain array.");
                        descriptor = String();
                        break;
                    case "fortran_order" when fortranOrder is null:
                        fortranOrder = Boolean();
                        break;
                    case "shape" when dimensions is null:
                        dimensions = Tuple();
                        break;
                    default:
                        throw Malformed($"unexpected or repeated key '{BadInputException.Escape(key, 40)}'");
                }

                if (!Accept(','))
                {
                    Expect('}');
                    break;
                }
            }

            SkipSpace();
            if (_position != _text.Length)
                throw Malformed("text behind the dictionary");
            if (descriptor is null || fortranOrder is null || dimensions is null)
                throw Malformed("expected the keys descr, fortran_order and shape");
            return Check(descriptor, fortranOrder.Value, dimensions.Value);
        }

        private readonly NpyHeader Check(string descriptor, bool fortranOrder, ImmutableArray<long> dimensions)
        {
            ElementType? type = descriptor.Length == 3 && descriptor[0] is '<' or '>' or '|' or '=' ? TypeOf(descriptor[1..]) : null;
            if (type is null || (descriptor[0] == '|' && type.Value.SizeInBytes() != 1))
                throw new BadInputException(path, $"expected float16, float32, float64, bool or an integer type, found '{BadInputException.Escape(descriptor, 40)}'.");
            try
            {
                return new NpyHeader(type.Value, dimensions, CountElements(dimensions))
                {
                    IsBigEndian = descriptor[0] == '>' && type.Value.SizeInBytes() > 1,
                    // With one dimension that counts, both orders are the same.
                    IsColumnMajor = fortranOrder && dimensions.Count(static dimension => dimension != 1) > 1,
                };
            }
            catch (OverflowException exception)
            {
                throw new BadInputException(path, $"its sizes [{string.Join(", ", dimensions)}] overflow.", innerException: exception);
            }
        }

        private ImmutableArray<long> Tuple()
        {
            ImmutableArray<long>.Builder sizes = ImmutableArray.CreateBuilder<long>();
            Expect('(');
            while (!Accept(')'))
            {
                if (sizes.Count == MaximumRank)
                    throw Malformed($"more than {MaximumRank} dimensions");
                sizes.Add(Integer());
                if (Accept(','))
                    continue;
                // "(3)" is a number in Python, not a tuple.
                if (sizes.Count == 1)
                    throw Malformed("the shape is no tuple");
                Expect(')');
                break;
            }

            return sizes.ToImmutable();
        }

        private long Integer()
        {
            SkipSpace();
            int start = _position;
            while (_position < _text.Length && char.IsAsciiDigit(_text[_position]))
                _position++;
            if (!long.TryParse(_text.AsSpan(start, _position - start), System.Globalization.NumberStyles.None, null, out long value))
                throw Malformed("a size that is no number from 0 to 2^63 - 1");
            // Python 2 wrote long integers as 3L.
            if (_position < _text.Length && _text[_position] == 'L')
                _position++;
            return value;
        }

        private bool Boolean()
        {
            SkipSpace();
            foreach ((string word, bool value) in (ReadOnlySpan<(string, bool)>)[("True", true), ("False", false)])
            {
                if (_text.AsSpan(_position).StartsWith(word))
                {
                    _position += word.Length;
                    return value;
                }
            }

            throw Malformed("fortran_order is neither True nor False");
        }

        private string String()
        {
            char quote = Peek();
            if (quote is not ('\'' or '"'))
                throw Malformed("expected a quoted string");
            int end = _text.IndexOf(quote, _position + 1);
            if (end < 0)
                throw Malformed("a string without an end");
            string value = _text[(_position + 1)..end];
            _position = end + 1;
            return value;
        }

        private void Expect(char character)
        {
            if (!Accept(character))
                throw Malformed($"expected '{character}'");
        }

        private bool Accept(char character)
        {
            if (Peek() != character)
                return false;
            _position++;
            return true;
        }

        private char Peek()
        {
            SkipSpace();
            return _position < _text.Length ? _text[_position] : '\0';
        }

        private void SkipSpace()
        {
            while (_position < _text.Length && _text[_position] is ' ' or '\n' or '\t' or '\r')
                _position++;
        }

        private readonly BadInputException Malformed(string what) =>
            new(path, $"its .npy header is malformed at character {_position}: {what}.");
    }
}
