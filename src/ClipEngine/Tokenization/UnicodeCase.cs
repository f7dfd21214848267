using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// Lower case as Python's <c>str.lower</c> has it: the runtime's simple mapping, and beside it the only two rules of
/// SpecialCasing that do not depend on a language, the dotted capital I (two characters) and the final sigma.
/// </summary>
internal static class UnicodeCase
{
    private const char DottedCapitalI = '\u0130', CapitalSigma = '\u03A3', SmallSigma = '\u03C3', FinalSigma = '\u03C2';

    private static readonly Lazy<Dictionary<int, bool>> s_ignorableOrCased = new(Load);

    /// <summary>Lowers; never depends on the culture.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="knowsFinalSigma">Whether a sigma at the end of a word takes its final form, as in Python; libraries that lower letter by letter do not.</param>
    public static string Lower(string text, bool knowsFinalSigma = true)
    {
        if (text.AsSpan().IndexOfAny(DottedCapitalI, CapitalSigma) < 0)
            return text.ToLowerInvariant();

        var builder = new StringBuilder(text.Length + 8);
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is not (DottedCapitalI or CapitalSigma))
                continue;
            builder.Append(text[done..i].ToLowerInvariant());
            if (text[i] == DottedCapitalI)
                builder.Append("i\u0307");
            else
                builder.Append(knowsFinalSigma && IsFinal(text, i) ? FinalSigma : SmallSigma);
            done = i + 1;
        }

        return builder.Append(text[done..].ToLowerInvariant()).ToString();
    }

    /// <summary>Behind a cased letter and not before one, case-ignorable characters not counted. A sigma is cased, so no stretch is walked more than twice.</summary>
    private static bool IsFinal(string text, int sigma)
    {
        int before = sigma;
        while (before > 0)
        {
            int length = before >= 2 && char.IsSurrogatePair(text[before - 2], text[before - 1]) ? 2 : 1;
            before -= length;
            switch (Kind(text, before))
            {
                case true:
                    continue;
                case null:
                    return false;
            }

            int after = sigma + 1;
            while (after < text.Length && Kind(text, after) == true)
                after += char.IsSurrogatePair(text, after) ? 2 : 1;
            return after >= text.Length || Kind(text, after) is null;
        }

        return false;
    }

    /// <summary>True for a case-ignorable character, false for a cased one, null for neither.</summary>
    private static bool? Kind(string text, int index)
    {
        int code = index + 1 < text.Length && char.IsSurrogatePair(text[index], text[index + 1])
            ? char.ConvertToUtf32(text[index], text[index + 1])
            : text[index];
        return s_ignorableOrCased.Value.TryGetValue(code, out bool ignorable) ? ignorable : null;
    }

    private static Dictionary<int, bool> Load()
    {
        var kinds = new Dictionary<int, bool>();
        foreach (string line in EmbeddedTable.Lines("unicode-case.tsv"))
        {
            string[] fields = line.Split(' ');
            for (int code = EmbeddedTable.Code(fields[1]); code <= EmbeddedTable.Code(fields[2]); code++)
                kinds.Add(code, fields[0] == "I");
        }

        return kinds;
    }
}
