using System.CommandLine;
using System.Text.Json;
using ClipEngine.Native;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine devices</c>: what there is, what is used and why, and what is not there.</summary>
internal static class DevicesCommand
{
    private const string CudaLibrary = "libclipengine_cuda.so";

    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Write JSON." };
        var command = new Command("devices", "Shows what there is to compute on, what is used and why.");
        command.Options.Add(json);
        command.SetAction(parsed => Run(parsed.GetValue(json), Console.Out));
        return command;
    }

    internal static int Run(bool json, TextWriter output)
    {
        string used = CpuInformation.InstructionSet;
        IReadOnlyList<string> found = CpuInformation.InstructionSets;
        bool forced = used != found[^1];
        string reason = forced ? $"{CpuInformation.Variable} asks for it" : "the best that is there";
        // One file decides: the CUDA backend is a library of its own, built only where a CUDA toolkit was found.
        bool cuda = File.Exists(Path.Combine(AppContext.BaseDirectory, CudaLibrary));
        string cudaState = cuda ? $"{CudaLibrary} is there" : $"not available: this build has no {CudaLibrary}";

        if (json)
        {
            using var buffer = new MemoryStream();
            using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
            {
                writer.WriteStartObject();
                writer.WriteString("default", "cpu");
                writer.WriteStartObject("cpu");
                writer.WriteString("model", CpuInformation.ModelName);
                writer.WriteStartArray("instruction_sets");
                foreach (string name in found)
                    writer.WriteStringValue(name);
                writer.WriteEndArray();
                writer.WriteString("instruction_set_used", used);
                writer.WriteString("reason", reason);
                writer.WriteNumber("threads", NativeThreads.Count);
                writer.WriteNumber("threads_available", NativeThreads.Available);
                writer.WriteEndObject();
                writer.WriteStartObject("cuda");
                writer.WriteBoolean("library", cuda);
                writer.WriteString("state", cudaState);
                writer.WriteEndObject();
                writer.WriteEndObject();
            }

            output.WriteLine(System.Text.Encoding.UTF8.GetString(buffer.ToArray()));
            return CommandRunner.Done;
        }

        output.WriteLine($"cpu   {CpuInformation.ModelName}   (the default)");
        output.WriteLine($"      instruction sets found: {string.Join(", ", found)}");
        output.WriteLine($"      instruction set used:   {used} ({reason})");
        output.WriteLine($"      threads:                {NativeThreads.Count} of {NativeThreads.Available} processors that this process may use");
        output.WriteLine($"cuda  {cudaState}");
        return CommandRunner.Done;
    }
}
