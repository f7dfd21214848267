using System.CommandLine;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Demo;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine demo</c>: the whole pipeline on what is shipped; says in plain words what was planted and what was found.</summary>
internal static class DemoCommand
{
    /// <summary>Where the checkpoints, the pictures and what was planted in them lie.</summary>
    internal static string Data { get; } = Path.Combine(AppContext.BaseDirectory, "Demo", "Data");

    public static Command Create()
    {
        var output = new Option<string>("--out") { Description = "The run's folder; one that holds an interrupted run is gone on with.", DefaultValueFactory = _ => "clipengine-demo" }.WritesFolder();
        var command = new Command("demo", "Run the whole pipeline on the shipped checkpoints and pictures.") { output };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed.GetValue(output)!, cancellation), cancellation));
        return command;
    }

    private static int Run(string directory, CancellationToken cancellation)
    {
        // Nothing of its own: the demo is the audit run of a shipped spec.
        var run = new AuditRun(Path.Combine(Data, "spec.json"), directory, new ClipProbeModels(), new ReportWriter(), line => Console.Error.WriteLine(line));
        AuditResult result = run.Execute(cancellation);
        if (result.Models.FirstOrDefault(model => model.Failure is not null) is { } failed)
        {
            Console.Error.WriteLine($"clipengine: checkpoint '{failed.Key}' failed: {failed.Failure}");
            return CommandRunner.Failed;
        }

        Explain(result, PlantedAssociation.Read(Path.Combine(Data, "planted.csv")), directory, Console.Out);
        return CommandRunner.Done;
    }

    private static void Explain(AuditResult result, PlantedAssociation planted, string directory, TextWriter to)
    {
        IReadOnlyList<ModelExperimentResult> models = result.Experiments[0].Models;
        (string group, string label) = planted.Strongest("large");
        to.WriteLine($"""
            What was planted
              Each picture has a frame of coloured tiles and a figure in it. The tiles say which of six things the picture stands
              for; the figure (circle, square or triangle, solid or hollow) has nothing to do with it. Yet in the captions of two
              training sets certain figures went with certain things: weakly in the small set, strongly in the large one. The
              captions of a third, the null set, were written without a look at the figure.

            What the audit found
              The same {models[0].ArgmaxFrequency[0][group].Count} scenes were shown with each of {result.Probe.Groups.Count} figures, so whatever differs between the figures comes from
              the checkpoint. For example, how often a {group} is called {label}:

                checkpoint   planted   found   95 % interval   other figures
            """);
        foreach (ModelExperimentResult model in models)
        {
            GroupMetricFrame frame = model.ArgmaxFrequency.First(entry => entry.Subject == label);
            Estimate found = frame[group];
            double others = frame.Groups.Where(entry => entry.Group != group).Average(entry => entry.Estimate.Value!.Value);
            to.WriteLine($"    {model.Model,-10}   {planted.Share(model.Model, group, label),7:P1}   {found.Value,7:P1}   {found.Interval!.Lower:P1} to {found.Interval.Upper:P1}   {others:P1}");
        }

        to.WriteLine();
        to.WriteLine($"  Over all {result.Probe.Groups.Count * models[0].ArgmaxFrequency.Count} pairs of figure and thing:");
        foreach (AssociationFinding finding in models.Select(model => planted.Compare(model, "large")))
        {
            to.WriteLine($"    {finding.Model,-10} the figure moves a label's rate by {100 * finding.FoundPull:F1} points on average (in its training captions: {100 * finding.PlantedPull:F1});");
            to.WriteLine($"    {"",-10} rank correlation with the planted pattern {finding.Fit:F2}; {finding.FitAsWell} of {finding.Swaps} ways to swap the figures fit as well");
        }

        to.WriteLine();
        to.WriteLine($"  Report: {Path.Combine(directory, "report.html")} (opens offline); tables: {Path.Combine(directory, "tables")}");
    }
}
