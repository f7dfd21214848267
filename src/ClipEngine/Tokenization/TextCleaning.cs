using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>What CLIP's own tokenizer does to a sentence before it looks at words: repair, HTML references twice over, white space, lower case.</summary>
internal static class TextCleaning
{
    /// <summary>What Python's <c>str.split</c> takes for white space.</summary>
    public static readonly SearchValues<char> WhiteSpace = SearchValues.Create(
        "\t\n\v\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000");

    /// <summary>Cleans; the result holds no white space but single spaces between words, and no lone surrogate.</summary>
    public static string Clean(string text)
    {
        string repaired = TextRepair.Repair(text);
        string unescaped = HtmlEntities.Unescape(HtmlEntities.Unescape(repaired));
        return UnicodeCase.Lower(CollapseWhiteSpace(unescaped));
    }

    private static string CollapseWhiteSpace(string text)
    {
        var builder = new StringBuilder(text.Length);
        ReadOnlySpan<char> rest = text;
        while (true)
        {
            int start = rest.IndexOfAnyExcept(WhiteSpace);
            if (start < 0)
                return builder.ToString();
            rest = rest[start..];
            int end = rest.IndexOfAny(WhiteSpace);
            if (end < 0)
                end = rest.Length;
            if (builder.Length > 0)
                builder.Append(' ');
            builder.Append(rest[..end]);
            rest = rest[end..];
        }
    }
}
