using System.Globalization;

namespace ClipEngine.Files;

/// <summary>
/// Numbers as people write them, for every option, table and specification: digits with a decimal point, as <c>4.5</c>, <c>-0.25</c> or
/// <c>1e-3</c>. A decimal comma, thousands signs, blanks, NaN and infinities are no numbers here: each would be another number for another reader.
/// </summary>
public static class NumberText
{
    /// <summary>What a number must look like, for messages.</summary>
    public const string Form = "digits with a decimal point and without thousands signs, as 4.5";

    /// <summary>Reads a finite number.</summary>
    /// <returns>False where the text is no number, or one beyond the range of double precision.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out double value)
    {
        value = 0;
        return IsAscii(text)
            && double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out value)
            && double.IsFinite(value);
    }

    /// <summary>Reads a whole number.</summary>
    /// <returns>False where the text is no whole number, or one of more than 64 bits.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out long value)
    {
        value = 0;
        return IsAscii(text) && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>Reads a number of things, from 0 to 2^31 - 1: digits alone.</summary>
    /// <returns>False where the text is anything else.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    /// <summary>A number as every file and message shows it, whatever the culture of the host: the shortest text that reads back as the same number.</summary>
    public static string Format(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    // Digits, signs, point and exponent only: the words NaN and Infinity, which the parser knows too, stay out.
    private static bool IsAscii(ReadOnlySpan<char> text) => text.Length is > 0 and <= 64 && text.IndexOfAnyExcept("0123456789+-.eE") < 0;
}
