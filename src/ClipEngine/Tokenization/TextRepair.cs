using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// The default repairs of the Python package ftfy 6, in its order. Of its encoding repair (guessing which wrong encoding a text was
/// read in) only <see cref="MisreadPairs"/> is done; the others are whole: HTML references, C1 controls, Latin ligatures, character width, curly quotes, line breaks,
/// surrogates, terminal escapes, control characters, NFC. Linear in the length of the text.
/// </summary>
internal static class TextRepair
{
    /// <summary>
    /// The repairs run until nothing changes, which nested references ("&amp;amp;amp;…") could stretch to one round for every
    /// four characters. No text that was meant to be read comes near this bound; behind it the nesting stays as it is.
    /// </summary>
    private const int MaximumRounds = 64;

    /// <summary>ftfy repairs line by line, and cuts longer lines into segments of this many code points.</summary>
    private const int LongestSegment = 1_000_000;

    private const char Escape = '\u001b';

    private static readonly Dictionary<char, string> s_replacements = Replacements();
    private static readonly SearchValues<char> s_replaced = SearchValues.Create([.. s_replacements.Keys, '\r']);
    private static readonly SearchValues<char> s_controls = SearchValues.Create(Controls());

    /// <summary>Repairs a text of any number of lines.</summary>
    public static string Repair(string text)
    {
        bool readReferences = true;
        int end = SegmentEnd(text, 0);
        if (end == text.Length)
            return RepairSegment(text, text.Contains('<'));

        var builder = new StringBuilder(text.Length);
        for (int start = 0; start < text.Length; start = end)
        {
            end = SegmentEnd(text, start);
            string segment = text[start..end];
            // A '<' says that this is HTML: references then stay, here and in everything behind it.
            readReferences &= !segment.Contains('<');
            builder.Append(RepairSegment(segment, !readReferences));
        }

        return builder.ToString();
    }

    private static int SegmentEnd(string text, int start)
    {
        int newline = text.IndexOf('\n', start);
        int end = newline < 0 ? text.Length : newline + 1;
        if (end - start <= LongestSegment)
            return end;
        int codePoints = 0, position = start;
        while (position < end && codePoints < LongestSegment)
        {
            position += char.IsSurrogatePair(text, position) ? 2 : 1;
            codePoints++;
        }

        return position;
    }

    private static string RepairSegment(string text, bool isHtml)
    {
        for (int round = 0; round < MaximumRounds; round++)
        {
            string before = text;
            if (!isHtml)
                text = HtmlEntities.UnescapeUnambiguous(text);
            text = MisreadPairs.Repair(text);
            text = ReplaceCharacters(text);
            text = TextCleaning.WithoutLoneSurrogates(text);
            text = RemoveTerminalEscapes(text);
            text = RemoveControls(text);
            text = UnicodeComposition.Compose(text);
            if (ReferenceEquals(text, before) || text == before)
                break;
        }

        return text;
    }

    private static string ReplaceCharacters(string text)
    {
        int next = text.AsSpan().IndexOfAny(s_replaced);
        if (next < 0)
            return text;

        var builder = new StringBuilder(text.Length);
        int done = 0;
        while (next >= 0)
        {
            int at = done + next;
            builder.Append(text, done, next);
            if (text[at] != '\r')
                builder.Append(s_replacements[text[at]]);
            else if (at + 1 >= text.Length || text[at + 1] != '\n')
                builder.Append('\n');
            done = at + 1;
            next = text.AsSpan(done).IndexOfAny(s_replaced);
        }

        return builder.Append(text, done, text.Length - done).ToString();
    }

    /// <summary>Escape, '[', digits and semicolons, one ASCII letter.</summary>
    private static string RemoveTerminalEscapes(string text)
    {
        int escape = text.IndexOf(Escape);
        if (escape < 0)
            return text;

        var builder = new StringBuilder(text.Length);
        int done = 0;
        while (escape >= 0)
        {
            int end = escape + 1;
            bool isSequence = end < text.Length && text[end] == '[';
            if (isSequence)
            {
                end++;
                while (end < text.Length && (text[end] == ';' || char.IsDigit(text[end])))
                    end++;
                isSequence = end < text.Length && char.IsAsciiLetter(text[end]);
            }

            if (isSequence)
            {
                builder.Append(text, done, escape - done);
                done = end + 1;
            }

            escape = text.IndexOf(Escape, Math.Min(isSequence ? done : escape + 1, text.Length));
        }

        return builder.Append(text, done, text.Length - done).ToString();
    }

    private static string RemoveControls(string text)
    {
        int next = text.AsSpan().IndexOfAny(s_controls);
        if (next < 0)
            return text;

        var builder = new StringBuilder(text.Length);
        int done = 0;
        while (next >= 0)
        {
            builder.Append(text, done, next);
            done += next + 1;
            next = text.AsSpan(done).IndexOfAny(s_controls);
        }

        return builder.Append(text, done, text.Length - done).ToString();
    }

    /// <summary>All single-character repairs as one map: each chain of repairs is followed to its end here, once.</summary>
    private static Dictionary<char, string> Replacements()
    {
        var map = new Dictionary<char, string>
        {
            ['\u0132'] = "IJ",
            ['\u0133'] = "ij",
            ['\u0149'] = "'n",
            ['\u01C4'] = "D\u017D",
            ['\u01C5'] = "D\u017E",
            ['\u01C6'] = "d\u017E",
            ['\u01C7'] = "LJ",
            ['\u01C8'] = "Lj",
            ['\u01C9'] = "lj",
            ['\u01CA'] = "NJ",
            ['\u01CB'] = "Nj",
            ['\u01CC'] = "nj",
            ['\u01F1'] = "DZ",
            ['\u01F2'] = "Dz",
            ['\u01F3'] = "dz",
            ['\uFB00'] = "ff",
            ['\uFB01'] = "fi",
            ['\uFB02'] = "fl",
            ['\uFB03'] = "ffi",
            ['\uFB04'] = "ffl",
            ['\uFB05'] = "\u017Ft",
            ['\uFB06'] = "st",
            ['\u02BC'] = "'",
            ['\u2018'] = "'",
            ['\u2019'] = "'",
            ['\u201A'] = "'",
            ['\u201B'] = "'",
            ['\u201C'] = "\"",
            ['\u201D'] = "\"",
            ['\u201E'] = "\"",
            ['\u201F'] = "\"",
            ['\u2028'] = "\n",
            ['\u2029'] = "\n",
        };
        foreach (string line in EmbeddedTable.Lines("unicode-width.tsv"))
        {
            int tab = line.IndexOf('\t');
            map.Add((char)EmbeddedTable.Code(line[..tab]), line[(tab + 1)..]);
        }

        for (int i = 0; i < HtmlEntities.Windows1252Controls.Length; i++)
        {
            char control = (char)(0x80 + i), meant = HtmlEntities.Windows1252Controls[i];
            if (meant != control)
                map.Add(control, map.GetValueOrDefault(meant, meant.ToString()));
        }

        return map;
    }

    private static char[] Controls()
    {
        var controls = new List<char>();
        for (int code = 0; code <= char.MaxValue; code++)
        {
            if (code is (< 0x20 and not ('\t' or '\n' or '\f' or '\r')) or 0x7F or (>= 0x206A and <= 0x206F) or 0xFEFF or (>= 0xFFF9 and <= 0xFFFC))
                controls.Add((char)code);
        }

        return [.. controls];
    }
}
