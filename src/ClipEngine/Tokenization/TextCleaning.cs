using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>What open_clip's tokenizers do to a sentence before they look at words: repair, HTML references twice over, white space, lower case.</summary>
internal static class TextCleaning
{
    /// <summary>What Python's <c>str.split</c> takes for white space.</summary>
    public static readonly SearchValues<char> WhiteSpace = SearchValues.Create(PythonWhiteSpace);

    private const string PythonWhiteSpace =
        "\t\n\v\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";

    private static readonly SearchValues<char> s_punctuation = SearchValues.Create("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

    /// <summary>Cleans as open_clip does; but for <see cref="TextClean.None"/> the result holds no white space but single spaces between words, and no lone surrogate.</summary>
    public static string Clean(string text, TextClean how = TextClean.Lower)
    {
        if (how == TextClean.None)
            return text;
        string repaired = TextRepair.Repair(text);
        string unescaped = HtmlEntities.Unescape(HtmlEntities.Unescape(repaired));
        return how switch
        {
            TextClean.Whitespace => CollapseWhiteSpace(unescaped),
            TextClean.Lower => UnicodeCase.Lower(CollapseWhiteSpace(unescaped)),
            TextClean.Canonicalize => CollapseWhiteSpace(UnicodeCase.Lower(WithoutPunctuation(unescaped.Replace('_', ' ')))),
            _ => throw new ArgumentOutOfRangeException(nameof(how), how, null),
        };
    }

    /// <summary>Puts U+FFFD in the place of halves of surrogate pairs.</summary>
    public static string WithoutLoneSurrogates(string text)
    {
        int index = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (index < 0)
            return text;

        char[]? replaced = null;
        for (; index < text.Length; index++)
        {
            if (!char.IsSurrogate(text[index]))
                continue;
            if (char.IsSurrogatePair(text, index))
                index++;
            else
                (replaced ??= text.ToCharArray())[index] = '\uFFFD';
        }

        return replaced is null ? text : new string(replaced);
    }

    /// <summary>Leaves out the 32 punctuation characters of ASCII.</summary>
    public static string WithoutPunctuation(string text)
    {
        if (text.AsSpan().IndexOfAny(s_punctuation) < 0)
            return text;
        var builder = new StringBuilder(text.Length);
        foreach (char character in text)
        {
            if (!s_punctuation.Contains(character))
                builder.Append(character);
        }

        return builder.ToString();
    }

    /// <summary>Words with single spaces between them.</summary>
    public static string CollapseWhiteSpace(string text)
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
