using System.CommandLine;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine audit</c>: the verbs below it, each in a file of its own.</summary>
internal static class AuditCommand
{
    public static Command Create()
    {
        var command = new Command("audit", "Measure which labels models choose for whom: group tables with intervals, comparisons, a report.");
        command.Subcommands.Add(AuditRunCommand.Create());
        command.Subcommands.Add(AuditScoresCommand.Create());
        command.Subcommands.Add(AuditReadCommands.Frequencies());
        command.Subcommands.Add(AuditReadCommands.Report());
        command.Subcommands.Add(AuditReadCommands.Compare());
        command.Subcommands.Add(AuditReadCommands.Verify());
        command.Subcommands.Add(AuditReadCommands.Check());
        command.Subcommands.Add(AuditReadCommands.Export());
        command.Subcommands.Add(AuditReadCommands.Spec());
        command.Subcommands.Add(AuditQualityCommands.Accuracy());
        command.Subcommands.Add(AuditQualityCommands.Retrieval());
        command.Subcommands.Add(AuditQualityCommands.Curation());
        return command;
    }
}
