namespace ClipEngine;

/// <summary>
/// The user's input is at fault: a file, a value or a combination of options. The message names the file (or option),
/// what is wrong and what to do. The command line turns it into exit code 2.
/// </summary>
/// <remarks>Derived types say which part of the engine refused: checkpoints, configuration, images, text, tables.</remarks>
public class BadInputException : Exception
{
    /// <summary>The longest message that is ever shown; hostile files must not flood a log.</summary>
    public const int MaximumMessageLength = 2000;

    /// <summary>Names what is refused, why, and what to do.</summary>
    /// <param name="source">The file, folder, URL or option that is refused, as the user wrote it.</param>
    /// <param name="problem">What is wrong with it, with the expected and the found value.</param>
    /// <param name="remedy">What to do about it; omitted only where nothing useful can be said.</param>
    /// <param name="innerException">The cause, where another exception brought us here.</param>
    public BadInputException(string source, string problem, string? remedy = null, Exception? innerException = null)
        : base(Compose(source, problem, remedy), innerException)
    {
        InputSource = source;
        Problem = problem;
        Remedy = remedy;
    }

    /// <summary>The file, folder, URL or option that is refused.</summary>
    public string InputSource { get; }

    /// <summary>What is wrong with it.</summary>
    public string Problem { get; }

    /// <summary>What to do about it, or null.</summary>
    public string? Remedy { get; }

    /// <summary>Escapes control and bidirectional characters and shortens the text, so that a hostile name cannot rewrite a terminal.</summary>
    /// <param name="text">Text that came out of a file.</param>
    /// <param name="maximumLength">Characters kept; the cut is marked with an ellipsis.</param>
    public static string Escape(string text, int maximumLength = 200)
    {
        ArgumentNullException.ThrowIfNull(text);
        var builder = new System.Text.StringBuilder(Math.Min(text.Length, maximumLength) + 8);
        foreach (char character in text)
        {
            if (builder.Length >= maximumLength)
            {
                builder.Append('…');
                break;
            }

            bool isPlain = !char.IsControl(character) && !char.IsSurrogate(character)
                && char.GetUnicodeCategory(character) is not (System.Globalization.UnicodeCategory.Format
                    or System.Globalization.UnicodeCategory.LineSeparator or System.Globalization.UnicodeCategory.ParagraphSeparator);
            if (isPlain)
                builder.Append(character);
            else
                builder.Append("\\u").Append(((int)character).ToString("x4"));
        }

        return builder.ToString();
    }

    private static string Compose(string source, string problem, string? remedy)
    {
        string text = $"{Escape(source, 300)}: {problem}";
        if (!string.IsNullOrEmpty(remedy))
            text += $" {remedy}";
        return text.Length <= MaximumMessageLength ? text : text[..MaximumMessageLength] + "…";
    }
}
