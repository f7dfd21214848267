using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Cli.Arguments;

/// <summary>
/// The rules that hold for every value of every verb, whoever wrote the verb: applied to the definition before the command line is read,
/// and to what was read before the verb starts.
/// </summary>
internal static class ValueRules
{
    /// <summary>Files in a model's folder that loading looks at; nothing of such a name may be written there.</summary>
    private static readonly string[] s_modelFiles = [".safetensors", ".json", ".bin", ".pt", ".pth", ".txt", ".model", ".npz"];

    /// <summary>Gives all numbers of a verb and its verbs the one parser.</summary>
    public static void Apply(Command command)
    {
        foreach (Option option in command.Options)
            ApplyTo(option);
        foreach (Argument argument in command.Arguments)
            ApplyTo(argument);
        foreach (Command verb in command.Subcommands)
            Apply(verb);
    }

    /// <summary>The rule of an option or argument: what its verb says, or what its type and name tell.</summary>
    public static ValueRule Of(Symbol symbol)
    {
        if (ValueRuleExtensions.RuleOf(symbol) is { } said)
            return said;
        Type type = symbol switch { Option option => option.ValueType, Argument argument => argument.ValueType, _ => typeof(string) };
        type = Nullable.GetUnderlyingType(type.GetElementType() ?? type) ?? type.GetElementType() ?? type;
        if (type == typeof(bool) || type == typeof(void))
            return new ValueRule(ValueKind.Choice, Words: ["true", "false"]);
        if (type == typeof(int) || type == typeof(long) || type == typeof(double))
            return new ValueRule(ValueKind.Number);
        if (type != typeof(string))
            throw new InvalidOperationException($"{symbol.Name}: there is no rule for values of type {type}; declare it as text or a number.");
        return new ValueRule(symbol is not Option ? ValueKind.Text
            : symbol.Name.StartsWith("--out", StringComparison.Ordinal) ? ValueKind.OutputFile
            : symbol.Name is "--model" or "--config" ? ValueKind.Input
            : ValueKind.Text);
    }

    /// <summary>Checks a command line that could be read.</summary>
    /// <param name="parsed">What was read.</param>
    /// <param name="words">The command line as it was given.</param>
    /// <exception cref="BadInputException">A value that its verb must never see; names the option.</exception>
    public static void Check(ParseResult parsed, IReadOnlyList<string> words)
    {
        RefuseUnknown(parsed, words);
        var inputs = new List<(string Name, string Path, ValueKind Kind)>();
        var outputs = new List<(string Name, string Path, ValueKind Kind)>();
        foreach ((Symbol symbol, IReadOnlyList<Token> tokens) in Given(parsed))
        {
            ValueRule rule = Of(symbol);
            foreach (Token token in tokens)
            {
                CheckValue(symbol.Name, rule, token.Value);
                if (rule.Kind is ValueKind.OutputFile or ValueKind.OutputFolder)
                    outputs.Add((symbol.Name, token.Value, rule.Kind));
                else if (rule.Kind is not (ValueKind.Number or ValueKind.Choice) && FilePlace.KindOf(token.Value) is not null)
                    inputs.Add((symbol.Name, token.Value, rule.Kind));
            }
        }

        for (int i = 0; i < outputs.Count; i++)
        {
            foreach ((string name, string path, ValueKind kind) in inputs)
                RefuseInput(outputs[i].Name, outputs[i].Path, name, path, isModel: kind == ValueKind.Input && outputs[i].Kind == ValueKind.OutputFile);
            for (int j = 0; j < i; j++)
            {
                if (Path.GetFullPath(outputs[i].Path) == Path.GetFullPath(outputs[j].Path) || FilePlace.IsSame(outputs[i].Path, outputs[j].Path))
                    throw new BadInputException(outputs[i].Name, $"{BadInputException.Escape(outputs[i].Path)} is named for {outputs[j].Name} too.", "Write to another file.");
            }
        }
    }

    /// <summary>Refuses misspelt options, which the parser may have taken for something else.</summary>
    /// <exception cref="BadInputException">Names the first.</exception>
    public static void RefuseUnknown(ParseResult parsed, IReadOnlyList<string> words)
    {
        RefuseUnknownOptions(parsed, words);
        RefuseValuesOfSwitches(parsed, words);
    }

    /// <summary>Refuses an output that one of the inputs is which a verb found by itself: images of a folder, files that a list names.</summary>
    /// <exception cref="BadInputException">One of them is.</exception>
    public static void RefuseAsOutput(ParseResult parsed, IReadOnlyList<string> inputs)
    {
        foreach ((Symbol symbol, IReadOnlyList<Token> tokens) in Given(parsed))
        {
            if (Of(symbol).Kind != ValueKind.OutputFile)
                continue;
            foreach (Token token in tokens.Where(token => FilePlace.KindOf(token.Value) is not null))
            {
                if (inputs.FirstOrDefault(input => FilePlace.IsSame(input, token.Value)) is { } same)
                    throw IsInput(symbol.Name, token.Value, $"the input {BadInputException.Escape(same)}");
            }
        }
    }

    /// <summary>The same for a file that is written beside an output.</summary>
    /// <exception cref="BadInputException">It is an input.</exception>
    public static void RefuseAsOutput(string name, string output, IReadOnlyList<string> inputs)
    {
        if (FilePlace.KindOf(output) is not null && inputs.FirstOrDefault(input => FilePlace.IsSame(input, output)) is { } same)
            throw IsInput(name, output, $"the input {BadInputException.Escape(same)}");
    }

    private static void ApplyTo(Symbol symbol)
    {
        ValueRule rule = Of(symbol);
        if (rule.Kind == ValueKind.Choice && rule.Words is { } words && symbol is Option<string> choice && choice.CompletionSources.Count == 0)
            choice.CompletionSources.Add([.. words]);
        if (rule.Kind != ValueKind.Number)
            return;
        switch (symbol)
        {
            case Option<int> option:
                option.CustomParser = result => (int)Whole(result, rule, int.MinValue, int.MaxValue)[0];
                break;
            case Option<int?> option:
                option.CustomParser = result => (int)Whole(result, rule, int.MinValue, int.MaxValue)[0];
                break;
            case Option<int[]> option:
                option.CustomParser = result => Array.ConvertAll(Whole(result, rule, int.MinValue, int.MaxValue), value => (int)value);
                break;
            case Option<long> option:
                option.CustomParser = result => Whole(result, rule, long.MinValue, long.MaxValue)[0];
                break;
            case Option<long?> option:
                option.CustomParser = result => Whole(result, rule, long.MinValue, long.MaxValue)[0];
                break;
            case Option<double> option:
                option.CustomParser = result => Real(result, rule)[0];
                break;
            case Option<double?> option:
                option.CustomParser = result => Real(result, rule)[0];
                break;
            case Option<double[]> option:
                option.CustomParser = result => Real(result, rule);
                break;
            case Argument<int> argument:
                argument.CustomParser = result => (int)Whole(result, rule, int.MinValue, int.MaxValue)[0];
                break;
            default:
                throw new InvalidOperationException($"{symbol.Name}: numbers of this type have no parser yet; add it here.");
        }
    }

    private static long[] Whole(ArgumentResult result, ValueRule rule, long least, long most)
    {
        (double low, double high) = (Math.Max(rule.Least, least), Math.Min(rule.Most, most));
        // The whole range of 64 bits where nothing is said of a seed or an identifier.
        if (most == long.MaxValue && rule is { Least: ValueRule.LeastNumber, Most: ValueRule.MostNumber })
            (low, high) = (least, most);
        var values = new long[Math.Max(1, result.Tokens.Count)];
        for (int i = 0; i < result.Tokens.Count; i++)
        {
            string text = result.Tokens[i].Value;
            if (!NumberText.TryParse(text, out values[i]))
                result.AddError($"{NameOf(result)}: expected a whole number, found '{BadInputException.Escape(text, 60)}'.");
            else if (values[i] < low || values[i] > high)
                result.AddError(string.Create(CultureInfo.InvariantCulture, $"{NameOf(result)}: expected a whole number from {low:0} to {high:0}, found {values[i]}."));
        }

        return values;
    }

    private static double[] Real(ArgumentResult result, ValueRule rule)
    {
        var values = new double[Math.Max(1, result.Tokens.Count)];
        for (int i = 0; i < result.Tokens.Count; i++)
        {
            string text = result.Tokens[i].Value;
            if (!NumberText.TryParse(text, out values[i]))
                result.AddError($"{NameOf(result)}: expected a number ({NumberText.Form}), found '{BadInputException.Escape(text, 60)}'.");
            else if (values[i] < rule.Least || values[i] > rule.Most)
                result.AddError($"{NameOf(result)}: expected a number from {NumberText.Format(rule.Least)} to {NumberText.Format(rule.Most)}, found {NumberText.Format(values[i])}.");
        }

        return values;
    }

    private static void CheckValue(string name, ValueRule rule, string value)
    {
        if (value.Length == 0 || (rule.Kind is not ValueKind.Text && string.IsNullOrWhiteSpace(value)))
            throw new BadInputException(name, "its value is empty.", "Give it one, or leave it out; a script's variable may be unset.");
        if (value.Contains('\0', StringComparison.Ordinal))
            throw new BadInputException(name, "its value holds a NUL character.");
        switch (rule.Kind)
        {
            case ValueKind.Choice when rule.Words is { } words && !words.Contains(value, StringComparer.Ordinal):
                if (words is not ["true", "false"])
                    throw new BadInputException(name, $"expected {string.Join(" or ", new[] { string.Join(", ", words.Take(words.Count - 1)), words[^1] }.Where(part => part.Length > 0))}, found '{BadInputException.Escape(value, 60)}'.");
                break;
            case ValueKind.InputFile:
                FilePlace.RequireFile(value, "a file");
                break;
            case ValueKind.InputText:
                FilePlace.RequireFile(value, "a text file", takesStreams: true);
                break;
            case ValueKind.InputFolder when FilePlace.KindOf(value) is not FileKind.Folder:
                throw new BadInputException(value, FilePlace.KindOf(value) is { } other ? $"is {FilePlace.Name(other)}; a folder was expected." : "there is no such folder.", $"{name} names a folder.");
            case ValueKind.Input or ValueKind.InputFiles when FilePlace.KindOf(value) is { } kind and not (FileKind.Regular or FileKind.Folder):
                throw new BadInputException(value, $"is {FilePlace.Name(kind)}; a file or a folder was expected.", "Name a file or a folder.");
            case ValueKind.OutputFile:
                RequireWritable(name, value, isFolder: false);
                break;
            case ValueKind.OutputFolder:
                RequireWritable(name, value, isFolder: true);
                break;
        }
    }

    private static void RequireWritable(string name, string path, bool isFolder)
    {
        FileKind? kind = FilePlace.KindOf(path);
        if (kind is not null && kind != (isFolder ? FileKind.Folder : FileKind.Regular))
            throw new BadInputException(path, $"is {FilePlace.Name(kind.Value)}; {name} names {(isFolder ? "a folder" : "a file")} to write.", $"Give {name} another name.");
        if (!isFolder && (Path.EndsInDirectorySeparator(path) || Path.GetFileName(path) is "." or ".."))
            throw new BadInputException(path, $"names a folder; {name} names a file to write.", "Put a file name behind it.");
    }

    private static void RefuseInput(string outputName, string output, string inputName, string input, bool isModel)
    {
        if (FilePlace.IsSame(output, input))
            throw IsInput(outputName, output, $"the input that {inputName} names");
        if (!isModel || !s_modelFiles.Contains(Path.GetExtension(output), StringComparer.OrdinalIgnoreCase) || FilePlace.KindOf(input) != FileKind.Folder)
            return;
        // Weights, configurations and tokenizers in a model's folder are found by their names.
        string parent = Path.GetDirectoryName(Path.GetFullPath(output)) ?? "/";
        if (FilePlace.IsSame(parent, input))
            throw new BadInputException(outputName, $"{BadInputException.Escape(output)} lies in the folder that {inputName} names, where it would be read as a part of it.", "Write to another folder.");
        if (FilePlace.KindOf(output) is not null && Directory.EnumerateFiles(input).Take(10_000).FirstOrDefault(file => FilePlace.IsSame(file, output)) is { } same)
            throw IsInput(outputName, output, $"the input {BadInputException.Escape(same)}");
    }

    private static BadInputException IsInput(string name, string path, string what) =>
        new(name, $"{BadInputException.Escape(path)} is {what}; it would be overwritten.", "Write to another place.");

    /// <summary>A switch that is given a value: where sentences may stand, the parser would take the value for one.</summary>
    private static void RefuseValuesOfSwitches(ParseResult parsed, IReadOnlyList<string> words)
    {
        foreach (Option option in Commands(parsed).SelectMany(static command => command.Options).Where(static option => option.ValueType == typeof(bool)))
        {
            foreach (string word in words.TakeWhile(static word => word != "--"))
            {
                int end = word.AsSpan().IndexOfAny('=', ':');
                if (end > 0 && (word[..end] == option.Name || option.Aliases.Contains(word[..end])) && word[(end + 1)..] is not ("true" or "false"))
                    throw new BadInputException(option.Name, $"is a switch and takes no value, found '{BadInputException.Escape(word[(end + 1)..], 60)}'.", "Write it alone, or leave it out.");
            }
        }
    }

    /// <summary>What stands where an argument may stand and begins with a dash is a misspelt option, unless <c>--</c> came before it.</summary>
    private static void RefuseUnknownOptions(ParseResult parsed, IReadOnlyList<string> words)
    {
        if (parsed.UnmatchedTokens.FirstOrDefault(token => token.Length > 1 && token[0] == '-') is { } unmatched && words.TakeWhile(static word => word != "--").Contains(unmatched))
            throw Unknown(parsed, unmatched);
        IEnumerable<Token> before = parsed.Tokens.TakeWhile(token => token.Type != TokenType.DoubleDash);
        var early = new HashSet<Token>(before, ReferenceEqualityComparer.Instance);
        foreach ((Symbol symbol, IReadOnlyList<Token> tokens) in Given(parsed))
        {
            foreach (Token token in tokens.Where(token => token.Value.Length > 1 && token.Value[0] == '-' && early.Contains(token)))
            {
                if (symbol is Argument)
                    throw Unknown(parsed, token.Value);
                // Written with "=" it is a value, whatever it looks like.
                if (token.Value.StartsWith("--", StringComparison.Ordinal) && words.Contains(token.Value, StringComparer.Ordinal))
                    throw new BadInputException(symbol.Name, $"needs a value; found the option-like '{BadInputException.Escape(token.Value, 60)}'.", $"Write {symbol.Name}={BadInputException.Escape(token.Value, 60)} if that is meant.");
            }
        }
    }

    private static BadInputException Unknown(ParseResult parsed, string option) =>
        new(option, $"'{parsed.CommandResult.Command.Name}' has no such option.", "Its '--help' lists those there are; write -- before words that begin with a dash.");

    /// <summary>The verb that was named and those above it.</summary>
    private static IEnumerable<Command> Commands(ParseResult parsed)
    {
        for (SymbolResult? result = parsed.CommandResult; result is CommandResult command; result = result.Parent)
            yield return command.Command;
    }

    /// <summary>All options and arguments with the words that were given for them.</summary>
    private static IEnumerable<(Symbol Symbol, IReadOnlyList<Token> Tokens)> Given(ParseResult parsed)
    {
        foreach (Command command in Commands(parsed))
        {
            foreach (Option option in command.Options)
            {
                if (parsed.GetResult(option) is { Implicit: false } found)
                    yield return (option, found.Tokens);
            }

            foreach (Argument argument in command.Arguments)
            {
                if (parsed.GetResult(argument) is { Tokens.Count: > 0 } found)
                    yield return (argument, found.Tokens);
            }
        }
    }

    private static string NameOf(ArgumentResult result) => result.Parent is OptionResult option ? option.Option.Name : result.Argument.Name;
}
