using System.Collections.Immutable;
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Native;
using ClipEngine.Scoring;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine score</c>: softmax(scale * I T^T) of stored features.</summary>
internal static class ScoreCommand
{
    /// <summary>Precisions as the command line names them.</summary>
    private static readonly Dictionary<string, SweepPrecision> Precisions = new()
    {
        ["fp32"] = SweepPrecision.Float32,
        ["bf16"] = SweepPrecision.BFloat16,
        ["int16"] = SweepPrecision.Int16,
        ["int8"] = SweepPrecision.Int8,
    };

    public static Command Create()
    {
        Option<string> images = new Option<string>("--images") { Description = "Image features [images, width]: .npy, or safetensors with one matrix.", Required = true }.ReadsFile();
        Option<string> texts = new Option<string>("--texts") { Description = "Text features [texts, width], the columns of the result.", Required = true }.ReadsFile();
        Option<string?> output = new Option<string?>("--out") { Description = "Probabilities [images, texts] as float32 .npy; with --top-k those of the best columns, whose numbers go to NAME.indices.npy." }.WritesFile();
        Option<double> scale = new("--scale") { Description = "What cosines are multiplied with.", DefaultValueFactory = _ => 100 };
        Option<double> bias = new("--bias") { Description = "Added to the scaled cosines; SigLIP's logit_bias." };
        Option<bool> sigmoid = new("--sigmoid") { Description = "A sigmoid of each score instead of a softmax over the columns: SigLIP." };
        Option<int> top = new Option<int>("--top-k") { Description = "Keep only the best K columns of each segment: [images, K], or [images, segments, K] where there are several." }.Between(1, int.MaxValue);
        Option<string?> segments = new("--segments") { Description = "Columns of each softmax, as in 8,8,8; by default one softmax over all." };
        Option<string?> groups = new Option<string?>("--groups") { Description = "The group of each image [images] as an integer .npy, -1 for none; needs --group-table." }.ReadsFile();
        Option<string?> table = new Option<string?>("--group-table") { Description = "A CSV with the argmax count and mean probability of each group and column. Then --out may be left out, and nothing of [images, texts] is held." }.WritesFile();
        Option<string> device = new("--device") { Description = CudaArgument.Description, DefaultValueFactory = _ => "cpu" };
        Option<string> precision = new Option<string>("--precision") { Description = "What scores are multiplied in. Fewer bits are faster: best columns and argmax counts stay those of fp32, and probabilities within a bound that is said.", DefaultValueFactory = _ => "fp32" }.OneOf([.. Precisions.Keys]);
        Option<bool> json = new("--json") { Description = "Say what was done as JSON on standard output." };
        var command = new Command("score", "Score image features against text features.") { images, texts, output, scale, bias, sigmoid, top, segments, groups, table, device, precision, json };
        command.SetAction((parsed, cancellation) => Task.Run(
            () => Run(
                new Request(
                    parsed.GetValue(images)!,
                    parsed.GetValue(texts)!,
                    parsed.GetValue(output),
                    parsed.GetValue(scale),
                    parsed.GetValue(bias),
                    parsed.GetValue(sigmoid),
                    parsed.GetResult(top) is null ? null : parsed.GetValue(top),
                    parsed.GetValue(segments),
                    parsed.GetValue(groups),
                    parsed.GetValue(table),
                    parsed.GetValue(device)!,
                    parsed.GetValue(precision)!),
                parsed.GetValue(json) ? Console.OpenStandardOutput() : null,
                Console.Error,
                cancellation),
            cancellation));
        return command;
    }

    /// <summary>Does the work.</summary>
    /// <param name="request">The options as given.</param>
    /// <param name="summary">Takes the JSON summary; null for none.</param>
    /// <param name="errors">Takes warnings.</param>
    /// <param name="cancellation">Stops between batches.</param>
    internal static int Run(Request request, Stream? summary, TextWriter errors, CancellationToken cancellation)
    {
        CheckOutputs(request);
        using FeatureSource images = FeatureSource.Open(request.Images);
        using FeatureSource texts = FeatureSource.Open(request.Texts);
        if (images.Width != texts.Width)
            throw new BadInputException(request.Images, $"its features are {images.Width} wide and those of {request.Texts} {texts.Width}.", "Both must come from the same model.");
        int[] groups = request.Groups is null ? [] : ReadGroups(request.Groups, images);
        var options = new ProbeSweepOptions
        {
            Scale = Finite("--scale", request.Scale),
            Bias = Finite("--bias", request.Bias),
            Activation = request.Sigmoid ? SweepActivation.Sigmoid : SweepActivation.Softmax,
            SegmentLengths = Segments(request.Segments, texts),
            TopCount = request.Output is null ? 0 : request.TopCount ?? 0,
            Probabilities = request.Output is not null && request.TopCount is null,
            GroupCount = request.GroupTable is null ? 0 : groups.DefaultIfEmpty(0).Max() + 1,
            Precision = Precisions[request.Precision],
        };
        if (options.TopCount > options.SegmentLengths.Min())
            throw new BadInputException("--top-k", $"expected at most {options.SegmentLengths.Min()}, the columns of the shortest segment; found {options.TopCount}.");
        if (request.Device.StartsWith("cuda", StringComparison.Ordinal) && options.Precision != SweepPrecision.Float32)
            throw new BadInputException("--precision", $"{request.Precision} is multiplied on the processor, and --device asks for {BadInputException.Escape(request.Device, 40)}.", "Leave one of the two out; on a GPU features stored in 16 bits use its tensor cores.");
        using CudaDevices? devices = CudaArgument.Open(request.Device);
        WarnOfLengths(images, errors);
        WarnOfLengths(texts, errors);

        var watch = Stopwatch.StartNew();
        using var sweep = new ProbeSweep(texts, options, devices);
        SweepTotals totals = Sweep(sweep, images, groups, request, cancellation);
        if (options.Precision != SweepPrecision.Float32)
            SayPrecision(request, sweep, totals, errors);
        if (request.GroupTable is not null)
            WriteTable(request.GroupTable, sweep, totals);
        if (summary is not null)
            WriteSummary(summary, request, sweep, totals, images, devices, watch.Elapsed);
        return CommandRunner.Done;
    }

    private static SweepTotals Sweep(ProbeSweep sweep, FeatureSource images, int[] groups, Request request, CancellationToken cancellation)
    {
        SweepTotals? totals = null;
        using var progress = new Progress("images") { Total = images.Rows };
        void Score(SweepRowHandler? rows)
        {
            totals = sweep.Run(new ProbeSweepInput { Images = images, Groups = groups, Rows = rows, Progress = progress }, cancellation);
        }

        if (request.Output is null)
        {
            Score(null);
        }
        else if (request.TopCount is null)
        {
            NpyFile.Write(request.Output, ElementType.Float32, [images.Rows, sweep.PromptCount], writer =>
                Score((in SweepRows rows) => writer.Append(rows.Probabilities)));
        }
        else
        {
            ImmutableArray<long> shape = sweep.SegmentLengths.Length == 1
                ? [images.Rows, request.TopCount.Value]
                : [images.Rows, sweep.SegmentLengths.Length, request.TopCount.Value];
            NpyFile.Write(request.Output, ElementType.Float32, shape, probabilities =>
                NpyFile.Write(IndexFile(request.Output), ElementType.Int32, shape, columns =>
                    Score((in SweepRows rows) =>
                    {
                        probabilities.Append(rows.TopProbabilities);
                        columns.Append(rows.TopColumns);
                    })));
        }

        return totals!;
    }

    private static string IndexFile(string output) => Path.ChangeExtension(output, ".indices.npy");

    private static void CheckOutputs(Request request)
    {
        if (request.Output is null && request.GroupTable is null)
            throw new BadInputException("--out", "is missing: name the file for the scores, or --group-table for totals only.");
        if (request.Groups is not null && request.GroupTable is null)
            throw new BadInputException("--groups", "is given without --group-table, the file that totals go to.");
        if (request.TopCount is < 1)
            throw new BadInputException("--top-k", $"expected 1 or more, found {request.TopCount}.");
        if (request.TopCount is not null && request.Output is null)
            throw new BadInputException("--top-k", "is given without --out, the file that the best columns go to.");
        string?[] outputs = [request.Output, request.TopCount is null ? null : IndexFile(request.Output!), request.GroupTable];
        string?[] inputs = [request.Images, request.Texts, request.Groups];
        for (int i = 0; i < outputs.Length; i++)
        {
            if (outputs[i] is not { } output)
                continue;
            if (inputs.Any(input => input is not null && IsSame(input, output)))
                throw new BadInputException(output, "is an input as well as an output.", "Write to another file.");
            if (outputs[..i].Any(other => other is not null && IsSame(other, output)))
                throw new BadInputException(output, "is named for two outputs.", "Write to another file.");
        }
    }

    private static bool IsSame(string left, string right) => Final(left) == Final(right);

    private static string Final(string path)
    {
        var file = new FileInfo(path);
        return file.LinkTarget is null ? file.FullName : file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file.FullName;
    }

    private static double Finite(string option, double value) =>
        double.IsFinite(value) && Math.Abs(value) <= 1e9 ? value : throw new BadInputException(option, $"expected a number from -1e9 to 1e9, found {value}.");

    private static ImmutableArray<int> Segments(string? lengths, FeatureSource texts)
    {
        if (lengths is null)
            return [checked((int)texts.Rows)];
        ImmutableArray<int>.Builder segments = ImmutableArray.CreateBuilder<int>();
        long sum = 0;
        foreach (string part in lengths.Split(','))
        {
            if (!NumberText.TryParse(part.AsSpan().Trim(), out int length) || length < 1)
                throw new BadInputException("--segments", $"expected numbers of columns as in 8,8,8; found '{BadInputException.Escape(part, 40)}'.");
            segments.Add(length);
            sum += length;
        }

        return sum == texts.Rows
            ? segments.ToImmutable()
            : throw new BadInputException("--segments", $"the segments hold {sum} columns; {texts.Name} has {texts.Rows}.");
    }

    private static int[] ReadGroups(string path, FeatureSource images)
    {
        using NpyFile file = NpyFile.Open(path);
        if (file.Dimensions.Length != 1 || file.Dimensions[0] != images.Rows)
            throw new BadInputException(path, $"expected one group for each of the {images.Rows} images, [{images.Rows}]; found [{string.Join(", ", file.Dimensions)}].");
        int[] groups = new int[checked((int)file.ElementCount)];
        switch (file.Type)
        {
            case ElementType.Int32:
                file.Read(0, groups.AsSpan());
                break;
            case ElementType.Int64:
                long[] wide = new long[groups.Length];
                file.Read(0, wide.AsSpan());
                for (int i = 0; i < groups.Length; i++)
                    groups[i] = (int)Math.Clamp(wide[i], int.MinValue, int.MaxValue);
                break;
            default:
                throw new BadInputException(path, $"expected int32 or int64, found {file.Type}.");
        }

        // A stray large number would ask for memory for all the groups below it.
        int limit = (int)Math.Min(groups.Length + 1000L, int.MaxValue);
        int bad = Array.FindIndex(groups, group => group < -1 || group >= limit);
        return bad < 0 ? groups : throw new BadInputException(path, $"row {bad}: expected a group from -1 to {limit - 1}, found {groups[bad]}.");
    }

    /// <summary>Scores are cosines only between unit rows. The formula is applied as it stands; that it may not be meant is said.</summary>
    private static void WarnOfLengths(FeatureSource features, TextWriter errors)
    {
        float[] row = new float[features.Width];
        for (long i = 0; i < Math.Min(features.Rows, 100); i++)
        {
            features.ReadRows(i, row);
            double length = Math.Sqrt(row.Sum(value => (double)value * value));
            if (Math.Abs(length - 1) <= 0.01)
                continue;
            if (double.IsFinite(length))
                errors.WriteLine($"clipengine: {BadInputException.Escape(features.Name, 300)}: row {i} has length {length:G4}, not 1: the scores are scaled products, not cosines.");
            return;
        }
    }

    /// <summary>What fewer bits came to.</summary>
    private static void SayPrecision(Request request, ProbeSweep sweep, SweepTotals totals, TextWriter errors)
    {
        errors.WriteLine(sweep.Precision == SweepPrecision.Float32
            ? $"clipengine: --precision {request.Precision} would not be faster or has no bound here (instruction set {sweep.InstructionSet}, {sweep.PromptCount} texts): fp32 was used."
            : string.Create(CultureInfo.InvariantCulture, $"clipengine: multiplied in {request.Precision}: {OpenShare(sweep, totals):P3} of the scores again in fp32; no probability is further than {totals.ProbabilityBound:G3} from fp32's."));
    }

    private static double OpenShare(ProbeSweep sweep, SweepTotals totals) => totals.OpenScores / Math.Max(1.0, (double)totals.RowCount * sweep.PromptCount);

    private static void WriteTable(string path, ProbeSweep sweep, SweepTotals totals) => AtomicFile.Write(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine("group,rows,segment,column,argmax_count,mean_probability");
        for (int group = 0; group < totals.GroupCount; group++)
        {
            int column = 0;
            for (int segment = 0; segment < sweep.SegmentLengths.Length; segment++)
            {
                for (int end = column + sweep.SegmentLengths[segment]; column < end; column++)
                {
                    // Nothing is the mean of nothing: the field stays empty.
                    string mean = totals.GroupRows(group) == 0 ? "" : totals.MeanProbability(group, column).ToString("R");
                    writer.WriteLine($"{group},{totals.GroupRows(group)},{segment},{column},{totals.ArgmaxCount(group, column)},{mean}");
                }
            }
        }
    });

    private static void WriteSummary(Stream output, Request request, ProbeSweep sweep, SweepTotals totals, FeatureSource images, CudaDevices? devices, TimeSpan elapsed)
    {
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteNumber("images", images.Rows);
            writer.WriteNumber("texts", sweep.PromptCount);
            writer.WriteNumber("width", sweep.Width);
            writer.WriteNumber("segments", sweep.SegmentLengths.Length);
            writer.WriteNumber("scale", sweep.Options.Scale);
            writer.WriteNumber("bias", sweep.Options.Bias);
            writer.WriteString("activation", request.Sigmoid ? "sigmoid" : "softmax");
            writer.WriteString("device", devices?.Name ?? "cpu");
            writer.WriteString("instruction_set", sweep.InstructionSet);
            writer.WriteString("precision", Precisions.First(pair => pair.Value == sweep.Precision).Key);
            if (sweep.Precision != SweepPrecision.Float32)
            {
                writer.WriteNumber("share_multiplied_again", OpenShare(sweep, totals));
                writer.WriteNumber("probability_bound", totals.ProbabilityBound);
            }

            if (devices is not null)
            {
                writer.WriteStartArray("device_descriptions");
                foreach (string description in devices.Descriptions)
                    writer.WriteStringValue(description);
                writer.WriteEndArray();
            }

            double seconds = Math.Max(elapsed.TotalSeconds, 1e-9);
            writer.WriteNumber("seconds", elapsed.TotalSeconds);
            writer.WriteNumber("images_per_second", images.Rows / seconds);
            writer.WriteNumber("scores_per_second", (double)images.Rows * sweep.PromptCount / seconds);
            writer.WriteNumber("gigaflops", 2e-9 * images.Rows * sweep.PromptCount * sweep.Width / seconds);
            writer.WriteNumber("gigabytes_read_per_second", 1e-9 * images.Rows * sweep.Width * images.Type.SizeInBytes() / seconds);
            writer.WriteNumber("threads", NativeThreads.Count);
            if (request.Output is not null)
                writer.WriteString("out", request.Output);
            if (request.TopCount is not null)
                writer.WriteString("indices", IndexFile(request.Output!));
            if (request.GroupTable is not null)
                writer.WriteString("group_table", request.GroupTable);
            writer.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
        output.Flush();
    }

    /// <summary>The options as given; null for those that were not.</summary>
    internal sealed record Request(
        string Images, string Texts, string? Output, double Scale = 100, double Bias = 0, bool Sigmoid = false, int? TopCount = null, string? Segments = null, string? Groups = null, string? GroupTable = null, string Device = "cpu", string Precision = "fp32");
}
