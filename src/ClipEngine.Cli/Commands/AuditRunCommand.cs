using System.CommandLine;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>audit run</c>: a whole spec into a folder.</summary>
internal static class AuditRunCommand
{
    public static Command Create()
    {
        var spec = new Argument<string>("SPEC.json") { Description = "What to audit; 'audit spec' prints the published study's." }.ReadsFile();
        var output = new Option<string>("--out") { Description = "The run's folder; one that holds an interrupted run is gone on with.", Required = true }.WritesFolder();
        Option<string> device = ModelArguments.DeviceOption();
        var threads = new Option<int?>("--threads") { Description = "Processor threads." }.Between(1, ModelArguments.MostThreads);
        var shard = new Option<string?>(PartNumber.OptionName) { Description = "Make only part I of N, as 2/10, into --out, which all parts share; 'merge' completes it." };
        var command = new Command("run", "Run a spec: embed, score, measure, report.");
        command.Arguments.Add(spec);
        command.Options.Add(output);
        command.Options.Add(device);
        command.Options.Add(threads);
        command.Options.Add(shard);
        command.SetAction((parsed, cancellationToken) =>
        {
            string directory = parsed.GetValue(output)!;
            var run = new AuditRun(parsed.GetValue(spec)!, directory, new ClipProbeModels(parsed.GetValue(device)!, parsed.GetValue(threads)), new ReportWriter(), line => Console.Error.WriteLine(line));
            if (parsed.GetValue(shard) is { } text)
                return Task.FromResult(ReportPart(PartNumber.Parse(text), run.ExecutePart(PartNumber.Parse(text), parsed.GetValue(device)!, cancellationToken), directory));
            return Task.FromResult(Report(run.Execute(cancellationToken), directory));
        });
        return command;
    }

    /// <summary>Says where a result lies, and which models have none.</summary>
    public static int Report(AuditResult result, string directory)
    {
        Console.Error.WriteLine($"tables, results.sqlite and report.html are in {directory}");
        ModelSummary[] failed = [.. result.Models.Where(model => model.Failure is not null)];
        foreach (ModelSummary model in failed)
            Console.Error.WriteLine($"clipengine: {BadInputException.Escape(model.Key)} has no results: {model.Failure}");
        return failed.Length == 0 ? CommandRunner.Done : CommandRunner.Failed;
    }

    private static int ReportPart(PartNumber number, IReadOnlyDictionary<string, string>? failures, string directory)
    {
        Console.Error.WriteLine(failures is null ? $"clipengine: part {number} is there already in {directory}" : $"clipengine: part {number} is in {directory}");
        foreach ((string model, string reason) in failures ?? new Dictionary<string, string>())
            Console.Error.WriteLine($"clipengine: {BadInputException.Escape(model)} has no features: {reason}");
        return CommandRunner.Done;
    }
}
