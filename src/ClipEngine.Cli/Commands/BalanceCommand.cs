using System.CommandLine;
using System.Globalization;
using ClipEngine.Audit.Balancing;
using ClipEngine.Audit.Results;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>balance</c>: weights for a table of examples that take representation and association bias out of it.</summary>
internal static class BalanceCommand
{
    public static Command Create()
    {
        Argument<string[]> table = new Argument<string[]>("TABLE") { Description = "A CSV, Parquet or safetensors file, or webdataset shards (.tar, or a folder of them) with key.json; one example a row, attributes from 0 to 1, or missing.", Arity = ArgumentArity.OneOrMore }.ReadsFiles();
        var sensitive = new Option<string>("--sensitive") { Description = "Columns of sensitive attributes, with commas between them; groups may overlap.", Required = true };
        var labels = new Option<string>("--labels") { Description = "Columns of labels (and of proxies of them), with commas between them.", Required = true };
        var target = new Option<string>("--target") { Description = "The wanted share of each sensitive attribute, with commas between them.", Required = true };
        var association = new Option<double>("--eps-d") { Description = "Tolerance of associations.", DefaultValueFactory = _ => 0.01 }.Between(0, 1);
        var representation = new Option<double>("--eps-r") { Description = "Tolerance of shares.", DefaultValueFactory = _ => 0.01 }.Between(0, 1);
        var rate = new Option<double>("--rate") { Description = "The mean weight, above 0 and below 1.", DefaultValueFactory = _ => 0.9 }.Between(1e-6, 1 - 1e-6);
        var enforcement = new Option<double>("--enforcement") { Description = "The price of a violation: higher values keep to the targets more strictly.", DefaultValueFactory = _ => 10 }.Between(1e-9, 1e9);
        var utility = new Option<string?>("--utility") { Description = "Column of utilities above 0: how dear it is to change a row's weight. Default: 1 everywhere." };
        var exact = new Option<bool>("--exact") { Description = "Solve until weights are exact to 1e-6; otherwise to about 1e-4, with fewer passes." };
        var list = new Option<bool>("--training-list") { Description = "Also write repeats.csv, how often each row is to be seen, and for OpenCLIP's trainer train.csv (of tables) or train/*.tar with sizes.json (of shards)." };
        var seed = new Option<long>("--seed") { Description = "Seed of the training list.", DefaultValueFactory = _ => 1 };
        var output = new Option<string>("--out") { Description = "Folder for weights.csv (row, q), balance.json, tables/*.csv and report.html.", Required = true }.WritesFolder();
        var json = new Option<bool>("--json") { Description = "Write the summary as JSON to standard output." };
        var command = new Command("balance", "Weights for a table of examples that take representation and association bias out of it (M4 of \"CLIP the Bias\").");
        command.Arguments.Add(table);
        foreach (Option option in new Option[] { sensitive, labels, target, association, representation, rate, enforcement, utility, exact, list, seed, output, json })
            command.Options.Add(option);
        command.SetAction((parsed, cancellation) =>
        {
            string[] labelNames = Names("--labels", parsed.GetValue(labels)!);
            var request = new BalanceRequest
            {
                Tables = parsed.GetValue(table)!,
                Sensitive = Names("--sensitive", parsed.GetValue(sensitive)!),
                Labels = labelNames,
                Problem = new BalanceProblem
                {
                    Target = Numbers("--target", parsed.GetValue(target)!),
                    LabelCount = labelNames.Length,
                    AssociationTolerance = parsed.GetValue(association),
                    RepresentationTolerance = parsed.GetValue(representation),
                    Rate = parsed.GetValue(rate),
                    Enforcement = parsed.GetValue(enforcement),
                },
                Utility = parsed.GetValue(utility),
                IsExact = parsed.GetValue(exact),
                WritesTrainingList = parsed.GetValue(list),
                Seed = parsed.GetValue(seed),
            };
            string directory = parsed.GetValue(output)!;
            BalanceResult result = BalanceRun.Run(request, directory, cancellation);
            Console.Error.WriteLine($"{result.Rows} rows: representation bias {Value(result.Before.RepresentationBias)} to {Value(result.After.RepresentationBias)}, association bias {Value(result.Before.AssociationBias)} to {Value(result.After.AssociationBias)}, effective rows {result.After.EffectiveRows.ToString("0", CultureInfo.InvariantCulture)}; weights.csv and report.html are in {directory}");
            Console.Error.WriteLine(result.IsMet ? result.Verdict : $"warning: {result.Verdict}");
            if (parsed.GetValue(json))
                Console.Out.WriteLine(BalanceRun.ToJson(request, result));
            return Task.FromResult(CommandRunner.Done);
        });
        return command;
    }

    private static string Value(Estimate estimate) => estimate.Value?.ToString("0.0000", CultureInfo.InvariantCulture) ?? "undefined";

    private static string[] Names(string option, string text)
    {
        string[] names = text.Split(',', StringSplitOptions.TrimEntries);
        if (names.Any(name => name.Length == 0))
            throw new BadInputException(option, $"'{BadInputException.Escape(text, 60)}' has an empty name.", "Name columns with commas between them.");
        return names;
    }

    private static double[] Numbers(string option, string text) =>
        [.. Names(option, text).Select(word => NumberText.TryParse(word, out double value) && value is >= 0 and <= 1
            ? value
            : throw new BadInputException(option, $"'{BadInputException.Escape(word, 60)}' is no share.", "Name shares from 0 to 1 with commas between them, for example 0.5,0.5."))];
}
