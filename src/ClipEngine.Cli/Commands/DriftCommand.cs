using System.CommandLine;
using System.Globalization;
using ClipEngine.Audit.Drift;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Arguments;

namespace ClipEngine.Cli.Commands;

/// <summary><c>drift</c>: what a model associates with concepts, before and after it was fine-tuned.</summary>
internal static class DriftCommand
{
    public static Command Create()
    {
        Argument<string?> before = new Argument<string?>("BEFORE") { Description = "The model before, as 'embed' takes it, or its image features of the probe (.npy, .safetensors). Left out where the spec names pairs of models.", Arity = ArgumentArity.ZeroOrOne }.ReadsModel();
        Argument<string?> after = new Argument<string?>("AFTER") { Description = "The model after, or its features.", Arity = ArgumentArity.ZeroOrOne }.ReadsModel();
        var probe = new Option<string>("--probe") { Description = "Spec of the image sets (JSON; docs/bias.md lists its keys).", Required = true }.ReadsFile();
        var output = new Option<string>("--out") { Description = "Folder for drift.json, tables/*.csv, figures/*.svg and report.html.", Required = true }.WritesFolder();
        Option<string> device = ModelArguments.DeviceOption();
        var threads = new Option<int?>("--threads") { Description = "Processor threads." }.Between(1, ModelArguments.MostThreads);
        var command = new Command("drift", "What a model associates with concepts, before and after it was fine-tuned.");
        command.Arguments.Add(before);
        command.Arguments.Add(after);
        foreach (Option option in new Option[] { probe, output, device, threads })
            command.Options.Add(option);
        command.SetAction((parsed, cancellation) =>
        {
            string directory = parsed.GetValue(output)!;
            var source = new ClipProbeModels(parsed.GetValue(device)!, parsed.GetValue(threads));
            (string? first, string? second) = (parsed.GetValue(before), parsed.GetValue(after));
            if (first is not null && second is null)
                throw new BadInputException("AFTER", "is missing: one model alone was named.", "Name both, or none where the spec names pairs.");
            if (first is null)
            {
                DriftStudyResult study = DriftRun.RunPairs(parsed.GetValue(probe)!, directory, source, line => Console.Error.WriteLine(line), cancellation);
                foreach (PairStatistic entry in study.Statistics.Where(entry => entry.Statistic == DriftStudy.Statistics[^1]))
                    Console.Error.WriteLine($"{BadInputException.Escape(entry.Pair, 80)}, {entry.Measure}: {entry.Statistic} {Value(entry.Value)}");
                Console.Error.WriteLine($"tables and report.html are in {directory}, and a folder for each pair");
                return Task.FromResult(CommandRunner.Done);
            }

            DriftResult result = DriftRun.Run(first, second!, parsed.GetValue(probe)!, directory, source, line => Console.Error.WriteLine(line), cancellation);
            foreach (DriftMeasureResult measure in result.Measures)
                Console.Error.WriteLine($"{measure.Measure}: {measure.Concepts.Count} concepts, same sign {Value(measure.SignAgreement)}, Pearson {Value(measure.Pearson)}, slope {Value(measure.Slope)}");
            Console.Error.WriteLine($"tables and report.html are in {directory}");
            return Task.FromResult(CommandRunner.Done);
        });
        return command;
    }

    private static string Value(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : string.Create(CultureInfo.InvariantCulture, $"{value:0.00}{(estimate.Interval is { } interval ? string.Create(CultureInfo.InvariantCulture, $" ({interval.Lower:0.00} to {interval.Upper:0.00})") : "")}");
}
