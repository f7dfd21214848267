using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>audit scores</c>: audits one matrix of probabilities that was computed elsewhere.</summary>
internal static class AuditScoresCommand
{
    public static Command Create()
    {
        var softmax = new Option<string>("--softmax") { Description = "Probabilities, one row an image, one column a label; rows add up to one. A matrix (.npy) in the metadata's order, or a table (.csv, .tsv, .parquet) with the metadata's id column and a column named after each label.", Required = true }.ReadsFile();
        var metadata = new Option<string>("--metadata") { Description = "CSV with a row for each image.", Required = true }.ReadsText();
        var group = new Option<string>("--group") { Description = "Column that groups are made of; several with commas between them for their combinations.", Required = true };
        var labels = new Option<string>("--labels") { Description = "Labels of the columns: a shipped set (human, racegender), " + LabelList.Description + ".", Required = true };
        var output = new Option<string>("--out") { Description = "Folder for tables/*.csv, results.json, figures/*.svg and report.html.", Required = true }.WritesFolder();
        var id = new Option<string?>("--id") { Description = "Column with the image's id. Default: the first." };
        var person = new Option<string?>("--person") { Description = "Column that says whom an image shows. Default: every image is another person." };
        var file = new Option<string?>("--file") { Description = "Column with the image's file name. Default: the id." };
        var expect = new Option<string[]>("--expect") { Description = "GROUP=label, once for each label: the labels name the groups, a confusion matrix is made." };
        var factors = new Option<string[]>("--factor") { Description = "Metadata column by which a wrong group is wrong (race, gender); may be repeated." };
        var merge = new Option<string[]>("--merge") { Description = "NAME=label,label: a merged label, any of these; may be repeated." };
        var names = new Option<string[]>("--group-name") { Description = "KEY=NAME: what readers call a group; may be repeated." };
        var families = new Option<string?>("--families") { Description = "JSON file { \"families\": [...] } with families of gaps as in a spec; their experiment is 'labels', or the shipped set's name." }.ReadsFile();
        var offensive = new Option<bool>("--offensive") { Description = "The labels insult or dehumanise people: the report begins with a note on what they are there for. Shipped label sets say so themselves." };
        var model = new Option<string?>("--model") { Description = "What the model is called in the results. Default: the matrix's file name." }.IsText();
        var scale = new Option<double?>("--scale") { Description = "The scale that the softmax was made with (the published matrices: 100); margins in cosine need it." }.Between(1e-6, 1e6);
        var error = new Option<double?>("--cosine-error") { Description = "Stated largest error of a cosine: reports which labels it could flip." }.Between(1e-12, 0.999);
        var reference = new Option<string?>("--reference") { Description = "Group that all others are compared with, label by label: differences, ratios and corrected tests, one family." };
        Option<string?> weighting = new Option<string?>("--weighting") { Description = "What counts the same: person (the default), with however many images, or image." }.OneOf("person", "image");
        var weight = new Option<string?>("--weight") { Description = "Column with each image's weight (survey, post-stratification): all numbers are then weighted. Rows of weight 0 are left out." };
        var bins = new Option<string[]>("--bins") { Description = "COLUMN=30,50 or COLUMN=quantiles:4: how a column of numbers becomes groups; may be repeated." };
        var resamples = new Option<int>("--resamples") { Description = "Bootstrap resamples.", DefaultValueFactory = _ => 9999 }.Between(99, 1_000_000);
        var seed = new Option<long>("--seed") { Description = "Seed of the bootstrap.", DefaultValueFactory = _ => new IntervalOptions().Seed };
        var command = new Command("scores", "Audit a matrix of probabilities that was computed elsewhere.");
        foreach (Option option in new Option[] { softmax, metadata, group, labels, output, id, person, file, expect, factors, merge, names, reference, families, offensive, weighting, weight, bins, model, scale, error, resamples, seed })
            command.Options.Add(option);
        command.SetAction(parsed =>
        {
            LabelExperiment experiment = LabelSets.Resolve(parsed.GetValue(labels)!);
            if (parsed.GetValue(expect) is { Length: > 0 } pairs)
                experiment = LabelSets.WithGroups(experiment, pairs);
            if (parsed.GetValue(factors) is { Length: > 0 } named)
                experiment = experiment with { FactorAttributes = named };
            if (parsed.GetValue(merge) is { Length: > 0 } merged)
                experiment = LabelSets.WithMerged(experiment, merged);
            if (parsed.GetValue(offensive))
                experiment = experiment with { IsOffensive = true };
            string directory = parsed.GetValue(output)!;
            ResultDirectory.RefuseForeign(directory);
            InputFile[] others = [.. parsed.GetValue(families) is { } list ? [InputFiles.Describe("families", list)] : Array.Empty<InputFile>(), .. FilePlace.IsFile(parsed.GetValue(labels)!) ? [InputFiles.Describe("labels", parsed.GetValue(labels)!)] : Array.Empty<InputFile>()];
            ResultDirectory.RefuseInputs(directory, new[] { parsed.GetValue(softmax), parsed.GetValue(metadata), parsed.GetValue(families), parsed.GetValue(labels) }.OfType<string>().Where(FilePlace.IsFile));
            using FolderLock held = ResultDirectory.Hold(directory);
            AuditResult result = ScoreAudit.Run(new ScoreAuditRequest
            {
                SoftmaxFile = parsed.GetValue(softmax)!,
                MetadataFile = parsed.GetValue(metadata)!,
                Columns = new ProbeColumns
                {
                    Group = parsed.GetValue(group)!.Split(',', StringSplitOptions.TrimEntries),
                    Bins = ReadBins(parsed.GetValue(bins) ?? []),
                    Weighting = parsed.GetValue(weighting) == "image" ? Weighting.Image : Weighting.Person,
                    Weight = parsed.GetValue(weight),
                    Reference = parsed.GetValue(reference),
                    Id = parsed.GetValue(id),
                    Person = parsed.GetValue(person),
                    File = parsed.GetValue(file),
                },
                Experiment = experiment,
                Families =
                [
                    .. parsed.GetValue(reference) is { } against
                        ? [new FamilySpec { Name = $"against {against}", Experiment = experiment.Key, Labels = [.. experiment.Labels.Select(label => label.Text), .. experiment.MergedLabels.Select(merged => merged.Name)], Reference = against }]
                        : Array.Empty<FamilySpec>(),
                    .. parsed.GetValue(families) is { } declared ? FamilyList.Read(declared) : [],
                ],
                GroupNames = ReadNames(parsed.GetValue(names) ?? []),
                Command = Command(parsed, command),
                OtherInputs = others,
                Model = parsed.GetValue(model),
                Scale = parsed.GetValue(scale),
                CosineError = parsed.GetValue(error),
                Intervals = new IntervalOptions { Resamples = parsed.GetValue(resamples), Seed = parsed.GetValue(seed) },
            });
            ScoreAudit.Write(result, directory, new ReportWriter());
            Console.Error.WriteLine($"{result.Probe.Images.Count} images in {result.Probe.Groups.Count} groups, {experiment.Source}; tables, results.json and report.html are in {directory}");
            foreach (string warning in result.Probe.Warnings)
                Console.Error.WriteLine($"warning: {warning}");
            return CommandRunner.Done;
        });
        return command;
    }

    /// <summary>The command as it was given, but files by their names alone: a run's bytes do not depend on where its inputs lie.</summary>
    private static string Command(ParseResult parsed, Command command)
    {
        var words = new List<string> { "clipengine", "audit", "scores" };
        foreach (Option option in command.Options)
        {
            if (parsed.GetResult(option) is not { Implicit: false } given)
                continue;
            if (given.Tokens.Count == 0)
                words.Add(option.Name);
            foreach (Token token in given.Tokens)
            {
                words.Add(option.Name);
                words.Add(option.Name == "--out" ? "DIR" : Path.IsPathRooted(token.Value) || FilePlace.IsFile(token.Value) ? Path.GetFileName(token.Value) : token.Value);
            }
        }

        return string.Join(' ', words.Select(static word => word.Length > 0 && word.All(static letter => char.IsAsciiLetterOrDigit(letter) || "-_./:=,+@%".Contains(letter, StringComparison.Ordinal)) ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'"));
    }

    private static Dictionary<string, string> ReadNames(string[] pairs)
    {
        var names = new Dictionary<string, string>();
        foreach (string pair in pairs)
        {
            int split = pair.IndexOf('=', StringComparison.Ordinal);
            if (split <= 0 || string.IsNullOrWhiteSpace(pair[(split + 1)..]) || pair.Any(char.IsControl) || !names.TryAdd(pair[..split].Trim(), pair[(split + 1)..].Trim()))
                throw new BadInputException($"--group-name {BadInputException.Escape(pair, 60)}", "KEY=NAME was expected, each group once.", "Write for example: --group-name \"BM=black men\"");
        }

        return names;
    }

    private static Dictionary<string, ColumnBins> ReadBins(string[] texts)
    {
        var bins = new Dictionary<string, ColumnBins>();
        foreach (string text in texts)
        {
            (string column, ColumnBins own) = ReadBins(text);
            if (!bins.TryAdd(column, own))
                throw new BadInputException($"--bins {BadInputException.Escape(text, 60)}", $"the column '{BadInputException.Escape(column, 60)}' has bins already.", "Name each column once, with all its edges.");
        }

        return bins;
    }

    private static KeyValuePair<string, ColumnBins> ReadBins(string text)
    {
        int split = text.LastIndexOf('=');
        string[] parts = split > 0 ? text[(split + 1)..].Split(',', StringSplitOptions.TrimEntries) : [];
        if (parts is [var only] && only.StartsWith("quantiles:", StringComparison.Ordinal) && int.TryParse(only["quantiles:".Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int count))
            return new(text[..split], new ColumnBins { Quantiles = count });
        var edges = new List<double>();
        foreach (string part in parts)
        {
            if (!NumberText.TryParse(part, out double edge))
                edges.Clear();
            else
                edges.Add(edge);
        }

        return edges.Count > 0 && edges.Count == parts.Length
            ? new(text[..split], new ColumnBins { Edges = edges })
            : throw new BadInputException($"--bins {BadInputException.Escape(text, 60)}", "COLUMN=30,50 or COLUMN=quantiles:4 was expected.");
    }
}
