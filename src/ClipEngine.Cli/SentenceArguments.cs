using System.CommandLine;
using ClipEngine.Audit.Tables;
using ClipEngine.Cli.Arguments;

namespace ClipEngine.Cli;

/// <summary>The words by which every verb that takes sentences says which.</summary>
internal sealed class SentenceArguments
{
    private readonly Argument<string[]> _texts = new("text") { Description = "Sentences.", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string?> _file = new Option<string?>("--file") { Description = $"A list of sentences: {TextList.Description}." }.ReadsText();
    private readonly Option<string?> _column = new("--column") { Description = "With a table: the column that holds the sentences (text, prompt, caption, sentence, label, title are found by themselves)." };

    /// <summary>Adds the words to a verb.</summary>
    public void AddTo(Command command)
    {
        command.Add(_texts);
        command.Add(_file);
        command.Add(_column);
    }

    /// <summary>The sentences one after the other, those of the file first; memory does not grow with their number.</summary>
    /// <exception cref="BadInputException">None was named, or the file is no list of sentences.</exception>
    public IEnumerable<string> Read(ParseResult parsed)
    {
        string[] texts = Named(parsed);
        return parsed.GetValue(_file) is { } file ? TextList.Read(file, parsed.GetValue(_column)).Concat(texts) : texts;
    }

    /// <summary>The same, all at once.</summary>
    /// <exception cref="BadInputException">As above, or the list is larger than can be held.</exception>
    public string[] ReadAll(ParseResult parsed)
    {
        string[] texts = Named(parsed);
        texts = parsed.GetValue(_file) is { } file ? [.. texts, .. TextList.ReadAll(file, parsed.GetValue(_column))] : texts;
        return texts.Length > 0 ? texts : throw Nothing(parsed);
    }

    private string[] Named(ParseResult parsed)
    {
        string[] texts = parsed.GetValue(_texts) ?? [];
        if (parsed.GetValue(_file) is not null)
            return texts;
        if (parsed.GetValue(_column) is not null)
            throw new BadInputException("--column", "names a column of a table, but --file names none.");
        return texts.Length > 0 ? texts : throw Nothing(parsed);
    }

    private BadInputException Nothing(ParseResult parsed) => parsed.GetValue(_file) is { } file
        ? new(file, "holds no sentence.", "Write one a line, or sentences behind the verb.")
        : new(parsed.CommandResult.Command.Name, "no sentence was given.", "Write sentences behind the verb, or name a file with --file.");
}
