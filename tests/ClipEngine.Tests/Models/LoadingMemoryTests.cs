using System.Diagnostics;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Synthesis;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// What a fresh process of the command line takes at its peak (VmHWM, everything mapped included) to load both towers of ViT-B-32 at
/// full size and to encode a first batch: at most 1.2 times the weights as they are used.
/// </summary>
public class LoadingMemoryTests
{
    private const double Allowed = 1.2;
    private const int Batch = 10;

    [SkippableTheory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float16)]
    public void LoadAndFirstBatchTakeLittleMoreThanTheWeights(ElementType stored)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "the peak is read as Linux counts it");
        string description = TestData.SharedPath("goldens", "towers-full", "ViT-B-32.json");
        using var folder = new TemporaryFolder();
        string model = folder.File("model");
        SynthesizedModel.Load(description).Write(model, stored);
        string input = folder.File("batch.safetensors");
        var writer = new SafetensorsWriter();
        writer.Add("pixels", new float[Batch * 3 * 224 * 224], Batch, 3, 224, 224);
        writer.Add("tokens", ElementType.Int64, [1, 77], new byte[77 * sizeof(long)]);
        writer.Write(input);

        using JsonDocument said = Run("embed", "raw", "--model", model, "--input", input, "--threads", "2", "--out", folder.File("features.safetensors"), "--json");
        long weights = said.RootElement.GetProperty("weight_bytes").GetInt64();
        long peak = said.RootElement.GetProperty("peak_memory_bytes").GetInt64();
        Assert.Equal(605_109_248, weights);
        Assert.True(peak > weights, $"a peak of {peak} bytes is none");
        Assert.True(peak <= Allowed * weights, $"{stored}: the peak of {peak} bytes is {(double)peak / weights:F3} times the weights' {weights}");
    }

    private static JsonDocument Run(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        // As many decoders and buffers ahead as a small machine has, whatever this one is.
        start.Environment["DOTNET_PROCESSOR_COUNT"] = "2";
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error.Result);
        return JsonDocument.Parse(output);
    }
}
