using System.CommandLine;
using System.Text.Json;
using ClipEngine.Devices;
using ClipEngine.Native;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine devices</c>: what there is, what is used and why, and what is not there.</summary>
internal static class DevicesCommand
{
    private const string StepDown = "step down";

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
        bool forced = used != CpuInformation.FastestInstructionSet;
        string reason = forced ? $"{CpuInformation.Variable} asks for it" : "the fastest that is there";
        string amx = CpuInformation.WhyNoAmx is { } missing ? $"not there: {missing}" : "there";
        (string Kind, DeviceList Found)[] others = [.. Backends.Providers.Where(static provider => provider.Name != "cpu").Select(static provider => (provider.Name, provider.Find()))];

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
                writer.WriteString("bf16_products", CpuInformation.BFloat16Products);
                writer.WriteString("amx", amx);
                writer.WriteNumber("threads", NativeThreads.Count);
                writer.WriteNumber("threads_available", NativeThreads.Available);
                writer.WriteEndObject();
                foreach ((string kind, DeviceList list) in others)
                    Write(writer, kind, list);
                writer.WriteEndObject();
            }

            output.WriteLine(System.Text.Encoding.UTF8.GetString(buffer.ToArray()));
            return CommandRunner.Done;
        }

        output.WriteLine($"cpu   {CpuInformation.ModelName}   (the default)");
        output.WriteLine($"      instruction sets found: {string.Join(", ", found)}");
        output.WriteLine($"      instruction set used:   {used} ({reason})");
        output.WriteLine($"      bf16 products:          {CpuInformation.BFloat16Products}");
        output.WriteLine($"      AMX:                    {amx}");
        output.WriteLine($"      threads:                {NativeThreads.Count} of {NativeThreads.Available} processors that this process may use");
        foreach ((string kind, DeviceList list) in others)
        {
            output.WriteLine($"{kind,-5} {list.State}");
            foreach ((string name, string description) in list.Devices)
                output.WriteLine($"{name}\n      {description.Replace("\n", "\n      ", StringComparison.Ordinal)}");
        }

        return CommandRunner.Done;
    }

    private static void Write(Utf8JsonWriter writer, string kind, DeviceList list)
    {
        writer.WriteStartObject(kind);
        writer.WriteString("state", list.State);
        writer.WriteStartArray("devices");
        foreach ((string name, string description) in list.Devices)
        {
            writer.WriteStartObject();
            writer.WriteString("device", name);
            foreach (string line in description.Split('\n'))
            {
                int colon = line.IndexOf(": ", StringComparison.Ordinal);
                if (colon > 0 && line[..colon] != StepDown)
                    writer.WriteString(line[..colon].Replace(' ', '_'), line[(colon + 2)..]);
            }

            writer.WriteStartArray("steps_down");
            foreach (string line in description.Split('\n').Where(line => line.StartsWith(StepDown, StringComparison.Ordinal)))
                writer.WriteStringValue(line[(StepDown.Length + 2)..]);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
