using System.CommandLine;
using ClipEngine.Cli.Arguments;

namespace ClipEngine.Cli.Tests.Arguments;

/// <summary>Tests that change the streams of this process run alone.</summary>
[CollectionDefinition("console", DisableParallelization = true)]
public sealed class ConsoleTests;

/// <summary>
/// Bad values for every option and argument of every verb, by reflection on the command line's own definition, so that a new one cannot be
/// forgotten: exit code 2, one line of reason, no trace.
/// </summary>
[Collection("console")]
public sealed class EveryOptionTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly VerbLines.Files _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public void EveryVerbHasALine() =>
        Assert.DoesNotContain(VerbLines.Verbs().Select(static verb => verb.Name), static name => VerbLines.Line(name) is null);

    /// <summary>What a verb refuses is seen only where the rest of its line is right.</summary>
    [Fact]
    public async Task EveryLineWorks()
    {
        await _files.PrepareAsync();
        foreach ((string name, _) in Known().Where(static verb => !VerbLines.Slow.Contains(verb.Name)))
        {
            (int code, string error) = await RunAsync(VerbLines.Words(_files, name));
            Assert.True(code == 0, $"{name}: {code} {error}");
        }
    }

    [Fact]
    public async Task BadValuesOfEveryOptionAreRefusedInALine()
    {
        await _files.PrepareAsync();
        var failures = new List<string>();
        int tried = 0;
        foreach ((string name, Command command) in Known())
        {
            foreach (Symbol symbol in VerbLines.Symbols(command))
            {
                ValueRule rule = ValueRules.Of(symbol);
                foreach (string value in (string[])["", "null", "NaN", "1e30", "99999999999999999999999999", "4,5", _files.Folder, _files.Pipe, "/dev/null", _files.Missing])
                {
                    bool? isRefused = Refused(rule, value);
                    // What may be right is run, unless that takes long, for an end without a trace.
                    if (isRefused is null && (VerbLines.Slow.Contains(name) || rule.Kind is ValueKind.OutputFile or ValueKind.OutputFolder))
                        continue;
                    tried++;
                    (int code, string error) = await RunAsync(VerbLines.Words(_files, name, symbol, value));
                    string[] lines = error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
                    bool isRight = code == 2 ? lines.Length == 1 && lines[0].StartsWith("clipengine: ", StringComparison.Ordinal) && !error.Contains("Exception", StringComparison.Ordinal) : code == 0 && isRefused is null;
                    if (!isRight)
                        failures.Add($"{name} {symbol.Name} '{value}': exit code {code}: {error}");
                }
            }
        }

        Assert.True(tried > 500, $"only {tried} values were tried");
        Assert.True(failures.Count == 0, $"{failures.Count} of {tried}:\n{string.Join('\n', failures)}");
    }

    [Fact]
    public async Task NoVerbTakesAnUnknownOptionForAValue()
    {
        await _files.PrepareAsync();
        foreach ((string name, _) in Known())
        {
            string[] words = VerbLines.Words(_files, name);
            int place = name.Split(' ').Length;
            foreach (string[] line in (string[][])[[.. words[..place], "--no-such-option", .. words[place..]], [.. words, "--no-such-option"], [.. words, "--no-such-option", "x"], [.. words, "-q"]])
            {
                (int code, string error) = await RunAsync(line);
                Assert.True(code == 2 && error.Contains(line.First(static word => word is "--no-such-option" or "-q"), StringComparison.Ordinal), $"{string.Join(' ', line)}: {code} {error}");
            }
        }
    }

    /// <summary>Every output is given every input of its line, by its name and by two kinds of link: nothing is changed.</summary>
    [Fact]
    public async Task NoVerbWritesOverItsInputs()
    {
        await _files.PrepareAsync();
        int tried = 0;
        foreach ((string name, Command command) in Known())
        {
            string[] words = VerbLines.Words(_files, name);
            foreach (Symbol output in VerbLines.Symbols(command).Where(static symbol => ValueRules.Of(symbol).Kind is ValueKind.OutputFile or ValueKind.OutputFolder))
            {
                foreach (string input in words.Where(word => _files.Inputs.Contains(word)).Distinct().ToList())
                {
                    foreach (string alias in Aliases(input, Path.GetExtension(VerbLines.Line(name)!.TrimEnd('}'))))
                    {
                        byte[] before = Content(input);
                        (int code, string error) = await RunAsync(VerbLines.Words(_files, name, output, alias));
                        Assert.True(code == 2, $"{name} {output.Name} {alias}: {code} {error}");
                        Assert.Equal(before, Content(input));
                        tried++;
                    }
                }
            }
        }

        Assert.True(tried > 20, $"only {tried} outputs were tried");
    }

    private static IEnumerable<(string Name, Command Command)> Known() => VerbLines.Verbs().Where(static verb => VerbLines.Line(verb.Name) is not null);

    private IEnumerable<string> Aliases(string input, string extension)
    {
        yield return input;
        yield return Path.Combine(Path.GetDirectoryName(input)!, "empty", "..", Path.GetFileName(input));
        string place = Directory.CreateDirectory(Path.Combine(_files.New, $"links-{Guid.NewGuid():N}")).FullName;
        string link = Path.Combine(place, "link" + extension);
        if (Directory.Exists(input))
        {
            yield return Directory.CreateSymbolicLink(link, input).FullName;
            yield break;
        }

        yield return File.CreateSymbolicLink(link, input).FullName;
        string copy = Path.Combine(place, "hard" + extension);
        using System.Diagnostics.Process process = ProcessRunner.Start("ln", [input, copy]);
        process.WaitForExit();
        yield return copy;
    }

    private static byte[] Content(string path) => Directory.Exists(path)
        ? [.. Directory.EnumerateFiles(path).Order(StringComparer.Ordinal).SelectMany(static file => System.Text.Encoding.UTF8.GetBytes(file).Concat(File.ReadAllBytes(file)))]
        : File.ReadAllBytes(path);

    /// <summary>Whether a value must be refused; null where it may be right.</summary>
    private bool? Refused(ValueRule rule, string value) => rule.Kind switch
    {
        _ when value.Length == 0 => true,
        ValueKind.Number or ValueKind.Choice => true,
        ValueKind.Input or ValueKind.InputFile or ValueKind.InputFiles or ValueKind.InputFolder or ValueKind.InputText => true,
        ValueKind.OutputFile => value == _files.Folder || value == _files.Pipe || value == "/dev/null" ? true : null,
        ValueKind.OutputFolder => value == _files.Pipe || value == "/dev/null" ? true : null,
        _ => null,
    };

    /// <summary>Runs a line in this process, for there are hundreds.</summary>
    private static async Task<(int Code, string Error)> RunAsync(string[] words)
    {
        (TextWriter output, TextWriter error) = (Console.Out, Console.Error);
        var said = new StringWriter();
        try
        {
            Console.SetOut(TextWriter.Null);
            Console.SetError(TextWriter.Synchronized(said));
            int code = await CommandRunner.InvokeAsync(Program.Definition(words), words).WaitAsync(s_patience);
            return (code, said.ToString());
        }
        catch (TimeoutException)
        {
            return (-1, "it had not ended after two minutes");
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}
