using System.Globalization;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Bias by name, rankings, accuracy and retrieval through whole runs, against plain arithmetic on the features that the runs stored.</summary>
public class BiasRunTests
{
    private const int Scenes = 70, Objects = 60, Captioned = 40;

    private static readonly string[] s_classes = ["cat", "dog", "hen", "cow", "pig", "fox"];

    private static readonly (string First, string Second)[] s_pairs = [("librarian", "scientist"), ("nurse", "doctor"), ("housekeeper", "homeowner"), ("receptionist", "executive"), ("secretary", "manager")];

    [Fact]
    public void MeasuresEqualPlainArithmeticOnTheStoredFeatures()
    {
        using var folder = new TemporaryFolder();
        string spec = Spec(folder);
        AuditResult result = new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Assert.Equal(["one", "two"], result.Bias.Select(bias => bias.Model));
        foreach (ModelBias bias in result.Bias)
        {
            float[] Features(string name, int rows) => FeatureFiles.Read(folder.File("out", "embeddings", $"{bias.Model}.{name}.safetensors"), rows).Values;
            double Dot(float[] images, int image, float[] texts, int text) => Enumerable.Range(0, 16).Sum(i => (double)images[(image * 16) + i] * texts[(text * 16) + i]);

            float[] scenes = Features("images.representationBias", Scenes), words = Features("texts.representationBias", 2);
            Assert.Equal(Enumerable.Range(0, Scenes).Average(image => Dot(scenes, image, words, 0) > Dot(scenes, image, words, 1) ? 1.0 : 0), bias.Representation!.Preferred.Overall.Value!.Value, 12);
            Assert.Equal(Enumerable.Range(0, Scenes).Average(image => 1 / (1 + Math.Exp(10 * (Dot(scenes, image, words, 1) - Dot(scenes, image, words, 0))))), bias.Representation.MeanProbability.Overall.Value!.Value, 6);
            Assert.Equal("a photo of a male person", bias.Representation.FirstPrompt);

            float[] images = Features("images", 300), ranking = Features("texts.ranking", 2);
            AssociationBias association = Assert.Single(bias.Association);
            Assert.Equal(s_pairs, association.Pairs.Select(pair => (pair.First, pair.Second)));
            Assert.All(association.Pairs, pair => Assert.All(pair.Preferred.Groups, group => Assert.InRange(group.Estimate.Value!.Value, group.Estimate.Interval!.Lower, group.Estimate.Interval.Upper)));
            double[] gaps = [.. association.Pairs.Select(pair => Math.Abs(pair.Preferred["A"].Value!.Value - pair.Preferred["B"].Value!.Value))];
            AssociationSummary summary = Assert.Single(association.Summaries);
            Assert.Equal(gaps.Average(), summary.MeanGap.Value!.Value, 12);
            Assert.Equal(gaps.Max(), summary.LargestGap.Value!.Value, 12);
            Assert.Equal($"{s_pairs[Array.IndexOf(gaps, gaps.Max())].First} over {s_pairs[Array.IndexOf(gaps, gaps.Max())].Second}", summary.LargestPair);
            Assert.Equal(summary, association.Overall);
            Assert.InRange(summary.MeanGap.Value.Value, summary.MeanGap.Interval!.Lower, summary.MeanGap.Interval.Upper);

            // 100 of 300 images are of group A.
            RankingSkew skew = bias.Rankings.Single(entry => entry is { Sentence: "a clever person", Top: 10 });
            int[] order = [.. Enumerable.Range(0, 300).OrderByDescending(image => Dot(images, image, ranking, 0))];
            int Count(int among) => order.Take(among).Count(image => image % 3 == 0);
            Assert.Equal(Math.Max(Math.Log(Count(10) / 10.0 / (100 / 300.0)), Math.Log((10 - Count(10)) / 10.0 / (200 / 300.0))), skew.MaxSkew, 12);
            double Term(double share, double wanted) => share > 0 ? share * Math.Log(share / wanted) : 0;
            double total = Enumerable.Range(1, 10).Sum(i => 1 / Math.Log2(i + 1));
            Assert.Equal(Enumerable.Range(1, 10).Sum(i => (Term(Count(i) / (double)i, 1 / 3.0) + Term(1 - (Count(i) / (double)i), 2 / 3.0)) / Math.Log2(i + 1)) / total, skew.Ndkl, 12);
            Assert.InRange(skew.MaxSkewP!.Value, 0.005, 1);
            Assert.Equal(2 * 3, bias.Rankings.Count);

            float[] objects = Features("images.accuracy", Objects), prompts = Features("texts.accuracy", 12);
            // Two templates a class: means of unit vectors, scaled to length 1.
            float[][] means = [.. s_classes.Select((_, c) => Enumerable.Range(0, 16).Select(i => prompts[(2 * c * 16) + i] + prompts[(((2 * c) + 1) * 16) + i]).ToArray())];
            double Score(int image, int c) => Enumerable.Range(0, 16).Sum(i => objects[(image * 16) + i] * (double)means[c][i]) / Math.Sqrt(means[c].Sum(value => (double)value * value));
            foreach (int top in new[] { 1, 5 })
            {
                double right = Enumerable.Range(0, Objects).Average(image => Enumerable.Range(0, 6).OrderByDescending(c => Score(image, c)).Take(top).Contains(image % 6) ? 1.0 : 0);
                Assert.Equal(right, bias.Accuracy!.Rates.Single(rate => rate.Measure == $"top-{top}" && rate.Part.Length == 0).Rate.Value);
            }

            float[] captioned = Features("images.retrieval", Captioned), captions = Features("texts.retrieval", 2 * Captioned);
            double found = Enumerable.Range(0, Captioned).Average(image => Enumerable.Range(0, 2 * Captioned).OrderByDescending(text => Dot(captioned, image, captions, text)).Take(5).Any(text => text / 2 == image) ? 1.0 : 0);
            Assert.Equal(found, bias.Retrieval!.Rates.Single(rate => rate is { Measure: "image to text, recall@5", Part: "" }).Rate.Value);
            Assert.Equal(2, bias.Retrieval.Rates.Count(rate => rate is { Measure: "text to image, recall@10", Part: "group" }));
        }

        string page = System.Net.WebUtility.HtmlDecode(File.ReadAllText(folder.File("out", "report.html")));
        Assert.All(["Representation bias", "Association bias", "Whom sentences find first", "Zero-shot accuracy", "Image-text retrieval", "a reconstruction"], text => Assert.Contains(text, page, StringComparison.Ordinal));
        Assert.All(["bias-male-preferred-zero-shot-top-1-accuracy", "bias-mean-gap-of-a-and-b-recall-1-text-to-image"], figure => Assert.True(File.Exists(folder.File("out", "figures", figure + ".svg")), figure));
        Assert.All(["preferences", "preference-gaps", "association-bias", "rankings", "quality", "quality-gaps"], table => Assert.True(File.Exists(folder.File("out", "tables", table + ".csv")), table));
        Assert.Equal(result.Bias[0].Association[0].Summaries[0], ResultDirectory.Read(folder.File("out")).Bias[0].Association[0].Summaries[0]);
    }

    [Fact]
    public void AnInterruptedRunAndPartsEndWithTheBytesOfAWholeRun()
    {
        using var folder = new TemporaryFolder();
        string spec = Spec(folder);
        AuditRun Run(string name, Action<string>? encoding = null) => new(spec, folder.File(name), new FakeModels(encoding), new ReportWriter());
        Run("whole").Execute();
        Dictionary<string, string> expected = AuditRunTests.Contents(folder.File("whole"));
        int left = 9;
        Assert.Throws<InvalidOperationException>(() => Run("killed", _ =>
        {
            if (left-- == 0)
                throw new InvalidOperationException("killed");
        }).Execute());
        Run("killed").Execute();
        Assert.Equal(expected, AuditRunTests.Contents(folder.File("killed")));

        // Five chunks of the probe, two of scenes, one of objects, one of captioned images; two models.
        var encoded = new List<string>();
        for (int part = 1; part <= 4; part++)
            Assert.Empty(Run("parts", encoded.Add).ExecutePart(new PartNumber(part, 4), "fake", default)!);
        Assert.Equal(18, encoded.Count);
        encoded.Clear();
        Run("parts", encoded.Add).ExecuteMerge(default);
        Assert.All(encoded, what => Assert.EndsWith("texts", what, StringComparison.Ordinal));
        Dictionary<string, string> merged = AuditRunTests.Contents(folder.File("parts"));
        Assert.Equal(expected, merged.Where(file => !file.Key.StartsWith("parts", StringComparison.Ordinal)).ToDictionary());

        // Other words of one measure embed no image again and leave the experiments' analyses alone.
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"template\": \"a {label}\"", "\"template\": \"one {label}\"", StringComparison.Ordinal));
        DateTime analysed = File.GetLastWriteTimeUtc(folder.File("whole", "analysis", "model.one.json"));
        encoded.Clear();
        Run("whole", encoded.Add).Execute();
        Assert.Equal(["one texts", "two texts"], encoded);
        Assert.Equal(analysed, File.GetLastWriteTimeUtc(folder.File("whole", "analysis", "model.one.json")));
    }

    [Theory]
    [InlineData("\"truth\": \"class\"", "\"truth\": \"kind\"", "no attribute 'kind'")]
    [InlineData("\"cat\": \"cat\", ", "", "'cat'")]
    [InlineData("\"captions\": \"captions.csv\"", "\"captions\": \"objects.csv\"", "no column 'image'")]
    [InlineData("\"templates\": [\"a {label}.\"", "\"templates\": [\"a .\"", "needs {label}")]
    [InlineData("\"sentences\": [\"a clever person\", \"a kind person\"]", "\"sentences\": []", "sentences is empty")]
    [InlineData("\"top\": [5, 10]", "\"top\": [0]", "1 or more")]
    [InlineData("\"second\": \"female\"", "\"second\": \"male\"", "against itself")]
    [InlineData("\"metadata\": \"scenes.csv\"", "\"metadata\": \"nothing.csv\"", "nothing.csv")]
    public void WhatCannotBeMeasuredIsRefusedBeforeAnythingIsEmbedded(string instead, string with, string message)
    {
        using var folder = new TemporaryFolder();
        string spec = Spec(folder);
        string text = File.ReadAllText(spec);
        Assert.Contains(instead, text, StringComparison.Ordinal);
        File.WriteAllText(spec, text.Replace(instead, with, StringComparison.Ordinal));
        string found = Assert.Throws<BadInputException>(() => new AuditRun(spec, folder.File("out"), new FakeModels(_ => throw new InvalidOperationException("embedded")), new ReportWriter()).Execute()).Message;
        Assert.Contains(message, found, StringComparison.Ordinal);
    }

    /// <summary>Planted preferences in 400 simulated probes: the intervals of a gap and of both summaries hold the truth, and the gap has its sign.</summary>
    [Fact]
    public void IntervalsOfPlantedPreferencesHoldThem()
    {
        const int images = 240;
        double[] first = [0.7, 0.3, 0.55, 0.5, 0.4], second = [0.3, 0.5, 0.45, 0.5, 0.55];
        WordPair[] pairs = [.. s_pairs.Select(pair => new WordPair(pair.First, pair.Second, pair.First, pair.Second))];
        double[] gaps = [.. first.Zip(second, (one, two) => Math.Abs(one - two))];
        int gapHeld = 0, meanHeld = 0, largestHeld = 0, signs = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            ProbeImage[] probe = [.. Enumerable.Range(0, images).Select(i => new ProbeImage($"{i}", $"{i}", $"{i}", i % 2 == 0 ? "A" : "B"))];
            ScoreMatrix[] scores = [.. pairs.Select((_, pair) => new ScoreMatrix(images, 2, [.. Enumerable.Range(0, images).SelectMany(i =>
            {
                float probability = random.NextDouble() < (i % 2 == 0 ? first : second)[pair] ? 0.8f : 0.2f;
                return new[] { probability, 1 - probability };
            })]))];
            AssociationBias bias = BiasAnalysis.Association(pairs, scores, new GroupSet("group", new Grouping(["A", "B"], probe)), new IntervalOptions { Resamples = 99 });
            bool Holds(Estimate estimate, double truth) => estimate.Interval!.Lower <= truth && truth <= estimate.Interval.Upper;
            AssociationSummary summary = Assert.Single(bias.Summaries);
            gapHeld += Holds(bias.Pairs[0].Preferred.Gaps[0].Difference, 0.4) ? 1 : 0;
            signs += bias.Pairs[0].Preferred.Gaps[0].Difference.Value > 0 ? 1 : 0;
            meanHeld += Holds(summary.MeanGap, gaps.Average()) ? 1 : 0;
            largestHeld += Holds(summary.LargestGap, gaps.Max()) ? 1 : 0;
        }

        Assert.Equal(400, signs);
        Assert.InRange(gapHeld, 368, 392);
        // Envelopes hold at least as often as they say.
        Assert.InRange(meanHeld, 376, 400);
        Assert.InRange(largestHeld, 376, 400);
    }

    /// <summary>Three groups: over every two of them the mean and the largest of all gaps, with intervals that are wider than those of two groups alone.</summary>
    [Fact]
    public void EveryTwoGroupsAreSummedUp()
    {
        var random = new Random(3);
        ProbeImage[] probe = [.. Enumerable.Range(0, 90).Select(i => new ProbeImage($"{i}", $"{i}", $"{i}", "ABC"[i % 3].ToString()))];
        WordPair[] pairs = [new("a", "b", "a", "b"), new("c", "d", "c", "d")];
        ScoreMatrix[] scores = [.. pairs.Select(_ => new ScoreMatrix(90, 2, [.. Enumerable.Range(0, 90).SelectMany(i => random.NextDouble() < 0.2 + (0.25 * (i % 3)) ? new[] { 0.9f, 0.1f } : [0.1f, 0.9f])]))];
        AssociationBias bias = BiasAnalysis.Association(pairs, scores, new GroupSet("group", new Grouping(["A", "B", "C"], probe)), new IntervalOptions { Resamples = 99 });
        double[] gaps = [.. bias.Pairs.SelectMany(pair => pair.Preferred.Gaps.Select(gap => Math.Abs(gap.Difference.Value!.Value)))];
        Assert.Equal(6, gaps.Length);
        Assert.Equal(gaps.Average(), bias.Overall!.MeanGap.Value!.Value, 12);
        Assert.Equal(gaps.Max(), bias.Overall.LargestGap.Value!.Value, 12);
        AssociationSummary same = bias.Summaries.Single(summary => summary.FirstGroup == bias.Overall.FirstGroup && summary.SecondGroup == bias.Overall.SecondGroup);
        Assert.Equal(same.LargestPair, bias.Overall.LargestPair);
        Assert.True(bias.Overall.LargestGap.Interval!.Upper > same.LargestGap.Interval!.Upper);
    }

    [Fact]
    public void EqualScoresCountOneHalf()
    {
        ProbeImage[] probe = [.. Enumerable.Range(0, 4).Select(i => new ProbeImage($"{i}", $"{i}", $"{i}", "A"))];
        PairPreference preference = BiasAnalysis.Preference(new WordPair("a", "b", "a", "b"), new ScoreMatrix(4, 2, [0.5f, 0.5f, 0.9f, 0.1f, 0.5f, 0.5f, 0.1f, 0.9f]), new Grouping(["A"], probe), new IntervalOptions { Resamples = 99 });
        Assert.Equal(0.5, preference.Preferred.Overall.Value);
    }

    /// <summary>A ranking that puts one group first by far, and one that knows nothing of groups: the first is beyond chance, the second's p-values are spread evenly.</summary>
    [Fact]
    public void SkewIsFoundWhereItIsAndNotWhereItIsNot()
    {
        const int images = 120;
        ProbeImage[] probe = [.. Enumerable.Range(0, images).Select(i => new ProbeImage($"{i}", $"{i}", $"{i}", i % 3 == 0 ? "A" : "B"))];
        var set = new GroupSet("group", new Grouping(["A", "B"], probe));
        var options = new IntervalOptions { Resamples = 199 };
        RankingSkew planted = RankingAnalysis.Analyse(["s"], [.. Enumerable.Range(0, images).Select(i => i % 3 == 0 ? 1.0 : 0)], [20], set, options)[0];
        Assert.Equal(Math.Log(3), planted.MaxSkew, 12);
        Assert.Equal("A", planted.Group);
        Assert.Equal(1.0 / 200, planted.MaxSkewP);
        int small = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            small += RankingAnalysis.Analyse(["s"], [.. Enumerable.Range(0, images).Select(_ => random.NextDouble())], [20], set, options)[0].NdklP <= 0.05 ? 1 : 0;
        }

        Assert.InRange(small, 8, 32);
    }

    /// <summary>The spec of <see cref="AuditRunTests"/> with every measure beside its experiment.</summary>
    private static string Spec(TemporaryFolder folder)
    {
        string spec = AuditRunTests.Probe(folder);
        void Images(string name, int count)
        {
            Directory.CreateDirectory(folder.File(name));
            for (int i = 0; i < count; i++)
                File.WriteAllText(folder.File(name, string.Create(CultureInfo.InvariantCulture, $"{i}.bin")), $"{name} {i}");
        }

        Images("scenes", Scenes);
        Images("objects", Objects);
        Images("captioned", Captioned);
        File.WriteAllLines(folder.File("scenes.csv"), Enumerable.Range(0, Scenes).Select(static i => $"{i}.bin").Prepend("file"));
        File.WriteAllLines(folder.File("objects.csv"), Enumerable.Range(0, Objects).Select(static i => $"{i}.bin,{s_classes[i % 6]},{(i % 4 == 0 ? "north" : "south")}").Prepend("file,class,region"));
        File.WriteAllLines(folder.File("captioned.csv"), Enumerable.Range(0, Captioned).Select(static i => $"{i},{i}.bin,{(i % 2 == 0 ? "F" : "M")}").Prepend("id,file,gender"));
        File.WriteAllLines(folder.File("captions.csv"), Enumerable.Range(0, 2 * Captioned).Select(static i => $"{i / 2},caption {i}").Prepend("image,caption"));
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"scale\":", """
            "representationBias": { "probe": { "metadata": "scenes.csv", "images": "scenes" }, "template": "a photo of a {label} person", "second": "female" },
            "associationBias": { "template": "a {label}" },
            "ranking": { "sentences": ["a clever person", "a kind person"], "top": [5, 10] },
            "accuracy": { "probe": { "metadata": "objects.csv", "images": "objects", "group": ["region"] }, "truth": "class",
              "classes": { "cat": "cat", "dog": "dog", "hen": "hen", "cow": "cow", "pig": "pig", "fox": "fox" }, "templates": ["a {label}.", "the {label}."] },
            "retrieval": { "probe": { "metadata": "captioned.csv", "images": "captioned", "file": "file", "group": ["gender"] }, "captions": "captions.csv" },
            "scale":
            """, StringComparison.Ordinal));
        return spec;
    }
}
