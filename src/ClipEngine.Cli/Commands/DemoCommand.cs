using System.CommandLine;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Cli.Demo;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine demo</c>: the whole pipeline on what is shipped; says in plain words what was planted and what was found.</summary>
internal static class DemoCommand
{
    private static readonly (string Key, string Description)[] s_models =
    [
        ("small", "8,000 training pairs, a weak association"),
        ("large", "24,000 training pairs, a strong association"),
        ("null", "24,000 training pairs, none"),
    ];

    /// <summary>Where the checkpoints, the pictures and what was planted in them lie.</summary>
    internal static string Data { get; } = Path.Combine(AppContext.BaseDirectory, "Demo", "Data");

    public static Command Create()
    {
        var output = new Option<string>("--out") { Description = "Folder for the report, the tables and the scores.", DefaultValueFactory = _ => "clipengine-demo" };
        var command = new Command("demo", "Run the whole pipeline on the shipped checkpoints and pictures.") { output };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed.GetValue(output)!, cancellation), cancellation));
        return command;
    }

    private static int Run(string directory, CancellationToken cancellation)
    {
        AuditResult result = Audit(directory, cancellation);
        Explain(result, PlantedAssociation.Read(Path.Combine(Data, "planted.csv")), directory, Console.Out);
        return CommandRunner.Done;
    }

    private static AuditResult Audit(string directory, CancellationToken cancellation)
    {
        string manifest = Path.Combine(Data, "probe", "manifest.csv");
        string[] things = ["anchor", "basket", "candle", "drum", "kettle", "ladder"];
        string[] prompts = [.. things.Select(thing => $"a photo of {(thing == "anchor" ? "an" : "a")} {thing}")];
        var columns = new ProbeColumns { Id = "image", File = "image", Group = ["group"] };
        string[] images = [.. ProbeReader.ReadCsv(manifest, columns).Images.Select(image => Path.Combine(Data, "probe", image.File))];
        var experiment = new LabelExperiment
        {
            Key = "things",
            Title = "Six things",
            Labels = [.. things.Zip(prompts, (thing, prompt) => new LabelSummary(thing, prompt, null))],
            Source = "the demo",
        };
        var results = new List<AuditResult>();
        foreach ((string key, string description) in s_models)
        {
            Console.Error.WriteLine($"{key}: embedding {images.Length} pictures and {prompts.Length} sentences ...");
            using ClipModel model = ClipModel.Load(Path.Combine(Data, "models", key));
            FeatureMatrix pictures = model.EncodeImages(images, cancellationToken: cancellation);
            Classification probabilities = model.Classify(pictures, things, model.EncodeTexts(prompts, cancellationToken: cancellation));
            string scores = Path.Combine(directory, "scores", $"{key}.things.softmax.npy");
            float[] values = [.. Enumerable.Range(0, images.Length).SelectMany(image => probabilities[image].ToArray()).Select(value => (float)value)];
            NpyFile.Write<float>(scores, values, images.Length, things.Length);
            AuditResult single = ScoreAudit.Run(new ScoreAuditRequest
            {
                SoftmaxFile = scores,
                MetadataFile = manifest,
                Columns = columns,
                Experiment = experiment,
                Model = key,
                Scale = model.Encoder.LogitScale,
            });
            results.Add(single with { Models = [.. single.Models.Select(entry => entry with { Remarks = [description] })] });
        }

        AuditResult result = results[0] with
        {
            Title = "The demo: an association that was planted, and what an audit finds of it",
            Question = "The tiles around a figure say what a picture stands for; the figure says nothing about it. Does the figure change the label?",
            Models = [.. results.SelectMany(single => single.Models)],
            Experiments = [results[0].Experiments[0] with { Models = [.. results.SelectMany(single => single.Experiments[0].Models)] }],
        };
        ResultDirectory.Write(result, directory);
        new ReportWriter().Write(result, directory);
        return result;
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
            to.WriteLine($"    {finding.Model,-10} the figure moves a label's rate by {100 * finding.FoundPull:F1} points on average ({100 * finding.PlantedPull:F1} were planted);");
            to.WriteLine($"    {"",-10} rank correlation with the planted pattern {finding.Fit:F2}; {finding.FitAsWell} of {finding.Swaps} ways to swap the figures fit as well");
        }

        to.WriteLine();
        to.WriteLine($"  Report: {Path.Combine(directory, "report.html")} (opens offline); tables: {Path.Combine(directory, "tables")}");
    }
}
