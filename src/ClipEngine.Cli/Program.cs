using System.CommandLine;
using System.CommandLine.Help;
using ClipEngine.Cli.Commands;

namespace ClipEngine.Cli;

/// <summary>The command line. Every verb lives in a file of its own under <c>Commands</c> and is listed here once.</summary>
internal static class Program
{
    public static async Task<int> Main(string[] arguments)
    {
        // Not a RootCommand: help would call the program by its assembly's name, and users start the script ./clipengine.
        var root = new Command("clipengine", "ClipEngine: raw OpenCLIP checkpoints in, audited numbers about images and sentences out.");
        root.Options.Add(new HelpOption());
        root.Options.Add(new VersionOption());
        foreach (Command command in Verbs())
            root.Subcommands.Add(command);
        return await CommandRunner.InvokeAsync(root, arguments);
    }

    /// <summary>The verbs in the order that help shows them.</summary>
    private static IEnumerable<Command> Verbs()
    {
        yield return DemoCommand.Create();
        yield return ModelsCommand.Create();
        yield return DevicesCommand.Create();
        yield return InspectCommand.Create();
        yield return TokenizeCommand.Create();
        yield return PreprocessCommand.Create();
        yield return EmbedCommand.Create();
        yield return ClassifyCommand.Create();
        yield return ScoreCommand.Create();
        yield return AuditCommand.Create();
        yield return ConvertCommand.Create();
    }
}
