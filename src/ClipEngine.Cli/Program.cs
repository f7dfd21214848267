using System.CommandLine;
using System.CommandLine.Help;
using ClipEngine.Cli.Commands;

namespace ClipEngine.Cli;

/// <summary>The command line. Every verb lives in a file of its own under <c>Commands</c> and is listed here once.</summary>
internal static class Program
{
    /// <summary>The verbs in the order that help shows them.</summary>
    private static readonly (string Name, Func<Command> Create)[] s_verbs =
    [
        ("demo", DemoCommand.Create),
        ("models", ModelsCommand.Create),
        ("devices", DevicesCommand.Create),
        ("inspect", InspectCommand.Create),
        ("tokenize", TokenizeCommand.Create),
        ("preprocess", PreprocessCommand.Create),
        ("embed", EmbedCommand.Create),
        ("merge", MergeCommand.Create),
        ("classify", ClassifyCommand.Create),
        ("caption", CaptionCommand.Create),
        ("score", ScoreCommand.Create),
        ("audit", AuditCommand.Create),
        ("balance", BalanceCommand.Create),
        ("drift", DriftCommand.Create),
        ("convert", ConvertCommand.Create),
        ("slurm", SlurmCommand.Create),
        ("bench", BenchCommand.Create),
        ("serve", ServeCommand.Create),
    ];

    public static int Main(string[] arguments)
    {
        LastWord.Prepare();
        return CommandRunner.InvokeAsync(Definition(arguments), arguments).GetAwaiter().GetResult();
    }

    /// <summary>The whole command line, or of it the verb that the first word names.</summary>
    internal static Command Definition(params string[] arguments)
    {
        // Not a RootCommand: help would call the program by its assembly's name, and users start the script ./clipengine.
        var root = new Command("clipengine", "ClipEngine: raw OpenCLIP checkpoints in, audited numbers about images and sentences out.");
        root.Options.Add(new HelpOption());
        root.Options.Add(new VersionOption());
        // Making a verb's options takes longer than running a small one: where a verb is named, only that one is made.
        string? first = arguments.Length > 0 ? arguments[0] : null;
        foreach ((string name, Func<Command> create) in s_verbs)
        {
            if (name == first)
            {
                root.Subcommands.Add(create());
                return root;
            }
        }

        foreach ((_, Func<Command> create) in s_verbs)
            root.Subcommands.Add(create());
        return root;
    }
}
