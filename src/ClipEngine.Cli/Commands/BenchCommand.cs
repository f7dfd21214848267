using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Bench;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine bench</c>: what this machine can do at best, and what of it the engine reaches.</summary>
internal static class BenchCommand
{
    /// <summary>For each line; a whole run stays well below a minute.</summary>
    private const double Seconds = 0.4;

    public static Command Create()
    {
        Option<string> model = new Option<string>("--model", "-m") { Description = "A model of the catalogue without a tag, as 'models list' shows them, which runs with random weights and without a download; or a folder in the OpenCLIP layout.", DefaultValueFactory = _ => "ViT-B-32" }.ReadsModel();
        Option<int?> threads = new Option<int?>("--threads") { Description = "Processor threads." }.Between(1, ModelArguments.MostThreads);
        Option<string> dtype = new("--dtype") { Description = "What is computed in: fp32, bf16, fp16, int8 or tf32.", DefaultValueFactory = _ => "fp32" };
        Option<string> device = ModelArguments.DeviceOption();
        Option<string?> isa = ModelArguments.IsaOption();
        Option<int?> batch = new Option<int?>("--batch") { Description = "Images and sentences at once: 8, on a GPU 256." }.Between(1, 4096);
        Option<bool> json = new("--json") { Description = "Write JSON." };
        var command = new Command("bench", "Measures this machine: its ceilings, a model's operations as shares of them, and whole towers, decoding and scoring; on a GPU each stage of the towers besides, by CUDA events, and NVTX ranges for a profiler.") { model, threads, dtype, device, isa, batch, json };
        command.SetAction((parsed, cancellation) => Task.Run(
            () =>
            {
                if (parsed.GetValue(dtype) == "fp8")
                    throw new BadInputException("--dtype", "bench measures no ceiling of fp8 that its figures could be shares of.", "Name bf16.");
                using IBackend backend = ModelArguments.OpenBackend(parsed.GetValue(device)!, parsed.GetValue(dtype)!, parsed.GetValue(threads), parsed.GetValue(isa));
                using CudaDevices? devices = backend is CudaBackend ? CudaArgument.Open(parsed.GetValue(device)!) : null;
                return Run(backend, devices, parsed.GetValue(model)!, parsed.GetValue(batch) ?? (backend is CudaBackend ? 256 : 8), Seconds, parsed.GetValue(json), Console.Out, Console.Error, cancellation);
            },
            cancellation));
        return command;
    }

    internal static int Run(IBackend backend, CudaDevices? devices, string model, int batch, double seconds, bool json, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isTerminal = ReferenceEquals(errors, Console.Error) && !Console.IsErrorRedirected;
        var run = new BenchRun(backend, devices, model, batch, seconds, what => Tell(isTerminal, errors, what), cancellation);
        IReadOnlyList<BenchResult> results = run.Measure();
        Tell(isTerminal, errors, "");
        if (json)
            WriteJson(backend, model, results, output);
        else
            WriteTable(backend, model, results, output);
        return CommandRunner.Done;
    }

    private static void Tell(bool isTerminal, TextWriter errors, string what)
    {
        if (isTerminal)
            errors.Write($"\r{what,-78}\r");
    }

    private static void WriteTable(IBackend backend, string model, IReadOnlyList<BenchResult> results, TextWriter output)
    {
        string device = backend.Description.Split('\n')[0];
        output.WriteLine($"{model}, {(backend is CudaBackend { Tf32: true } ? "tf32" : Name(backend.ComputeType))}, on {(device.StartsWith("name: ", StringComparison.Ordinal) ? device[6..] : device)}; the processor with {NativeThreads.Count} threads");
        int width = Math.Max(60, results.Max(static result => result.Name.Length));
        foreach (IGrouping<string, BenchResult> section in results.GroupBy(result => result.Section))
        {
            output.WriteLine();
            output.WriteLine($"{section.Key.PadRight(width + 2)}{"median",10}{"least",10}{"made a second",20}{"rate",16}{"of ceiling",12}");
            foreach (BenchResult result in section)
            {
                string items = result.Unit is null || result.Median is null ? "" : Number(result.Items / result.Median.Value) + " " + result.Unit;
                string rate = result.PerSecond is { } perSecond ? $"{Number(perSecond / 1e9)} {(result.IsMemory ? "GB/s" : "GFLOP/s")}" : result.Note ?? "";
                string share = result.Share is { } part ? string.Create(CultureInfo.InvariantCulture, $"{100 * part:F0} %") : "";
                output.WriteLine($"  {result.Name.PadRight(width)}{Duration(result.Median),10}{Duration(result.Samples.Count > 0 ? result.Samples.Min() : null),10}{items,20}{rate,16}{share,12}".TrimEnd());
            }
        }
    }

    private static string Name(ElementType type) => type switch
    {
        ElementType.BFloat16 => "bf16",
        ElementType.Float16 => "fp16",
        ElementType.Int8 => "int8",
        _ => "fp32",
    };

    private static string Number(double value) => value.ToString(value >= 100 ? "F0" : value >= 10 ? "F1" : "F2", CultureInfo.InvariantCulture);

    private static string Duration(double? seconds) => seconds switch
    {
        null => "",
        >= 1 => $"{Number(seconds.Value)} s",
        >= 1e-3 => $"{Number(seconds.Value * 1e3)} ms",
        _ => $"{Number(seconds.Value * 1e6)} us",
    };

    private static void WriteJson(IBackend backend, string model, IReadOnlyList<BenchResult> results, TextWriter output)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteString("model", model);
            writer.WriteString("dtype", Name(backend.ComputeType));
            writer.WriteString("device", backend.Name);
            writer.WriteString("description", backend.Description);
            writer.WriteString("processor", CpuInformation.ModelName);
            writer.WriteString("instruction_set", CpuInformation.InstructionSet);
            writer.WriteNumber("threads", NativeThreads.Count);
            writer.WriteStartArray("results");
            foreach (BenchResult result in results)
            {
                writer.WriteStartObject();
                writer.WriteString("section", result.Section);
                writer.WriteString("name", result.Name);
                WriteNumber(writer, "median_seconds", result.Median);
                WriteNumber(writer, "least_seconds", result.Samples.Count > 0 ? result.Samples.Min() : null);
                WriteNumber(writer, "most_seconds", result.Samples.Count > 0 ? result.Samples.Max() : null);
                writer.WriteNumber("samples", result.Samples.Count);
                WriteNumber(writer, result.IsMemory ? "bytes_per_second" : "operations_per_second", result.PerSecond);
                WriteNumber(writer, "share_of_ceiling", result.Share);
                if (result.Unit is { } unit)
                    WriteNumber(writer, $"{unit}_per_second", result.Items / result.Median);
                if (result.Note is { } note)
                    writer.WriteString("note", note);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        output.WriteLine(System.Text.Encoding.UTF8.GetString(buffer.ToArray()));
    }

    private static void WriteNumber(Utf8JsonWriter writer, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
            writer.WriteNumber(name, number);
        else
            writer.WriteNull(name);
    }
}
