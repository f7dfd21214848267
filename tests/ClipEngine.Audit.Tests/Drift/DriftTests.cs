using System.Globalization;
using ClipEngine.Audit.Drift;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Drift;

public class DriftTests
{
    /// <summary>Three unit vectors at known angles: cosines by hand.</summary>
    [Fact]
    public void AnAssociationIsTheDifferenceOfMeanCosines()
    {
        var measure = new DriftMeasure(["men", "women", "car", "car", "cup"], ["a", "b", "c", "d", "e"], ["men", "women"], ["car", "cup"]);
        float[] features = [1, 0, 0, 1, 1, 0, 0.6f, 0.8f, 0, 1];
        double[] d = measure.OnFeatures(features, 2, [1, 1, 1, 1, 1]);
        // car: ((1 - 0) + (0.6 - 0.8)) / 2; cup: 0 - 1.
        Assert.Equal(0.4, d[0], 6);
        Assert.Equal(-1, d[1], 6);
    }

    [Fact]
    public void TheSameModelTwiceHasNotDrifted()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows);
        string features = Features(folder, "f.npy", rows, shift: 0);
        DriftResult result = DriftRun.Run(features, features, spec, folder.File("out"), new ClipProbeModels(), _ => { });
        DriftMeasureResult measure = Assert.Single(result.Measures);
        Assert.Equal(1, measure.SignAgreement.Value);
        Assert.Equal(1, measure.Pearson.Value!.Value, 12);
        Assert.Equal(1, measure.Slope.Value!.Value, 12);
        Assert.All(measure.Concepts, concept => Assert.Equal(0, concept.Change.Value!.Value, 12));
        Assert.True(File.Exists(folder.File("out", "report.html")));
        Assert.Equal(1 + measure.Concepts.Count, File.ReadAllLines(folder.File("out", "tables", "concepts.csv")).Length);
    }

    /// <summary>A shift towards one group is planted in the second model: every concept's change has its sign, and intervals of most hold its size.</summary>
    [Fact]
    public void APlantedShiftIsFound()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows);
        DriftResult result = DriftRun.Run(Features(folder, "a.npy", rows, 0), Features(folder, "b.npy", rows, 0.5), spec, folder.File("out"), new ClipProbeModels(), _ => { });
        Assert.All(result.Measures[0].Concepts, concept => Assert.True(concept.Change.Value > 0.05 && concept.Change.Interval!.Lower > 0, concept.Concept));
    }

    /// <summary>Over 300 simulated probes, the 95 % interval of an association holds the truth about that often.</summary>
    [Fact]
    public void IntervalsHoldTheTruth()
    {
        int held = 0, changes = 0;
        for (int seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            string[] sets = [.. Enumerable.Repeat("men", 40), .. Enumerable.Repeat("women", 40), .. Enumerable.Repeat("car", 40), .. Enumerable.Repeat("cup", 40)];
            var measure = new DriftMeasure(sets, [.. sets.Select((_, i) => i.ToString(CultureInfo.InvariantCulture))], ["men", "women"], ["car", "cup"]);
            // One dimension beside a constant one: associations are products of means, known without sampling.
            float[] Draw(double pull) => [.. sets.SelectMany(set => new[] { (float)((set == "men" ? 0.5 : set == "women" ? -0.5 : set == "car" ? pull : -0.1) + (0.4 * Gauss(random))), 1f })];
            float[] one = Draw(0.3), two = Draw(0.6);
            DriftMeasureResult result = measure.Compare("features", weights => measure.OnFeatures(one, 2, weights), weights => measure.OnFeatures(two, 2, weights), new IntervalSpec { Resamples = 399, Seed = seed }).Result;
            held += result.Concepts[0].Before.Interval is { Lower: <= 0.3, Upper: >= 0.3 } ? 1 : 0;
            changes += result.Concepts[0].Change.Interval is { Lower: <= 0.3, Upper: >= 0.3 } ? 1 : 0;
        }

        Assert.InRange(held, 272, 296);
        Assert.InRange(changes, 272, 296);
    }

    /// <summary>Four models of two factors: means and differences of levels are those of the pairs' own numbers, intervals hold them, and what else differs is said.</summary>
    [Fact]
    public void PairsAreComparedAsFactors()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows);
        Features(folder, "a.npy", rows, 0);
        foreach ((string name, double shift) in new[] { ("b", 0.1), ("c", 0.5), ("d", 0.6), ("e", 0.7) })
            Features(folder, name + ".npy", rows, shift);
        string Pair(string name, string size, string data) => $$"""{ "name": "{{name}}", "before": "a.npy", "after": "{{name}}.npy", "factors": { "size": "{{size}}", "data": "{{data}}" } }""";
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"groups\"", $"\"pairs\": [{Pair("b", "small", "x")}, {Pair("c", "large", "x")}, {Pair("d", "small", "y")}, {Pair("e", "large", "y")}], \"groups\"", StringComparison.Ordinal));
        DriftStudyResult study = DriftRun.RunPairs(spec, folder.File("out"), new ClipProbeModels(), _ => { });
        const string Size = "change of mean size";
        double Of(string pair) => study.Statistics.Single(entry => entry.Pair == pair && entry.Statistic == Size).Value.Value!.Value;
        Assert.All(study.Pairs, pair => Assert.Equal(
            pair.Result.Measures[0].Concepts.Average(concept => Math.Abs(concept.After.Value!.Value)) - pair.Result.Measures[0].Concepts.Average(concept => Math.Abs(concept.Before.Value!.Value)), Of(pair.Name), 12));
        LevelMean small = study.Levels.Single(entry => entry is { Factor: "size", Level: "small", Statistic: Size });
        Assert.Equal((Of("b") + Of("d")) / 2, small.Mean.Value!.Value, 12);
        Assert.Equal(["b", "d"], small.Pairs);
        LevelDifference difference = study.Differences.Single(entry => entry is { Factor: "size", Statistic: Size });
        Assert.Equal(((Of("b") + Of("d")) - (Of("c") + Of("e"))) / 2, difference.Difference.Value!.Value, 12);
        Assert.InRange(difference.Difference.Value.Value, difference.Difference.Interval!.Lower, difference.Difference.Interval.Upper);
        Assert.Empty(difference.ConfoundedWith);
        Assert.All(["study.json", "report.html", "b/report.html", "tables/pairs.csv", "tables/levels.csv", "tables/level-differences.csv", "figures/features-change-of-mean-size.svg"], file => Assert.True(File.Exists(folder.File("out", file)), file));

        // One pair less: now size and data go together.
        File.WriteAllText(spec, File.ReadAllText(spec).Replace($", {Pair("d", "small", "y")}", "", StringComparison.Ordinal));
        study = DriftRun.RunPairs(spec, folder.File("out"), new ClipProbeModels(), _ => { });
        Assert.Equal(["data"], study.Differences.First(entry => entry.Factor == "size").ConfoundedWith);
        Assert.Contains("BEFORE and AFTER", Assert.Throws<BadInputException>(() => DriftRun.Run("a", "b", spec, folder.File("out"), new ClipProbeModels(), _ => { })).Message, StringComparison.Ordinal);
    }

    /// <summary>Of one pair features alone were given: it has no zero-shot scores, the others keep theirs, and the report says which is missing.</summary>
    [Fact]
    public void APairWithFeaturesAloneLacksItsScoresAndTakesNoOthersAway()
    {
        using var folder = new TemporaryFolder();
        string specPath = Probe(folder, out _);
        DriftSpec spec = DriftSpec.Read(specPath);
        var measure = new DriftMeasure(["men", "women", "car", "cup"], ["a", "b", "c", "d"], ["men", "women"], ["car", "cup"]);
        MeasuredDrift Measured(string name, double after) => measure.Compare(name, weights => [0.1, -0.3], weights => [after, -0.3], spec.Intervals);
        (DriftPair Pair, IReadOnlyList<MeasuredDrift> Measures) Pair(string name, string size, params MeasuredDrift[] measures) => (new DriftPair(name, new Dictionary<string, string> { ["size"] = size },
            new DriftResult("t", "a", "b", ["men", "women"], [1, 1], 4, [.. measures.Select(own => own.Result)], [])), measures);
        (DriftPair Pair, IReadOnlyList<MeasuredDrift> Measures)[] pairs =
        [
            Pair("one", "small", Measured("features", 0.2), Measured("zero-shot", 0.3)),
            Pair("two", "small", Measured("features", 0.3)),
            Pair("three", "large", Measured("features", 0.4), Measured("zero-shot", 0.5)),
        ];
        foreach (int first in new[] { 0, 1 }) // whichever pair comes first
        {
            DriftStudyResult study = DriftStudy.Of("t", [.. pairs.Skip(first).Concat(pairs.Take(first)).Select(entry => entry.Pair)], [.. pairs.Skip(first).Concat(pairs.Take(first)).Select(entry => entry.Measures)], spec.Intervals);
            Assert.Equal(["one", "three", "two"], study.Statistics.Where(entry => entry.Measure == "features").Select(entry => entry.Pair).Distinct().Order());
            Assert.Equal(["one", "three"], study.Statistics.Where(entry => entry.Measure == "zero-shot").Select(entry => entry.Pair).Distinct().Order());
            LevelMean small = study.Levels.Single(entry => entry is { Measure: "zero-shot", Level: "small", Statistic: "mean size after" });
            Assert.Equal(["one"], small.Pairs);
            Assert.Equal(0.3, small.Mean.Value!.Value, 12);
            LevelDifference difference = study.Differences.Single(entry => entry is { Measure: "zero-shot", Statistic: "mean size after" });
            Assert.Equal(0.1, Math.Abs(difference.Difference.Value!.Value), 12);
            DriftStudyReport.Write(study, spec, folder.File("out"));
            Assert.Contains("in no mean of this section: two.", File.ReadAllText(folder.File("out", "report.html")), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TheFolderIsHeldFromBeforeTheWorkToItsEnd(bool isStudy)
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows);
        string features = Features(folder, "f.npy", rows, shift: 0);
        if (isStudy)
            File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"groups\"", """ "pairs": [{ "name": "one", "before": "f.npy", "after": "f.npy" }, { "name": "two", "before": "f.npy", "after": "f.npy" }], "groups" """, StringComparison.Ordinal));
        void Run(Action<string> progress)
        {
            if (isStudy)
                DriftRun.RunPairs(spec, folder.File("out"), new ClipProbeModels(), progress);
            else
                DriftRun.Run(features, features, spec, folder.File("out"), new ClipProbeModels(), progress);
        }

        int looks = 0;
        Run(_ =>
        {
            looks++;
            Assert.Null(FolderLock.TryTake(folder.File("out")));
        });
        Assert.True(looks > 0);
        Assert.False(File.Exists(folder.File("out", ".lock")));
        using FolderLock? held = FolderLock.TryTake(folder.File("out"));
        string refusal = Assert.Throws<BadInputException>(() => Run(line => Assert.Fail(line))).Message;
        Assert.Contains("another process", refusal, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"groups\": [\"men\", \"women\"], \"pairs\": [{\"name\": \"x\", \"before\": \"a\", \"after\": \"b\"}, {\"name\": \"X\", \"before\": \"a\", \"after\": \"b\"}]", "more than once")]
    [InlineData("\"groups\": [\"men\", \"women\"], \"pairs\": [{\"name\": \"B/32\", \"before\": \"a\", \"after\": \"b\"}, {\"name\": \"B.32\", \"before\": \"a\", \"after\": \"b\"}]", "more than once")]
    [InlineData("\"groups\": [\"men\", \"women\"], \"pairs\": [{\"name\": \"x\", \"before\": \"a\", \"after\": \"b\", \"factors\": {\"size\": \"s\"}}, {\"name\": \"y\", \"before\": \"a\", \"after\": \"b\"}]", "other factors")]
    [InlineData("\"groups\": [\"men\", \"women\"], \"pairs\": [{\"name\": \"tables\", \"before\": \"a\", \"after\": \"b\"}]", "folder of the results")]
    [InlineData("\"groups\": [\"men\", \"women\"]", "no pairs")]
    public void PairsThatCannotBeAreRefused(string members, string message)
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows, members);
        Features(folder, "f.npy", rows, 0);
        Assert.Contains(message, Assert.Throws<BadInputException>(() => DriftRun.RunPairs(spec, folder.File("out"), new ClipProbeModels(), _ => { })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"groups\": [\"men\", \"dogs\"]", "no image is in the set 'dogs'")]
    [InlineData("\"groups\": [\"men\"]", "two different sets")]
    [InlineData("\"groups\": [\"men\", \"women\"], \"nope\": 1", "unknown key 'nope'")]
    [InlineData("\"groups\": [\"men\", \"women\"], \"labels\": {\"car\": \"a car\"}", "no sentence for the concept 'cup'")]
    [InlineData("\"groups\": null", "null")]
    public void ASpecThatCannotBeIsRefused(string members, string message)
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder, out int rows, members);
        string features = Features(folder, "f.npy", rows, 0);
        Assert.Contains(message, Assert.Throws<BadInputException>(() => DriftRun.Run(features, features, spec, folder.File("out"), new ClipProbeModels(), _ => { })).Message);
    }

    private static string Probe(TemporaryFolder folder, out int rows, string members = "\"groups\": [\"men\", \"women\"]")
    {
        string[] sets = ["men", "women", "car", "cup"];
        var lines = new List<string> { "id,set" };
        for (int i = 0; i < 80; i++)
            lines.Add($"i{i},{sets[i % 4]}");
        rows = 80;
        File.WriteAllLines(folder.File("probe.csv"), lines);
        File.WriteAllText(folder.File("drift.json"), "{\"title\": \"t\", \"metadata\": \"probe.csv\", " + members + ", \"intervals\": {\"resamples\": 199}}");
        return folder.File("drift.json");
    }

    private static string Features(TemporaryFolder folder, string name, int rows, double shift)
    {
        var random = new Random(7);
        var values = new float[rows * 3];
        for (int i = 0; i < rows; i++)
        {
            double side = (i % 4) switch { 0 => 1, 1 => -1, 2 => 0.2 + shift, _ => -0.3 + shift };
            values[i * 3] = (float)(side + (0.1 * Gauss(random)));
            values[(i * 3) + 1] = 1;
            values[(i * 3) + 2] = (float)(0.1 * Gauss(random));
        }

        string path = folder.File(name);
        NpyFile.Write(path, values, [rows, 3]);
        return path;
    }

    private static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
