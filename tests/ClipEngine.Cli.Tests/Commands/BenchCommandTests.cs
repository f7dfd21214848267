using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Native;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary>That every line is measured and adds up; no figure of time is compared with anything.</summary>
public sealed class BenchCommandTests
{
    private const string Model = "ViT-S-32-alt";

    [Fact]
    public void EverythingIsMeasuredAndASharePresupposesACeiling()
    {
        using CpuBackend backend = CpuBackend.Create();
        var output = new StringWriter();
        Assert.Equal(0, BenchCommand.Run(backend, devices: null, Model, batch: 2, seconds: 1e-3, json: true, output, TextWriter.Null, default));
        using JsonDocument json = JsonDocument.Parse(output.ToString());
        Assert.Equal(Model, json.RootElement.GetProperty("model").GetString());
        Assert.Equal(NativeThreads.Count, json.RootElement.GetProperty("threads").GetInt32());
        JsonElement[] results = [.. json.RootElement.GetProperty("results").EnumerateArray()];
        Assert.Equal(["ceilings", "end to end", "operations"], results.Select(result => result.GetProperty("section").GetString()).Distinct().Order(StringComparer.Ordinal));
        foreach (JsonElement result in results)
        {
            bool isCeiling = result.GetProperty("section").GetString() == "ceilings";
            Assert.Equal(isCeiling, result.GetProperty("median_seconds").ValueKind == JsonValueKind.Null);
            if (!isCeiling)
            {
                Assert.True(result.GetProperty("samples").GetInt32() >= 5);
                Assert.True(result.GetProperty("least_seconds").GetDouble() <= result.GetProperty("median_seconds").GetDouble());
            }

            if (result.GetProperty("share_of_ceiling").ValueKind != JsonValueKind.Null)
                Assert.True(result.GetProperty("share_of_ceiling").GetDouble() > 0);
        }

        JsonElement tower = results.Single(result => result.GetProperty("name").GetString()!.StartsWith("image tower, 2 ", StringComparison.Ordinal));
        Assert.Equal(2 / tower.GetProperty("median_seconds").GetDouble(), tower.GetProperty("images_per_second").GetDouble(), 1e-6 * tower.GetProperty("images_per_second").GetDouble());
        // 1.78 GFLOP an image, as the model's published figures have it (3.56 with the sentence).
        Assert.InRange(tower.GetProperty("operations_per_second").GetDouble() * tower.GetProperty("median_seconds").GetDouble() / 2, 1e9, 3.56e9);
        Assert.True(tower.GetProperty("share_of_ceiling").GetDouble() > 0);
    }

    [Fact]
    public void TheTableNamesEverySectionAndEndsNoLineInSpaces()
    {
        using CpuBackend backend = CpuBackend.Create();
        var output = new StringWriter();
        BenchCommand.Run(backend, devices: null, Model, batch: 2, seconds: 1e-3, json: false, output, TextWriter.Null, default);
        string[] lines = output.ToString().Split('\n');
        Assert.Contains(Model, lines[0]);
        foreach (string section in new[] { "ceilings", "operations", "end to end" })
            Assert.Contains(lines, line => line.StartsWith(section, StringComparison.Ordinal));
        Assert.All(lines, line => Assert.Equal(line.TrimEnd(), line.TrimEnd('\r')));
    }

    [Fact]
    public void CancellingEndsIt()
    {
        using CpuBackend backend = CpuBackend.Create();
        Assert.ThrowsAny<OperationCanceledException>(() => BenchCommand.Run(backend, devices: null, Model, batch: 2, 1e-3, json: false, TextWriter.Null, TextWriter.Null, new CancellationToken(canceled: true)));
    }

    [Theory]
    [InlineData("ViT-B-33", "ViT-B-33")]
    [InlineData("ViT-B-32/openai", "ViT-B-32/openai")]
    public async Task AModelThatIsNotInTheCatalogueIsNamed(string model, string named)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("bench", "--model", model);
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains(named, outcome.Error);
        Assert.Empty(outcome.Output);
    }

    [Fact]
    public async Task ThreadsBelowOneAreNamed()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("bench", "--threads", "0");
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("--threads", outcome.Error);
    }
}
