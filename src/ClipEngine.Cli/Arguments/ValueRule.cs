using System.CommandLine;
using System.Runtime.CompilerServices;

namespace ClipEngine.Cli.Arguments;

/// <summary>What the value of an option or argument is.</summary>
internal enum ValueKind
{
    /// <summary>Words: a name, a sentence, a pattern.</summary>
    Text,

    /// <summary>A number, whole or not.</summary>
    Number,

    /// <summary>One of a few words.</summary>
    Choice,

    /// <summary>A file that is read as it lies on the disk.</summary>
    InputFile,

    /// <summary>A file of text, for which standard input or a pipe of the shell may stand.</summary>
    InputText,

    /// <summary>A folder that is read.</summary>
    InputFolder,

    /// <summary>A model or a part of one: a file, a folder, or a name that leads to one.</summary>
    Input,

    /// <summary>Files, or folders of files.</summary>
    InputFiles,

    /// <summary>A file that is written.</summary>
    OutputFile,

    /// <summary>A folder that is written into.</summary>
    OutputFolder,
}

/// <summary>
/// What values an option or argument takes. Verbs say it where they declare the option:
/// <code>
/// new Option&lt;string&gt;("--images") { ... }.ReadsFile()
/// new Option&lt;string&gt;("--out") { ... }.WritesFolder()
/// new Option&lt;int?&gt;("--batch") { ... }.Between(1, 65536)
/// new Option&lt;string?&gt;("--mode") { ... }.OneOf("shortest", "squash")
/// </code>
/// An option that says nothing is safe all the same: <see cref="ValueRules"/> refuses empty values and what is no finite number, takes
/// <c>--out</c> for a file that is written, and every other value that names a file for one that is read, which no output may be.
/// </summary>
/// <param name="Kind">What the value is.</param>
/// <param name="Least">The least number.</param>
/// <param name="Most">The largest number.</param>
/// <param name="Words">The words of a choice.</param>
internal sealed record ValueRule(ValueKind Kind, double Least = ValueRule.LeastNumber, double Most = ValueRule.MostNumber, IReadOnlyList<string>? Words = null)
{
    /// <summary>Beyond these no number of any verb has a meaning.</summary>
    public const double LeastNumber = -1e9, MostNumber = 1e9;
}

/// <summary>Says what values an option or argument takes; see <see cref="ValueRule"/>.</summary>
internal static class ValueRuleExtensions
{
    private static readonly ConditionalWeakTable<Symbol, ValueRule> s_rules = [];

    /// <summary>The value is a file that is read.</summary>
    public static T ReadsFile<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.InputFile));

    /// <summary>The value is a file of text that is read; standard input and pipes of the shell may stand for it.</summary>
    public static T ReadsText<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.InputText));

    /// <summary>The value is a folder that is read.</summary>
    public static T ReadsFolder<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.InputFolder));

    /// <summary>The value is a model or a part of one: a file, a folder, or a name that leads to one.</summary>
    public static T ReadsModel<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.Input));

    /// <summary>The values are files, or folders of files.</summary>
    public static T ReadsFiles<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.InputFiles));

    /// <summary>The value is a file that is written.</summary>
    public static T WritesFile<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.OutputFile));

    /// <summary>The value is a folder that is written into.</summary>
    public static T WritesFolder<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.OutputFolder));

    /// <summary>The value is words, whatever the option's name suggests.</summary>
    public static T IsText<T>(this T symbol)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.Text));

    /// <summary>The value is a number within bounds, both inclusive.</summary>
    public static T Between<T>(this T symbol, double least, double most)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.Number, least, most));

    /// <summary>The value is one of a few words.</summary>
    public static T OneOf<T>(this T symbol, params IReadOnlyList<string> words)
        where T : Symbol => With(symbol, new ValueRule(ValueKind.Choice, Words: words));

    /// <summary>What was said, or null.</summary>
    public static ValueRule? RuleOf(Symbol symbol) => s_rules.TryGetValue(symbol, out ValueRule? rule) ? rule : null;

    private static T With<T>(T symbol, ValueRule rule)
        where T : Symbol
    {
        s_rules.AddOrUpdate(symbol, rule);
        return symbol;
    }
}
