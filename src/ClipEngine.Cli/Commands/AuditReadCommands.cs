using System.CommandLine;
using System.Globalization;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Verification;
using ClipEngine.Cli.Arguments;

namespace ClipEngine.Cli.Commands;

/// <summary>The verbs of <c>audit</c> that read what is there: <c>report</c>, <c>verify</c>, <c>check</c>, <c>export</c>, <c>compare</c>, <c>frequencies</c>, <c>spec</c>.</summary>
internal static class AuditReadCommands
{
    public static Command Spec()
    {
        Option<string?> from = new Option<string?>("--from") { Description = "A CSV file with a row for each image: print a spec to begin with, made from its columns." }.ReadsFile();
        var schema = new Option<bool>("--schema") { Description = "Print the JSON Schema of specs, for editors." };
        var command = new Command("spec", "Print the published study's spec: 14 models, two label sets, its pairings; or one to begin with; or the schema.");
        command.Options.Add(from);
        command.Options.Add(schema);
        command.SetAction(parsed =>
        {
            string? table = parsed.GetValue(from);
            if (table is not null && parsed.GetValue(schema))
                throw new BadInputException("--from", "cannot be given together with --schema.", "Ask for one of the two.");
            using Stream output = Console.OpenStandardOutput();
            output.Write(parsed.GetValue(schema) ? SpecSchema.Text() : table is null ? SpecReader.PaperText() : StarterSpec.From(table));
            return CommandRunner.Done;
        });
        return command;
    }

    public static Command Check()
    {
        var directory = new Argument<string>("DIR") { Description = "The folder of a finished audit." }.ReadsFolder();
        var bounds = new Option<string[]>("--bound") { Description = "A bound: rate:LABEL<=NUMBER, gap:LABEL<=NUMBER or ratio:LABEL>=NUMBER; several times for several.", Required = true };
        Option<bool> json = Json();
        var command = new Command("check", "Hold an audit against declared bounds, for pipelines. Exit code 3 where one is broken.");
        command.Arguments.Add(directory);
        command.Options.Add(bounds);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            AuditBound[] declared = [.. parsed.GetValue(bounds)!.Select(AuditBound.Parse)];
            AuditResult result = ResultDirectory.Read(parsed.GetValue(directory)!);
            (AuditBound Bound, BoundFinding Finding)[] findings = [.. declared.SelectMany(bound => bound.Check(result), static (bound, finding) => (bound, finding))];
            if (parsed.GetValue(json))
                Write(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes([.. findings.Select(static entry => new CheckedBound(entry.Bound.ToString(), entry.Finding))], VerificationJson.Default.IReadOnlyListCheckedBound));
            foreach ((AuditBound bound, BoundFinding finding) in findings.Where(entry => !entry.Finding.IsKept))
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"broken: {BadInputException.Escape(bound.ToString(), 200)}: {finding.Found:0.####} for {BadInputException.Escape(finding.Groups, 200)} ({BadInputException.Escape(finding.Model, 200)}, {finding.Experiment})"));
            int broken = findings.Count(static entry => !entry.Finding.IsKept);
            Console.Error.WriteLine($"{findings.Length - broken} of {findings.Length} checks hold");
            return broken == 0 ? CommandRunner.Done : CommandRunner.BoundBroken;
        });
        return command;
    }

    public static Command Export()
    {
        var directory = new Argument<string>("DIR") { Description = "The folder of a finished audit." }.ReadsFolder();
        Option<string?> metadata = new Option<string?>("--metadata") { Description = "CSV whose columns are added to every image, joined by id." }.ReadsFile();
        var id = new Option<string?>("--id") { Description = "Its column with the image's id. Default: the first." };
        Option<string> output = new Option<string>("--out") { Description = "The table: .csv, .parquet or .arrow.", Required = true }.WritesFile();
        var command = new Command("export", "Write an audit as one long table, image x model x experiment x label, with probabilities.");
        command.Arguments.Add(directory);
        foreach (Option option in (Option[])[metadata, id, output])
            command.Options.Add(option);
        command.SetAction(parsed =>
        {
            LongTable.Write(parsed.GetValue(directory)!, parsed.GetValue(output)!, parsed.GetValue(metadata), parsed.GetValue(id));
            return CommandRunner.Done;
        });
        return command;
    }

    public static Command Report()
    {
        var directory = new Argument<string>("DIR") { Description = "The folder of a finished audit." }.ReadsFolder();
        var command = new Command("report", "Make report.html and the figures again from a folder's results.");
        command.Arguments.Add(directory);
        command.SetAction(parsed =>
        {
            string path = parsed.GetValue(directory)!;
            new ReportWriter().Write(ResultDirectory.Read(path), path);
            return CommandRunner.Done;
        });
        return command;
    }

    public static Command Verify()
    {
        var directory = new Argument<string>("DIR") { Description = "The folder of a finished audit." }.ReadsFolder();
        var expected = new Argument<string>("EXPECTED.json") { Description = "Published values." }.ReadsFile();
        Option<bool> json = Json();
        var command = new Command("verify", "Hold an audit against published values. Exit code 1 where something does not reproduce.");
        command.Arguments.Add(directory);
        command.Arguments.Add(expected);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            IReadOnlyList<VerifiedValue> values = PublishedValues.Verify(ResultDirectory.Read(parsed.GetValue(directory)!), parsed.GetValue(expected)!);
            bool asJson = parsed.GetValue(json);
            if (asJson)
                Write(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(values, VerificationJson.Default.IReadOnlyListVerifiedValue));
            foreach (VerifiedValue value in values.Where(value => !asJson && value.Verdict != Verdict.Matches))
            {
                string found = value.Measured is double measured
                    ? $"published {value.Published}, measured {measured:0.######}, apart {measured - double.Parse(value.Published, CultureInfo.InvariantCulture):+0.######;-0.######;0}"
                    : $"published {value.Published}";
                Console.Out.WriteLine($"{Name(value.Verdict)}: {BadInputException.Escape(value.Statement, 300)}: {found}{(value.Remark.Length > 0 ? $" ({value.Remark})" : "")}");
            }

            int Count(Verdict verdict) => values.Count(value => value.Verdict == verdict);
            Console.Error.WriteLine($"{Count(Verdict.Matches)} of {values.Count} published values match, {Count(Verdict.Differs)} differ, {Count(Verdict.NotInRun)} are not in the run, {Count(Verdict.NotUnderstood)} could not be read");
            return Count(Verdict.Matches) == values.Count ? CommandRunner.Done : CommandRunner.Failed;
        });
        return command;
    }

    public static Command Compare()
    {
        var first = new Argument<string>("FIRST") { Description = "The folder of the audit that is compared with." }.ReadsFolder();
        var second = new Argument<string>("SECOND") { Description = "The folder of the audit that is compared." }.ReadsFolder();
        Option<bool> json = Json();
        var command = new Command("compare", "What changes in an audit's own figures between two runs on the same probe.");
        command.Arguments.Add(first);
        command.Arguments.Add(second);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            IReadOnlyList<ModelChange> changes = RunComparison.Compare(ResultDirectory.Read(parsed.GetValue(first)!), ResultDirectory.Read(parsed.GetValue(second)!));
            if (parsed.GetValue(json))
            {
                Write(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(changes, VerificationJson.Default.IReadOnlyListModelChange));
                return CommandRunner.Done;
            }

            foreach (ModelChange change in changes)
            {
                Console.Out.WriteLine($"{change.Experiment}: {change.First} to {change.Second}");
                Console.Out.WriteLine($"  same label for {Percent(change.SameLabel.Value)} of {change.SameLabel.Count} images{Ends(change.SameLabel)}; largest change of a probability {change.LargestChange:0.######}");
                foreach (RateChange rate in change.Rates.Where(rate => rate.McNemar.OnlyFirst + rate.McNemar.OnlySecond > 0))
                {
                    Console.Out.WriteLine($"  {rate.Label}, {rate.Group} (n = {rate.Difference.Count}): {Percent(rate.First)} to {Percent(rate.Second)}, change {Percent(rate.Difference.Value)}{Ends(rate.Difference)}; lost {rate.McNemar.OnlyFirst}, gained {rate.McNemar.OnlySecond}, McNemar p = {rate.McNemar.PValue:0.####}");
                }
            }

            return CommandRunner.Done;
        });
        return command;
    }

    public static Command Frequencies()
    {
        var tables = new Argument<string[]>("TABLE.csv") { Description = "Tables of argmax percentages, as published: model_name, dataset_name, a column for each label.", Arity = ArgumentArity.OneOrMore }.ReadsText();
        Option<bool> json = Json();
        var command = new Command("frequencies", "Read published tables of argmax percentages, and what the published pairings come to in them; refuse one whose rows do not add up to 100.");
        command.Arguments.Add(tables);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            FrequencyTable[] read = [.. parsed.GetValue(tables)!.Select(FrequencyTable.Read)];
            IReadOnlyList<ComparisonSpec> pairings = SpecReader.Paper().Comparisons;
            FrequencyReport[] reports = [.. read.Select(table => new FrequencyReport(Path.GetFileName(table.Path), table.Labels, table.Rows, table.Compare(pairings)))];
            if (parsed.GetValue(json))
            {
                Write(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(reports, VerificationJson.Default.FrequencyReportArray));
                return CommandRunner.Done;
            }

            foreach (FrequencyReport report in reports)
            {
                Console.Out.WriteLine($"{report.Table}: {report.Rows.Count} models, {report.Labels.Count} labels, every row adds up to 100");
                foreach (FrequencyRow row in report.Rows)
                    Console.Out.WriteLine($"  {row.Model}: {string.Join(", ", report.Labels.Zip(row.Percent).Where(cell => cell.Second > 0).Select(cell => $"{cell.First} {cell.Second:0.0}"))}");
                foreach (FrequencyDifference difference in report.Differences.Where(difference => difference.Points != 0))
                    Console.Out.WriteLine($"  {difference.Comparison}, {difference.Label}: {difference.First:0.0} to {difference.Second:0.0}, {difference.Points:+0.0;-0.0} points");
            }

            return CommandRunner.Done;
        });
        return command;
    }

    private static Option<bool> Json() => new("--json") { Description = "Write JSON to standard output." };

    private static string Name(Verdict verdict) => verdict switch
    {
        Verdict.Differs => "differs",
        Verdict.NotInRun => "not in the run",
        Verdict.NotUnderstood => "not understood",
        _ => "matches",
    };

    private static string Percent(double? share) => share is double value ? $"{100 * value:0.0} %" : "undefined";

    private static string Ends(Estimate estimate) => estimate.Interval is { } interval ? $" ({100 * interval.Lower:0.0} to {100 * interval.Upper:0.0})" : "";

    private static void Write(byte[] json)
    {
        using Stream output = Console.OpenStandardOutput();
        output.Write(json);
        output.Write("\n"u8);
    }
}
