using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>Character references of HTML, read in the two ways that the reference does.</summary>
internal static class HtmlEntities
{
    private const int LongestNameTried = 32;
    private const int LongestRepairName = 24;

    private static readonly Lazy<Dictionary<string, string>> s_named = new(() => Load("html-entities.tsv"));
    private static readonly Lazy<Dictionary<string, string>> s_uppercase = new(() => Load("html-uppercase.tsv"));

    /// <summary>What windows-1252 has in the places of the C1 controls; a control stands for itself where it has nothing.</summary>
    public const string Windows1252Controls =
        "\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f"
        + "\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178";

    /// <summary>
    /// The rules of the HTML standard, as Python's <c>html.unescape</c>: the semicolon may be missing, and the longest known
    /// beginning of a name counts ("&amp;copy2020").
    /// </summary>
    public static string Unescape(string text)
    {
        int next = text.IndexOf('&');
        if (next < 0)
            return text;

        Dictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> named = s_named.Value.GetAlternateLookup<ReadOnlySpan<char>>();
        var builder = new StringBuilder(text.Length);
        int done = 0;
        while (next >= 0)
        {
            builder.Append(text, done, next - done);
            ReadOnlySpan<char> rest = text.AsSpan(next + 1);
            int used = rest.StartsWith("#") ? Numeric(rest, builder) : Named(rest, named, builder);
            if (used == 0)
                builder.Append('&');
            done = next + 1 + used;
            next = text.IndexOf('&', done);
        }

        return builder.Append(text, done, text.Length - done).ToString();
    }

    /// <summary>
    /// The careful reading of ftfy: only references that end in a semicolon and are known whole, and names written in
    /// capitals by mistake ("&amp;EACUTE;").
    /// </summary>
    public static string UnescapeUnambiguous(string text)
    {
        int next = text.IndexOf('&');
        if (next < 0)
            return text;

        var builder = new StringBuilder(text.Length);
        int done = 0;
        while (next >= 0)
        {
            int start = next + 1;
            bool isNumeric = start < text.Length && text[start] == '#';
            int end = isNumeric ? start + 1 : start;
            int limit = Math.Min(text.Length, end + LongestRepairName + 1);
            int first = end;
            while (end < limit && char.IsAsciiLetterOrDigit(text[end]))
                end++;
            if (end > first && end - first <= LongestRepairName && end < text.Length && text[end] == ';'
                && Unambiguous(text, start, end + 1, isNumeric) is string replacement)
            {
                builder.Append(text, done, next - done).Append(replacement);
                done = end + 1;
            }

            next = text.IndexOf('&', Math.Max(done, start));
        }

        return done == 0 ? text : builder.Append(text, done, text.Length - done).ToString();
    }

    private static string? Unambiguous(string text, int start, int end, bool isNumeric)
    {
        ReadOnlySpan<char> reference = text.AsSpan(start, end - start);
        if (isNumeric)
        {
            // A reference that is read only in part keeps its semicolon, and is then left alone.
            string whole = Unescape("&" + reference.ToString());
            return whole.Contains(';') ? null : whole;
        }

        return s_named.Value.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(reference, out string? found)
            || s_uppercase.Value.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(reference, out found)
            ? found
            : null;
    }

    /// <summary>Appends the character of a numeric reference and returns how many characters behind the ampersand it took; 0 if it is none.</summary>
    private static int Numeric(ReadOnlySpan<char> rest, StringBuilder builder)
    {
        bool isHexadecimal = rest.Length > 1 && rest[1] is 'x' or 'X';
        int first = isHexadecimal ? 2 : 1;
        int end = first;
        int code = 0;
        while (end < rest.Length && (isHexadecimal ? char.IsAsciiHexDigit(rest[end]) : char.IsAsciiDigit(rest[end])))
        {
            // Saturates above the last code point: digits without end must not wrap round to a letter.
            code = Math.Min(0x110000, (code * (isHexadecimal ? 16 : 10)) + HexValue(rest[end]));
            end++;
        }

        if (end == first)
            return 0;
        if (end < rest.Length && rest[end] == ';')
            end++;
        switch (code)
        {
            case 0 or (>= 0xD800 and < 0xE000) or > 0x10FFFF:
                builder.Append('\uFFFD');
                break;
            case >= 0x80 and < 0xA0:
                builder.Append(Windows1252Controls[code - 0x80]);
                break;
            case (>= 1 and <= 8) or 0xB or (>= 0xE and < 0x20) or 0x7F or (>= 0xFDD0 and <= 0xFDEF):
            case >= 0xFFFE when (code & 0xFFFE) == 0xFFFE:
                break;
            default:
                builder.Append(new Rune(code).ToString());
                break;
        }

        return end;
    }

    private static int Named(ReadOnlySpan<char> rest, Dictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> named, StringBuilder builder)
    {
        // All names are ASCII: a run that goes on in other letters cannot be longer than its ASCII part.
        int end = 0;
        while (end < rest.Length && end < LongestNameTried && char.IsAsciiLetterOrDigit(rest[end]))
            end++;
        if (end < rest.Length && rest[end] == ';' && named.TryGetValue(rest[..(end + 1)], out string? replacement))
        {
            builder.Append(replacement);
            return end + 1;
        }

        for (int length = end; length > 1; length--)
        {
            if (named.TryGetValue(rest[..length], out replacement))
            {
                builder.Append(replacement);
                return length;
            }
        }

        return 0;
    }

    private static int HexValue(char digit) => char.IsAsciiDigit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;

    private static Dictionary<string, string> Load(string table)
    {
        var entities = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string line in EmbeddedTable.Lines(table))
        {
            int tab = line.IndexOf('\t');
            entities.Add(line[..tab], EmbeddedTable.Unescape(line[(tab + 1)..]));
        }

        return entities;
    }
}
