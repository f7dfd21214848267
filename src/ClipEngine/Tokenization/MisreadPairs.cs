using System.Globalization;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// Undoes the plainest sign that UTF-8 was read in a single-byte encoding: two characters that stand together in no writing,
/// an accented capital and a bare accent, sign or fraction ("Ã¨", "Ñ¸"), whose bytes are one character in UTF-8. ftfy repairs these too,
/// and much beyond them that only a weighing of the whole text can tell; that weighing is not done here.
/// </summary>
internal static class MisreadPairs
{
    /// <summary>Capitals that faces made of characters use for mouths.</summary>
    private const string Mouths = "ÒÓÔÕÖØÙÚÛÜŌŐŪŮŰŲ";

    /// <summary>Signs of Latin-1 beside the bare accents: currency, broken bar and not, superscripts, fractions, section and so on.</summary>
    private const string Signs = "¤¦¬±²³¹¼½¾µ§¶";

    /// <summary>Latin-1 and the Windows pages, in the order in which ftfy tries them: the first that reads a pair as UTF-8 decides.</summary>
    private static readonly int[] s_pages = [28591, 1252, 1251, 1250, 1253, 1254, 1257, 28592];

    private static readonly Dictionary<(char First, char Second), char> s_meant = [];
    private static readonly HashSet<char> s_leads = [];
    private static readonly HashSet<char> s_continuations = [];

    static MisreadPairs()
    {
        byte[] upperHalf = [.. Enumerable.Range(0x80, 0x80).Select(value => (byte)value)];
        foreach (int page in s_pages)
        {
            Encoding encoding = page == 28591 ? Encoding.Latin1
                : CodePagesEncodingProvider.Instance.GetEncoding(page) ?? throw new InvalidOperationException($"code page {page} is missing");
            string characters = encoding.GetString(upperHalf);
            s_continuations.UnionWith(characters[..0x40]);
            s_leads.UnionWith(characters[0x42..0x75]);
            for (int lead = 0x42; lead < 0x60; lead++)
            {
                for (int continuation = 0; continuation < 0x40; continuation++)
                {
                    if (IsAccentedCapital(characters[lead]) && (IsSign(characters[continuation]) || IsMisreadLatin(characters[lead], characters[continuation])))
                        s_meant.TryAdd((characters[lead], characters[continuation]), (char)(((lead & 0x1F) << 6) | continuation));
                }
            }
        }
    }

    /// <summary>Repairs pairs that stand alone: not inside a longer run of the same kind, which may mean something else as a whole.</summary>
    public static string Repair(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange('\0', '\u00bf'))
            return text;

        StringBuilder? builder = null;
        int done = 0;
        for (int i = 0; i + 1 < text.Length; i++)
        {
            if (!s_meant.TryGetValue((text[i], text[i + 1]), out char meant)
                || (i > 0 && s_continuations.Contains(text[i - 1])) || (i + 2 < text.Length && s_leads.Contains(text[i + 2])))
                continue;
            builder ??= new StringBuilder(text.Length);
            builder.Append(text, done, i - done).Append(meant);
            done = i + 2;
            i++;
        }

        return builder is null ? text : builder.Append(text, done, text.Length - done).ToString();
    }

    private static bool IsAccentedCapital(char character) =>
        character is >= 'À' and < '\u0250' && char.IsUpper(character) && !Mouths.Contains(character);

    /// <summary>The two capitals that begin all of Latin-1 when its UTF-8 is misread, before any of Latin-1's signs: "Ã©". The yen follows capitals in earnest.</summary>
    private static bool IsMisreadLatin(char first, char second) => first is 'Â' or 'Ã' && second is >= '¡' and <= '¿' and not ('¥' or '\u00ad');

    private static bool IsSign(char character) =>
        Signs.Contains(character) || (char.GetUnicodeCategory(character) == UnicodeCategory.ModifierSymbol && character is not ('´' or '˝' or '΄' or '΅'));
}
