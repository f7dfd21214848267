using System.CommandLine;
using System.Globalization;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Verification;
using ClipEngine.Cli.Arguments;

namespace ClipEngine.Cli.Commands;

/// <summary>The verbs of <c>audit</c> that read what is there: <c>report</c>, <c>verify</c>, <c>compare</c>, <c>frequencies</c>, <c>spec</c>.</summary>
internal static class AuditReadCommands
{
    public static Command Spec()
    {
        var command = new Command("spec", "Print the published study's spec: 14 models, two label sets, its pairings.");
        command.SetAction(_ =>
        {
            using Stream output = Console.OpenStandardOutput();
            output.Write(SpecReader.PaperText());
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
