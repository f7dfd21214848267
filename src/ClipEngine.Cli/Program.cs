using System.CommandLine;

namespace ClipEngine.Cli;

/// <summary>The command line. Every verb lives in a file of its own under <c>Commands</c> and is listed here once.</summary>
internal static class Program
{
    public static async Task<int> Main(string[] arguments)
    {
        var root = new RootCommand("ClipEngine: raw OpenCLIP checkpoints in, audited numbers about images and sentences out.");
        foreach (Command command in Verbs())
            root.Subcommands.Add(command);
        return await CommandRunner.InvokeAsync(root, arguments);
    }

    /// <summary>The verbs in the order that help shows them.</summary>
    private static IEnumerable<Command> Verbs()
    {
        yield break;
    }
}
