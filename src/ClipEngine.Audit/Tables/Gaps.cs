namespace ClipEngine.Audit.Tables;

/// <summary>What programs write into a table where there is no value.</summary>
internal static class Gaps
{
    /// <summary>What pandas reads as missing by default, in any case of letters where no word is spelt so.</summary>
    private static readonly HashSet<string> s_known = new(StringComparer.OrdinalIgnoreCase)
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NULL", "NaN", "NaT", "#NULL!", "#VALUE!", "#REF!", "#DIV/0!", "#NAME?",
    };

    /// <summary>Spelt so they are gaps; in other letters they are words of their own.</summary>
    private static readonly HashSet<string> s_exact = new(StringComparer.Ordinal) { "NA", "None" };

    private static readonly HashSet<string> s_doubtful = new(StringComparer.OrdinalIgnoreCase)
    {
        "na", "none", "nil", "missing", "unknown", "undefined", "?", "-", "--", ".", "nothing", "n.a.", "not available",
    };

    /// <summary>Whether a cell says that there is no value.</summary>
    public static bool IsGap(string cell)
    {
        string text = cell.Trim();
        return s_known.Contains(text) || s_exact.Contains(text);
    }

    /// <summary>Whether a cell that is no gap may be meant as one.</summary>
    public static bool MayBeGap(string cell) => !IsGap(cell) && s_doubtful.Contains(cell.Trim());
}
