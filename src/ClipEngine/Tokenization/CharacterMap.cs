using System.Buffers.Binary;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// SentencePiece's table of replacements (<c>precompiled_charsmap</c>): a double array of bytes (as darts-clone writes it) that leads
/// from UTF-8 sequences to their replacements. Checked whole when it is read, so that looking up never leaves the table.
/// </summary>
internal sealed class CharacterMap
{
    /// <summary>Real tables have 33 bytes at most (U+FDFA).</summary>
    private const int LongestReplacement = 256;

    private readonly uint[] _units;
    private readonly byte[] _replacements;

    private CharacterMap(uint[] units, byte[] replacements)
    {
        _units = units;
        _replacements = replacements;
    }

    /// <summary>Reads a table: four bytes with the length of the double array, the array, replacements that end in zero bytes.</summary>
    /// <exception cref="FormatException">The table contradicts itself; the message says how.</exception>
    public static CharacterMap Read(ReadOnlySpan<byte> table)
    {
        if (table.Length < 4)
            throw new FormatException($"the table of replacements has {table.Length} bytes; at least 4 were expected.");
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(table);
        if (length > table.Length - 4 || length % 4 != 0 || length == 0)
            throw new FormatException($"the table of replacements says that its array has {length} bytes; {table.Length - 4} bytes follow, and units have 4.");
        uint[] units = new uint[length / 4];
        for (int i = 0; i < units.Length; i++)
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(table[(4 + (4 * i))..]);
        var map = new CharacterMap(units, table[(int)(4 + length)..].ToArray());
        map.Check();
        return map;
    }

    /// <summary>The replacement of the beginning of a text.</summary>
    /// <param name="text">UTF-8.</param>
    /// <param name="longest">The longest sequence that has a replacement, or the shortest.</param>
    /// <param name="length">Bytes of the sequence.</param>
    /// <param name="replacement">UTF-8; may be empty.</param>
    public bool TryMatch(ReadOnlySpan<byte> text, bool longest, out int length, out ReadOnlySpan<byte> replacement)
    {
        length = 0;
        int value = -1;
        uint node = Offset(_units[0]);
        for (int i = 0; i < text.Length && text[i] != 0; i++)
        {
            node ^= text[i];
            if (node >= (uint)_units.Length)
                break;
            uint unit = _units[node];
            if (Label(unit) != text[i])
                break;
            node ^= Offset(unit);
            if (HasLeaf(unit))
            {
                value = Value(_units[node]);
                length = i + 1;
                if (!longest)
                    break;
            }
        }

        replacement = default;
        if (value < 0)
            return false;
        replacement = _replacements.AsSpan(value);
        int end = replacement.IndexOf((byte)0);
        if (end >= 0)
            replacement = replacement[..end];
        return true;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);

    private static uint Label(uint unit) => unit & ((1u << 31) | 0xFF);

    private static bool HasLeaf(uint unit) => (unit & (1u << 8)) != 0;

    private static int Value(uint unit) => (int)(unit & 0x7FFFFFFF);

    /// <summary>Walks every state once (paths may share their ends): all must stay inside, end, and lead to replacements that are there.</summary>
    private void Check()
    {
        const byte Open = 1, Closed = 2;
        byte[] states = new byte[_units.Length];
        var path = new Stack<(uint Node, int Label)>();
        path.Push((Enter(Offset(_units[0])), 0));
        while (path.TryPop(out (uint Node, int Label) step))
        {
            int label = step.Label + 1;
            while (label < 256 && !HasChild(step.Node, (uint)label))
                label++;
            if (label == 256)
            {
                states[step.Node] = Closed;
                continue;
            }

            path.Push((step.Node, label));
            uint unit = _units[step.Node ^ (uint)label];
            uint next = Enter(step.Node ^ (uint)label ^ Offset(unit));
            if (HasLeaf(unit))
                CheckReplacement(Value(_units[next]));
            if (states[next] == Open)
                throw new FormatException("the table of replacements has a cycle.");
            if (states[next] != Closed)
                path.Push((next, 0));
            states[next] = Math.Max(states[next], Open);
        }

        uint Enter(uint node) => node < (uint)_units.Length ? node : throw new FormatException($"the table of replacements points outside of its {_units.Length} units.");
    }

    private void CheckReplacement(int value)
    {
        if (value > _replacements.Length)
            throw new FormatException($"the table of replacements points behind its {_replacements.Length} bytes.");
        ReadOnlySpan<byte> rest = _replacements.AsSpan(value);
        if (rest.Length > LongestReplacement && !rest[..LongestReplacement].Contains((byte)0))
            throw new FormatException($"the table of replacements has one of more than {LongestReplacement} bytes.");
    }

    private bool HasChild(uint node, uint label)
    {
        uint child = node ^ label;
        return child < (uint)_units.Length && Label(_units[child]) == label;
    }
}

/// <summary>
/// A <see cref="CharacterMap"/> as the <c>tokenizers</c> library applies it: characters with their marks first (as long as they have fewer
/// than six bytes, and by the shortest sequence they begin with), then single code points.
/// </summary>
internal sealed class CharacterMapNormalizer : TextNormalizer
{
    private readonly CharacterMap _map;
    private readonly string?[] _ascii = new string?[128];
    private readonly bool _keepsPlainAscii = true;

    public CharacterMapNormalizer(CharacterMap map)
    {
        _map = map;
        for (int code = 0; code < 128; code++)
        {
            if (map.TryMatch([(byte)code], longest: false, out _, out ReadOnlySpan<byte> replacement))
                _ascii[code] = Encoding.UTF8.GetString(replacement);
            _keepsPlainAscii &= code is < ' ' or > '~' || _ascii[code] is null;
        }
    }

    public override string Normalize(string text)
    {
        if (_keepsPlainAscii && text.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0)
            return text;

        var builder = new StringBuilder(text.Length + 16);
        Span<byte> bytes = stackalloc byte[8];
        ReadOnlySpan<char> rest = text;
        while (rest.Length > 0)
        {
            int length = char.IsAscii(rest[0]) && rest[0] != '\r' && (rest.Length == 1 || rest[1] < 0x300)
                ? 1
                : System.Globalization.StringInfo.GetNextTextElementLength(rest);
            ReadOnlySpan<char> element = rest[..length];
            rest = rest[length..];
            if (length == 1 && char.IsAscii(element[0]))
            {
                if (_ascii[element[0]] is { } replaced)
                    builder.Append(replaced);
                else
                    builder.Append(element[0]);
            }
            else if (length > 5 || Encoding.UTF8.GetByteCount(element) > 5 || !TryAppend(element, bytes, builder))
            {
                while (element.Length > 0)
                {
                    UnicodeKinds.CodePoint(element, out int width);
                    if (!TryAppend(element[..width], bytes, builder))
                        builder.Append(element[..width]);
                    element = element[width..];
                }
            }
        }

        return builder.ToString();
    }

    private bool TryAppend(ReadOnlySpan<char> characters, Span<byte> bytes, StringBuilder builder)
    {
        int count = Encoding.UTF8.GetBytes(characters, bytes);
        if (!_map.TryMatch(bytes[..count], longest: false, out _, out ReadOnlySpan<byte> replacement))
            return false;
        builder.Append(Encoding.UTF8.GetString(replacement));
        return true;
    }
}
