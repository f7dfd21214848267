namespace ClipEngine.Audit.Specs;

/// <summary>Makes sentences of labels.</summary>
internal static class PromptTemplate
{
    // Spelt with a vowel, spoken with a consonant (y or w).
    private static readonly string[] _consonantSounds = ["uni", "use", "usu", "usa", "uter", "util", "uto", "euro", "eu", "ewe", "one", "once", "ouija", "ufo", "ukr", "uk ", "ura"];

    // A silent h.
    private static readonly string[] _silent = ["hour", "honest", "honor", "honour", "heir"];

    // "uni" that is un- before an i.
    private static readonly string[] _vowelSounds = ["unin", "unim", "unid", "unif ", "oner", "unill"];

    /// <summary>Fills a template: <c>{label}</c> becomes the label, <c>{a}</c> the article that the label asks for.</summary>
    /// <param name="template">With <c>{label}</c> in it once or more.</param>
    /// <param name="label">The class.</param>
    /// <exception cref="BadInputException">The template has no <c>{label}</c>, or another brace.</exception>
    public static string Fill(string template, string label)
    {
        ArgumentNullException.ThrowIfNull(template);
        ArgumentNullException.ThrowIfNull(label);
        string rest = template.Replace("{label}", "", StringComparison.Ordinal).Replace("{a}", "", StringComparison.Ordinal);
        if (!template.Contains("{label}", StringComparison.Ordinal) || rest.AsSpan().IndexOfAny('{', '}') >= 0)
            throw new BadInputException($"template '{template}'", "it needs {label} and knows no other placeholder than {label} and {a}.", "Write for example: A photo of {a} {label}");
        // The label goes in last: braces in it are its own.
        return template.Replace("{a}", Article(label), StringComparison.Ordinal).Replace("{label}", label, StringComparison.Ordinal);
    }

    /// <summary><c>an</c> before a spoken vowel, else <c>a</c>. Decided by spelling with the usual exceptions.</summary>
    public static string Article(string word)
    {
        ArgumentNullException.ThrowIfNull(word);
        string text = word.TrimStart().ToLowerInvariant() + " ";
        bool isVowel = text[0] is 'a' or 'e' or 'i' or 'o' or 'u';
        if (Starts(text, _silent) || Starts(text, _vowelSounds))
            isVowel = true;
        else if (Starts(text, _consonantSounds))
            isVowel = false;
        return isVowel ? "an" : "a";
    }

    private static bool Starts(string text, string[] beginnings) =>
        beginnings.Any(beginning => text.StartsWith(beginning, StringComparison.Ordinal));
}
