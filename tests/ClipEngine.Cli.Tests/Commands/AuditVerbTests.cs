using System.Diagnostics;
using System.Security.Cryptography;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public class AuditVerbTests
{
    [Fact]
    public async Task ScoresWritesTablesResultsAndReport()
    {
        using var folder = new TemporaryFolder();
        Files(folder, 0.75f);
        Assert.Equal(0, (await Run(folder)).ExitCode);
        foreach (string file in new[] { "results.json", "report.html", "tables/groups.csv", "tables/predictions.csv" })
            Assert.True(File.Exists(folder.File("out", file)), file);
    }

    [Fact]
    public async Task RefusedInputIsExitCodeTwoAndWritesNothing()
    {
        using var folder = new TemporaryFolder();
        Files(folder, 0.5f);
        Assert.Equal(2, (await Run(folder)).ExitCode);
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Fact]
    public async Task AReportIsMadeAgainFromItsFolder()
    {
        using var folder = new TemporaryFolder();
        Files(folder, 0.75f);
        await Run(folder);
        byte[] report = File.ReadAllBytes(folder.File("out", "report.html"));
        File.Delete(folder.File("out", "report.html"));
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "report", folder.File("out"))).ExitCode);
        Assert.Equal(report, File.ReadAllBytes(folder.File("out", "report.html")));
        Assert.Equal(2, (await CommandLine.RunAsync("audit", "report", folder.Root)).ExitCode);
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "compare", folder.File("out"), folder.File("out"))).ExitCode);
    }

    [Fact]
    public async Task BoundsAndExportsAreOfTheRun()
    {
        using var folder = new TemporaryFolder();
        Files(folder, 0.75f);
        await Run(folder);
        ProcessOutcome outcome = await CommandLine.RunAsync("audit", "export", folder.File("out"), "--out", folder.File("long.csv"));
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        string[][] rows = [.. File.ReadLines(folder.File("long.csv")).Skip(1).Select(static line => line.Split(','))];
        // Every image's probabilities add up to one.
        Assert.All(rows.GroupBy(static row => row[0]), static image => Assert.Equal(1, image.Sum(static row => double.Parse(row[6], System.Globalization.CultureInfo.InvariantCulture)), 1e-5));
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "export", folder.File("out"), "--out", folder.File("long.parquet"))).ExitCode);
        using (var parquet = ClipEngine.Files.ParquetFile.Open(folder.File("long.parquet")))
            Assert.Equal(rows.Length, parquet.RowCount);
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "export", folder.File("out"), "--out", folder.File("long.arrow"))).ExitCode);
        using (var arrow = new Apache.Arrow.Ipc.ArrowFileReader(File.OpenRead(folder.File("long.arrow"))))
        {
            using Apache.Arrow.RecordBatch batch = await arrow.ReadNextRecordBatchAsync();
            Assert.Equal(["image", "person", "group", "model", "experiment", "label", "probability"], batch.Schema.FieldsList.Select(static field => field.Name));
            var labels = (Apache.Arrow.StringArray)batch.Column("label");
            Assert.Equal(rows.Select(static row => row[5]), Enumerable.Range(0, batch.Length).Select(row => labels.GetString(row)));
            Assert.Equal(rows.Select(static row => float.Parse(row[6], System.Globalization.CultureInfo.InvariantCulture)), ((Apache.Arrow.FloatArray)batch.Column("probability")).Values.ToArray());
        }

        string first = rows[0][5];
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "check", folder.File("out"), "--bound", $"rate:{first}<=1")).ExitCode);
        Assert.Equal(3, (await CommandLine.RunAsync("audit", "check", folder.File("out"), "--bound", $"ratio:{first}>=1", "--bound", $"rate:{rows[1][5]}>=1")).ExitCode);
        Assert.Equal(2, (await CommandLine.RunAsync("audit", "check", folder.File("out"), "--bound", "rate:nothing<=1")).ExitCode);
    }

    [Fact]
    public async Task ARunKilledAtAnyLineEndsWithTheBytesOfAnUndisturbedOne()
    {
        using var folder = new TemporaryFolder();
        string spec = Spec(folder);
        Assert.Equal(0, (await CommandLine.RunAsync("audit", "run", spec, "--out", folder.File("whole"))).ExitCode);
        Dictionary<string, string> expected = Contents(folder.File("whole"));
        Assert.Contains("results.sqlite", expected.Keys);
        for (int lines = 1; lines <= 4; lines++)
        {
            using Process process = CommandLine.Start("audit", "run", spec, "--out", folder.File("killed"));
            for (int line = 0; line < lines && await process.StandardError.ReadLineAsync() is not null; line++)
            {
                // Each line of progress is a place to die at.
            }

            process.Kill();
            await process.WaitForExitAsync();
        }

        ProcessOutcome outcome = await CommandLine.RunAsync("audit", "run", spec, "--out", folder.File("killed"));
        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(expected, Contents(folder.File("killed")));
    }

    [Fact]
    public async Task AModelThatFailsMakesTheRunFailAfterTheOthers()
    {
        using var folder = new TemporaryFolder();
        string spec = Spec(folder);
        File.Delete(folder.File("b.npy"));
        ProcessOutcome outcome = await CommandLine.RunAsync("audit", "run", spec, "--out", folder.File("out"));
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("b.npy", outcome.Error);
        Assert.Contains("a,ArgmaxFrequency", File.ReadAllText(folder.File("out", "tables", "groups.csv")));
    }

    private static string Spec(TemporaryFolder folder)
    {
        var random = new Random(5);
        File.WriteAllText(folder.File("probe.csv"), "id,group\n" + string.Concat(Enumerable.Range(0, 40).Select(i => $"{i},{(i % 2 == 0 ? "A" : "B")}\n")));
        foreach ((string name, int rows) in new[] { ("a", 40), ("b", 40), ("texts", 3) })
            NpyFile.Write<float>(folder.File(name + ".npy"), [.. Enumerable.Range(0, rows * 8).Select(_ => random.NextSingle() - 0.5f)], rows, 8);
        IEnumerable<string> models = new[] { "a", "b" }.Select(name => $$"""{ "key": "{{name}}", "imageFeatures": "{{name}}.npy", "textFeatures": { "words": "texts.npy" } }""");
        File.WriteAllText(folder.File("spec.json"), $$"""
            { "title": "Test", "probe": { "metadata": "probe.csv", "group": ["group"] }, "models": [{{string.Join(", ", models)}}],
              "experiments": [{ "key": "words", "title": "Words", "template": "A photo of {a} {label}", "labels": [{ "text": "x" }, { "text": "y" }, { "text": "z" }] }],
              "intervals": { "resamples": 299 },
              "comparisons": [{ "name": "a to b", "first": { "name": "a", "models": ["a"] }, "second": { "name": "b", "models": ["b"] } }] }
            """);
        return folder.File("spec.json");
    }

    /// <summary>Every file's content, but for the clock times.</summary>
    private static Dictionary<string, string> Contents(string directory) =>
        Directory.GetFiles(directory, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetFileName(file) != "timings.json")
            .ToDictionary(file => Path.GetRelativePath(directory, file), file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file))));

    private static void Files(TemporaryFolder folder, float first)
    {
        File.WriteAllText(folder.File("probe.csv"), "id,group\n1,A\n2,A\n3,B\n");
        NpyFile.Write<float>(folder.File("s.npy"), [first, 0.25f, 0.5f, 0.5f, 0.1f, 0.9f], 3, 2);
    }

    private static Task<ProcessOutcome> Run(TemporaryFolder folder) => CommandLine.RunAsync(
        "audit", "scores", "--softmax", folder.File("s.npy"), "--metadata", folder.File("probe.csv"), "--group", "group", "--labels", "x,y", "--resamples", "199", "--out", folder.File("out"));

    [Theory]
    [InlineData("torch:cpu")]
    [InlineData("cuda:99")]
    [InlineData("tpu")]
    public async Task A_device_that_is_not_there_is_refused_before_anything_is_done(string device)
    {
        using var folder = new TemporaryFolder();
        string spec = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "spec.json");
        ProcessOutcome outcome = await CommandLine.RunAsync("audit", "run", spec, "--out", folder.File("out"), "--device", device);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(device.Split(':')[0], outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
        Assert.DoesNotContain("hashing", outcome.Error, StringComparison.Ordinal);
    }
}
