using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>Changes a text before it is cut into words. Immutable and thread-safe; where nothing changes, the same string comes back.</summary>
internal abstract class TextNormalizer
{
    public abstract string Normalize(string text);
}

/// <summary>Several normalizers, one after the other.</summary>
internal sealed class NormalizerSequence(params TextNormalizer[] steps) : TextNormalizer
{
    /// <summary>How many times as long a text may become; real tables make at most 18 characters of one.</summary>
    private const int LargestGrowth = 64;

    /// <summary>Takes all steps.</summary>
    /// <exception cref="FormatException">The text has grown out of all proportion.</exception>
    public override string Normalize(string text)
    {
        int length = text.Length;
        foreach (TextNormalizer step in steps)
        {
            text = step.Normalize(text);
            if (text.Length > (LargestGrowth * (long)length) + 1024)
                throw new FormatException($"its normalizer makes {text.Length} characters of {length}.");
        }

        return text;
    }
}

/// <summary>Unicode's composed form, NFC.</summary>
internal sealed class ComposedForm : TextNormalizer
{
    public override string Normalize(string text) => UnicodeComposition.Compose(text);
}

/// <summary>Lower case, letter by letter: no final sigma.</summary>
internal sealed class LowerCase : TextNormalizer
{
    public override string Normalize(string text)
    {
        string lower = UnicodeCase.Lower(text, knowsFinalSigma: false);
        return lower == text ? text : lower;
    }
}

/// <summary>Takes white space off the ends.</summary>
internal sealed class StripEnds(bool left, bool right) : TextNormalizer
{
    public override string Normalize(string text)
    {
        if (left)
            text = text.TrimStart();
        return right ? text.TrimEnd() : text;
    }
}

/// <summary>Puts something in front of a text that is not empty.</summary>
internal sealed class Prepend(string prefix) : TextNormalizer
{
    public override string Normalize(string text) => text.Length == 0 ? text : prefix + text;
}

/// <summary>Puts one string in the place of another.</summary>
internal sealed class ReplaceLiteral(string pattern, string content) : TextNormalizer
{
    public override string Normalize(string text) => text.Replace(pattern, content, StringComparison.Ordinal);
}

/// <summary>Puts a string in the place of a run of spaces, or of white space of any kind.</summary>
/// <param name="minimum">The shortest run that is replaced.</param>
/// <param name="anyWhiteSpace">Whether all white space counts, or only the space itself.</param>
/// <param name="content">What takes the run's place.</param>
internal sealed class ReplaceRuns(int minimum, bool anyWhiteSpace, string content) : TextNormalizer
{
    public override string Normalize(string text)
    {
        StringBuilder? builder = null;
        int done = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (!IsSpace(text[i]))
                continue;
            int start = i;
            while (i < text.Length && IsSpace(text[i]))
                i++;
            if (i - start < minimum || (i - start == content.Length && text.AsSpan(start, i - start).SequenceEqual(content)))
                continue;
            builder ??= new StringBuilder(text.Length);
            builder.Append(text, done, start - done).Append(content);
            done = i;
        }

        return builder is null ? text : builder.Append(text, done, text.Length - done).ToString();
    }

    private bool IsSpace(char character) => anyWhiteSpace ? char.IsWhiteSpace(character) : character == ' ';
}

/// <summary>Keeps the code points that pass a test.</summary>
internal static class CharacterFilter
{
    public static string Keep(string text, Func<int, bool> keeps)
    {
        StringBuilder? builder = null;
        for (int i = 0; i < text.Length;)
        {
            int code = UnicodeKinds.CodePoint(text.AsSpan(i), out int width);
            bool isKept = keeps(code);
            if (!isKept)
                builder ??= new StringBuilder(text.Length).Append(text, 0, i);
            else
                builder?.Append(text, i, width);
            i += width;
        }

        return builder?.ToString() ?? text;
    }
}
