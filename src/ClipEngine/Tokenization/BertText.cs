using System.Globalization;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// What BERT's tokenizers do to a text before WordPiece: control characters out, Chinese characters apart, accents and capitals
/// away. The character classes are those of the <c>tokenizers</c> library, whose tables are those of Unicode 8 with gaps of their
/// own; <c>bert-characters.tsv</c> (made by <c>tools/bert-characters.js</c>) lists where they differ from today's.
/// </summary>
internal sealed class BertNormalizer : TextNormalizer
{
    /// <summary><c>clean_text</c>: leaves out control, format and private characters, and makes a space of any white space.</summary>
    public required bool Cleans { get; init; }

    /// <summary><c>handle_chinese_chars</c>: puts spaces round every Chinese character.</summary>
    public required bool SplitsChinese { get; init; }

    /// <summary><c>strip_accents</c>; where the file leaves it open, as <see cref="Lowers"/>.</summary>
    public required bool StripsAccents { get; init; }

    /// <summary><c>lowercase</c>.</summary>
    public required bool Lowers { get; init; }

    public override string Normalize(string text)
    {
        if (Ascii.IsValid(text))
        {
            if (Cleans && text.AsSpan().IndexOfAnyExceptInRange(' ', '~') >= 0)
                text = Clean(text);
            return Lowers ? text.ToLowerInvariant() : text;
        }

        if (Cleans)
            text = Clean(text);
        if (SplitsChinese)
            text = Separate(text);
        if (StripsAccents)
            text = CharacterFilter.Keep(UnicodeComposition.Decompose(text), static code => !BertCharacters.IsAccent(code));
        return Lowers ? UnicodeCase.Lower(text, knowsFinalSigma: false) : text;
    }

    private static string Clean(string text)
    {
        var builder = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            int code = UnicodeKinds.CodePoint(text.AsSpan(i), out int width);
            if (code is '\t' or '\n' or '\r')
                builder.Append(' ');
            else if (code != 0xFFFD && !BertCharacters.IsControl(code))
                builder.Append(width == 1 && char.IsWhiteSpace(text[i]) ? " " : text.AsSpan(i, width));
            i += width;
        }

        return builder.ToString();
    }

    private static string Separate(string text)
    {
        StringBuilder? builder = null;
        for (int i = 0; i < text.Length;)
        {
            int code = UnicodeKinds.CodePoint(text.AsSpan(i), out int width);
            if (BertCharacters.IsChinese(code))
                (builder ??= new StringBuilder(text.Length + 16).Append(text, 0, i)).Append(' ').Append(text, i, width).Append(' ');
            else
                builder?.Append(text, i, width);
            i += width;
        }

        return builder?.ToString() ?? text;
    }
}

/// <summary>BERT's words: cut at white space, and every punctuation character alone.</summary>
internal sealed class BertSplitter : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        int start = 0;
        for (int i = 0; i < piece.Length;)
        {
            int code = UnicodeKinds.CodePoint(piece[i..], out int width);
            bool isSpace = width == 1 && char.IsWhiteSpace(piece[i]);
            if (isSpace || BertCharacters.IsPunctuation(code))
            {
                to.Add(piece[start..i]);
                if (!isSpace)
                    to.Add(piece.Slice(i, width));
                start = i + width;
            }

            i += width;
        }

        to.Add(piece[start..]);
    }
}

/// <summary>The classes of characters that BERT's rules ask for.</summary>
internal static class BertCharacters
{
    private static readonly Lazy<Dictionary<int, string>> s_differences = new(Load);

    public static bool IsControl(int code)
    {
        if (code is >= ' ' and <= '~')
            return false;
        return CharUnicodeInfo.GetUnicodeCategory(code) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse or UnicodeCategory.Surrogate
            && !Differs(code, 'F');
    }

    public static bool IsPunctuation(int code)
    {
        if (code < 128)
            return code is (>= '!' and <= '/') or (>= ':' and <= '@') or (>= '[' and <= '`') or (>= '{' and <= '~');
        return CharUnicodeInfo.GetUnicodeCategory(code) is >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation ? !Differs(code, 'P') : Differs(code, 'p');
    }

    public static bool IsAccent(int code) =>
        code >= 0x300 && (CharUnicodeInfo.GetUnicodeCategory(code) is UnicodeCategory.NonSpacingMark ? !Differs(code, 'M') : Differs(code, 'm'));

    /// <summary>The blocks of BERT's authors; of extension E the library knows only the part from U+2B920 on.</summary>
    public static bool IsChinese(int code) => code >= 0x3400
        && code is (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2B73F)
            or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B920 and <= 0x2CEAF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);

    private static bool Differs(int code, char property) => s_differences.Value.TryGetValue(code, out string? found) && found.Contains(property);

    private static Dictionary<int, string> Load()
    {
        var differences = new Dictionary<int, string>();
        foreach (string line in EmbeddedTable.Lines("bert-characters.tsv"))
        {
            string[] fields = line.Split(' ');
            for (int code = EmbeddedTable.Code(fields[1]); code <= EmbeddedTable.Code(fields[2]); code++)
                differences[code] = differences.GetValueOrDefault(code) + fields[0];
        }

        return differences;
    }
}
