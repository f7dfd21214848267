using ClipEngine.Audit.Report;
using ClipEngine.Audit.Runs;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Runs that are divided into parts: 300 images in five chunks, two models, so ten chunks to divide.</summary>
public class AuditPartTests
{
    [Theory]
    [InlineData(3)]
    [InlineData(10)]
    public void MergedPartsAreTheBytesOfOneRun(int count)
    {
        using var folder = new TemporaryFolder();
        string spec = AuditRunTests.Probe(folder);
        Run(spec, folder.File("whole"), new FakeModels()).Execute();
        var encoded = new List<string>();
        for (int part = count; part >= 1; part--)
            Assert.Empty(Run(spec, folder.File("parts"), new FakeModels(encoded.Add)).ExecutePart(new PartNumber(part, count), "fake", default)!);
        // Each chunk once, whoever makes it.
        Assert.Equal(10, encoded.Distinct().Count());
        Assert.Equal(10, encoded.Count);
        encoded.Clear();
        Run(spec, folder.File("parts"), new FakeModels(encoded.Add)).ExecuteMerge(default);
        Assert.Equal(["one texts", "two texts"], encoded);
        Assert.Equal(AuditRunTests.Contents(folder.File("whole")), Contents(folder.File("parts")));
    }

    [Fact]
    public void AKilledPartGoesOnAndOneThatIsThereIsNotMadeAgain()
    {
        using var folder = new TemporaryFolder();
        string spec = AuditRunTests.Probe(folder);
        Run(spec, folder.File("whole"), new FakeModels()).Execute();
        var encoded = new List<string>();
        Assert.Throws<InvalidOperationException>(() => Run(spec, folder.File("parts"), new FakeModels(what =>
        {
            encoded.Add(what);
            if (encoded.Count == 3)
                throw new InvalidOperationException("killed");
        })).ExecutePart(new PartNumber(1, 2), "fake", default));
        encoded.Clear();
        Run(spec, folder.File("parts"), new FakeModels(encoded.Add)).ExecutePart(new PartNumber(1, 2), "fake", default);
        Assert.Equal(3, encoded.Count); // of five two were there
        Run(spec, folder.File("parts"), new FakeModels()).ExecutePart(new PartNumber(2, 2), "fake", default);
        encoded.Clear();
        Assert.Null(Run(spec, folder.File("parts"), new FakeModels(encoded.Add)).ExecutePart(new PartNumber(2, 2), "fake", default));
        Assert.Empty(encoded);
        Run(spec, folder.File("parts"), new FakeModels()).ExecuteMerge(default);
        Assert.Equal(AuditRunTests.Contents(folder.File("whole")), Contents(folder.File("parts")));

        // A part of a run that is complete already is made of nothing.
        Run(spec, folder.File("parts"), new FakeModels(encoded.Add)).ExecutePart(new PartNumber(2, 2), "fake", default);
        Assert.Empty(encoded);
    }

    [Fact]
    public void MissingForeignAndDamagedPartsAreRefusedByName()
    {
        using var folder = new TemporaryFolder();
        string spec = AuditRunTests.Probe(folder), parts = folder.File("parts");
        void Make(params int[] wanted)
        {
            foreach (int part in wanted)
                Run(spec, parts, new FakeModels()).ExecutePart(new PartNumber(part, 3), "fake", default);
        }

        Make(1, 3);
        Assert.Contains("2/3", Refusal().Message);

        // Another state of an image: parts that were made of the old one are of another run.
        File.WriteAllText(folder.File("images", "007.bin"), "another image");
        Make(2);
        BadInputException foreign = Refusal();
        Assert.Contains("part-00002-of-00003", foreign.InputSource);
        Assert.Contains("images", foreign.Problem);

        Make(1, 3);
        string record = AuditPart.FileOf(parts, new PartNumber(2, 3));
        string chunk = folder.File("parts", System.Text.RegularExpressions.Regex.Match(File.ReadAllText(record), "embeddings[^\"]*", System.Text.RegularExpressions.RegexOptions.None, TimeSpan.FromSeconds(10)).Value);
        byte[] bytes = File.ReadAllBytes(chunk);
        bytes[^1] ^= 1;
        File.WriteAllBytes(chunk, bytes);
        Assert.Contains("2/3", Refusal().Problem);
        File.Delete(chunk);
        Assert.Contains("2/3", Refusal().Problem);
        Assert.False(File.Exists(folder.File("parts", "results.json")));

        // Other weights since: its chunks lie under another key, and the first part of that model is named.
        Make(2);
        File.WriteAllText(folder.File("two"), "two'");
        Assert.Contains("2/3", Refusal().Problem);
        Make(1, 2, 3);
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("A photo of", "A picture of", StringComparison.Ordinal));
        Assert.Equal(spec, Refusal().InputSource);

        BadInputException Refusal() => Assert.ThrowsAny<BadInputException>(() => Run(spec, parts, new FakeModels()).ExecuteMerge(default));
    }

    [Fact]
    public void AModelThatFailsFailsInTheMergeAsInOneRun()
    {
        using var folder = new TemporaryFolder();
        string spec = AuditRunTests.Probe(folder);
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"model\": \"two\"", "\"model\": \"missing\"", StringComparison.Ordinal));
        Run(spec, folder.File("whole"), new FakeModels()).Execute();
        Assert.Empty(Run(spec, folder.File("parts"), new FakeModels()).ExecutePart(new PartNumber(1, 2), "fake", default)!);
        Assert.Equal(["two"], Run(spec, folder.File("parts"), new FakeModels()).ExecutePart(new PartNumber(2, 2), "fake", default)!.Keys);
        Run(spec, folder.File("parts"), new FakeModels()).ExecuteMerge(default);
        Assert.Equal(AuditRunTests.Contents(folder.File("whole")), Contents(folder.File("parts")));
    }

    [Fact]
    public void MorePartsThanChunksAreRefused()
    {
        using var folder = new TemporaryFolder();
        string spec = AuditRunTests.Probe(folder);
        Assert.Contains("10", Assert.Throws<BadInputException>(() => Run(spec, folder.File("parts"), new FakeModels()).ExecutePart(new PartNumber(1, 11), "fake", default)).Remedy);
    }

    private static AuditRun Run(string spec, string directory, FakeModels models) => new(spec, directory, models, new ReportWriter());

    /// <summary>All files but the records of the parts.</summary>
    private static Dictionary<string, string> Contents(string directory) =>
        AuditRunTests.Contents(directory).Where(static entry => !entry.Key.StartsWith("parts", StringComparison.Ordinal)).ToDictionary();
}
