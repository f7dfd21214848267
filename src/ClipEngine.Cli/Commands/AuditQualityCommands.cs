using System.CommandLine;
using System.Globalization;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Quality;
using ClipEngine.Audit.Results;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary>The verbs of <c>audit</c> that measure what bias is weighed against: <c>accuracy</c>, <c>retrieval</c>, and <c>curation</c> of training pairs.</summary>
internal static class AuditQualityCommands
{
    public static Command Accuracy()
    {
        Option<string> classes = new Option<string>("--classes") { Description = "CSV with a row for each text feature: its class. Several sentences of a class are averaged, as open_clip does with templates.", Required = true }.ReadsFile();
        var classColumn = new Option<string>("--class-column") { Description = "Its column with the class.", DefaultValueFactory = _ => "class" };
        var truth = new Option<string>("--truth") { Description = "The metadata's column with the class of an image.", Required = true };
        return Create("accuracy", "Zero-shot accuracy (top-1, top-5) from features: all, by class and by group.", [classes, classColumn, truth], (parsed, inputs, directory) =>
            Say(QualityRun.Accuracy(inputs, parsed.GetValue(classes)!, parsed.GetValue(classColumn)!, parsed.GetValue(truth)!, directory)));
    }

    public static Command Retrieval()
    {
        Option<string> captions = new Option<string>("--captions") { Description = "CSV with a row for each text feature: the id of its image. An image may have several sentences.", Required = true }.ReadsFile();
        var imageColumn = new Option<string>("--image-column") { Description = "Its column with the image's id.", DefaultValueFactory = _ => "image" };
        return Create("retrieval", "Image-text retrieval (recall at 1, 5, 10 both ways) from features: all and by group.", [captions, imageColumn], (parsed, inputs, directory) =>
            Say(QualityRun.Retrieval(inputs, parsed.GetValue(captions)!, parsed.GetValue(imageColumn)!, directory)));
    }

    public static Command Curation()
    {
        var thresholds = new Option<string>("--thresholds") { Description = "Thresholds to report in full, with commas between them.", DefaultValueFactory = _ => "0.28,0.3" };
        return Create("curation", "What filtering image-text pairs by similarity keeps of each group; row i of the images goes with row i of the texts.", [thresholds], (parsed, inputs, directory) =>
        {
            CurationResult result = QualityRun.Curation(inputs, Thresholds(parsed.GetValue(thresholds)!), directory);
            foreach (CurationShare share in result.Kept)
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"at {share.Threshold}: {(share.Group.Length == 0 ? "all" : BadInputException.Escape(share.Group, 60))} {Value(share.Kept)}"));
        });
    }

    private static Command Create(string name, string description, Option[] own, Action<ParseResult, QualityInputs, string> run)
    {
        Option<string> images = new Option<string>("--images") { Description = "Image features, .npy or .safetensors, a row for each row of the metadata.", Required = true }.ReadsFile();
        Option<string> texts = new Option<string>("--texts") { Description = "Text features of the same model.", Required = true }.ReadsFile();
        Option<string> metadata = new Option<string>("--metadata") { Description = "CSV with a row for each image.", Required = true }.ReadsFile();
        var group = new Option<string>("--group") { Description = "Column that groups are made of; several with commas between them for their combinations.", Required = true };
        var id = new Option<string?>("--id") { Description = "Column with the image's id. Default: the first." };
        var person = new Option<string?>("--person") { Description = "Column that says whom an image shows. Default: every image is another person." };
        Option<string> output = new Option<string>("--out") { Description = "Folder for tables/*.csv, JSON and report.html.", Required = true }.WritesFolder();
        var command = new Command(name, description);
        foreach (Option option in (Option[])[images, texts, metadata, group, id, person, .. own, output])
            command.Options.Add(option);
        command.SetAction(parsed =>
        {
            string directory = parsed.GetValue(output)!;
            run(parsed, new QualityInputs
            {
                ImageFeatures = parsed.GetValue(images)!,
                TextFeatures = parsed.GetValue(texts)!,
                Metadata = parsed.GetValue(metadata)!,
                Columns = new ProbeColumns { Group = parsed.GetValue(group)!.Split(',', StringSplitOptions.TrimEntries), Id = parsed.GetValue(id), Person = parsed.GetValue(person) },
            }, directory);
            Console.Error.WriteLine($"tables and report.html are in {directory}");
            return CommandRunner.Done;
        });
        return command;
    }

    private static void Say(QualityResult result)
    {
        foreach (QualityRate rate in result.Rates.Where(rate => rate.Part.Length == 0))
            Console.Error.WriteLine($"{rate.Measure}: {Value(rate.Rate)}");
    }

    private static string Value(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : string.Create(CultureInfo.InvariantCulture, $"{100 * value:0.0} %{(estimate.Interval is { } interval ? string.Create(CultureInfo.InvariantCulture, $" ({100 * interval.Lower:0.0} to {100 * interval.Upper:0.0})") : "")}");

    private static double[] Thresholds(string text) =>
        [.. text.Split(',', StringSplitOptions.TrimEntries).Select(word => NumberText.TryParse(word, out double value) && value is >= -1 and <= 1
            ? value
            : throw new BadInputException("--thresholds", $"'{BadInputException.Escape(word, 60)}' is no cosine.", "Name numbers from -1 to 1 with commas between them, for example 0.28,0.3."))];
}
