using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Scores as a softmax over labels, or as a sigmoid of each label by itself, and what is said of either.</summary>
public sealed class ReadingTests : IDisposable
{
    private const double Scale = 7.5, Bias = -3.25;

    private static readonly string[] s_labels = ["anchor", "basket", "candle", "drum"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AModelTrainedWithASigmoidIsReadWithItsOwnScaleAndBias()
    {
        AuditResult result = Run("{ \"key\": \"m\", \"model\": \"biased\" }");
        ModelSummary summary = result.Models[0];
        Assert.Equal(ScoreReading.Sigmoid, summary.Reading);
        Assert.Equal("sigmoid(7.5 · cosine - 3.25), each label by itself, the checkpoint's own scale and bias", summary.Scoring);
        Assert.Equal("6 images and 4 sentences encoded, 0.064 GFLOP", summary.Cost);
        ModelExperimentResult own = result.Experiments[0].Models[0];
        double largest = 0, entropy = 0, margin = 0;
        for (int row = 0; row < 6; row++)
        {
            double[] cosines = Cosines(row), expected = [.. cosines.Select(static cosine => 1 / (1 + Math.Exp(-((Scale * cosine) + Bias))))];
            for (int column = 0; column < s_labels.Length; column++)
                Assert.Equal(expected[column], own.Probabilities![row, column], 1e-6);
            largest += Math.Max(expected[0], expected[2]) / 6;
            entropy -= expected.Sum(value => value / expected.Sum() * Math.Log(value / expected.Sum())) / 6;
            double[] sorted = [.. cosines.OrderDescending()];
            margin += (sorted[0] - sorted[1]) / 6;
        }

        // A merged label has the probability of its likeliest label: a sigmoid says nothing of two labels together.
        Assert.Equal(largest, own.MergedMeanProbability[0].Overall.Value!.Value, 1e-6);
        Assert.Equal(entropy, own.Entropy.Overall.Value!.Value, 1e-6);
        Assert.Equal(margin, own.Margin!.Overall.Value!.Value, 1e-5);

        // The report and every row of the tables say so, and what was written reads back.
        Assert.Contains("Not so for m: there each score goes through a sigmoid by itself.", Report(), StringComparison.Ordinal);
        foreach (string table in new[] { "groups", "predictions" })
        {
            string[] lines = File.ReadAllLines(_folder.File("out", "tables", table + ".csv"));
            int reading = Array.IndexOf(lines[0].Split(','), "reading");
            Assert.All(lines.Skip(1), line => Assert.Equal("sigmoid", line.Split(',')[^(lines[0].Split(',').Length - reading)]));
        }

        AuditResult again = ResultDirectory.Read(_folder.File("out"));
        Assert.Equal(own.Probabilities!.Values, again.Experiments[0].Models[0].Probabilities!.Values);
        Assert.Equal(ScoreReading.Sigmoid, again.Experiments[0].Models[0].Probabilities!.Reading);
    }

    [Fact]
    public void TheSameModelCanBeReadAsASoftmaxWhichIsSaid()
    {
        AuditResult result = Run("{ \"key\": \"s\", \"model\": \"biased\" }, { \"key\": \"m\", \"model\": \"biased\", \"reading\": \"softmax\" }");
        ModelSummary summary = result.Models[1];
        Assert.Equal(ScoreReading.Softmax, summary.Reading);
        Assert.Contains(summary.Remarks, static remark => remark.Contains("another reading of the same scores", StringComparison.Ordinal));
        ScoreMatrix softmax = result.Experiments[0].Models[1].Probabilities!, sigmoid = result.Experiments[0].Models[0].Probabilities!;
        for (int row = 0; row < softmax.Rows; row++)
        {
            double[] powers = [.. Cosines(row).Select(static cosine => Math.Exp(2 * cosine))];
            for (int column = 0; column < powers.Length; column++)
                Assert.Equal(powers[column] / powers.Sum(), softmax[row, column], 1e-6);
            Assert.Equal(sigmoid.Argmax(row), softmax.Argmax(row));
        }

        Assert.Contains("Those of a softmax and those of a sigmoid are no more comparable", Report(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"model\": \"plain\", \"reading\": \"sigmoid\"", "has no logit_bias")]
    public void WhatAModelCannotDoFailsItByName(string model, string reason)
    {
        AuditResult result = Run($"{{ \"key\": \"other\", \"model\": \"plain\" }}, {{ \"key\": \"m\", {model} }}");
        Assert.Null(result.Models[0].Failure);
        Assert.Contains(reason, result.Models[1].Failure, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"model\": \"plain\", \"reading\": \"logistic\"", "reading is 'logistic'")]
    [InlineData("\"model\": \"plain\", \"scorer\": \"both\"", "scorer is 'both'")]
    [InlineData("\"scores\": { \"things\": { \"softmax\": \"x.npy\" } }, \"reading\": \"sigmoid\"", "belong to a model that is run")]
    public void OtherWordsAreRefused(string model, string reason) =>
        Assert.Contains(reason, Assert.Throws<BadInputException>(() => Run($"{{ \"key\": \"m\", {model} }}")).Message, StringComparison.Ordinal);

    /// <summary>BLIP by its features and by its matching head, on the tiny model: the log odds are those of <see cref="PairModel"/>.</summary>
    [SkippableFact]
    public void BlipIsScoredByFeaturesAndByPairs()
    {
        string blip = TestData.SharedPath("goldens", "blip", "transformers-itm-tiny");
        string[] images = [.. Directory.GetFiles(TestData.Path("preprocess", "images"), "*.png").Order(StringComparer.Ordinal).Take(6)];
        AuditResult result = Run(
            $$"""{ "key": "itc", "model": "{{blip}}" }, { "key": "itm", "model": "{{blip}}", "scorer": "pairs", "reading": "sigmoid" }, { "key": "competing", "model": "{{blip}}", "scorer": "pairs" }""",
            images, new ClipProbeModels(), scale: "checkpoint");
        Assert.All(result.Models, static model => Assert.Null(model.Failure));
        Assert.Equal([ScoreOrigin.Cosines, ScoreOrigin.MatchLogOdds, ScoreOrigin.MatchLogOdds], result.Models.Select(static model => model.Origin));
        Assert.StartsWith("6 images and 4 sentences encoded", result.Models[0].Cost, StringComparison.Ordinal);
        Assert.StartsWith("6 images encoded, 24 pairs of an image and a sentence read", result.Models[1].Cost, StringComparison.Ordinal);
        using PairModel model = PairModel.Load(blip);
        float[] odds = model.ScorePairs(images, [.. s_labels.Select(static label => $"a {label}")]);
        ScoreMatrix sigmoid = result.Experiments[0].Models[1].Probabilities!, softmax = result.Experiments[0].Models[2].Probabilities!;
        for (int row = 0; row < 6; row++)
        {
            double[] own = [.. odds.Skip(4 * row).Take(4).Select(static value => (double)value)];
            double sum = own.Sum(Math.Exp);
            for (int column = 0; column < 4; column++)
            {
                Assert.Equal(1 / (1 + Math.Exp(-own[column])), sigmoid[row, column], 1e-6);
                Assert.Equal(Math.Exp(own[column]) / sum, softmax[row, column], 1e-6);
            }
        }
    }

    /// <summary>BLIP-2's image has a vector of each query: its pairs are scored unless features are asked for, which is refused.</summary>
    [SkippableFact]
    public void Blip2IsScoredByPairs()
    {
        string blip = TestData.SharedPath("goldens", "blip", "transformers-blip2-tiny");
        string[] images = [.. Directory.GetFiles(TestData.Path("preprocess", "images"), "*.png").Order(StringComparer.Ordinal).Take(6)];
        AuditResult result = Run($$"""{ "key": "itm", "model": "{{blip}}" }, { "key": "itc", "model": "{{blip}}", "scorer": "features" }""", images, new ClipProbeModels(), scale: "checkpoint");
        Assert.Null(result.Models[0].Failure);
        Assert.Equal(ScoreOrigin.MatchLogOdds, result.Models[0].Origin);
        Assert.Contains("6 vectors for each image", result.Models[1].Failure, StringComparison.Ordinal);
    }

    private string Report() => File.ReadAllText(_folder.File("out", "report.html"));

    private AuditResult Run(string models, string[]? images = null, IProbeModelSource? source = null, string scale = "2")
    {
        if (images is null)
        {
            images = [.. Enumerable.Range(0, 6).Select(image => _folder.File($"{image}.png"))];
            foreach (string image in images)
                File.WriteAllText(image, "not looked at");
        }

        File.WriteAllLines(_folder.File("probe.csv"), ["image,group", .. images.Select(static (image, index) => $"{Path.GetFileName(image)},{(index % 2 == 0 ? "even" : "odd")}")]);
        File.WriteAllText(_folder.File("spec.json"), $$"""
            {
              "title": "Test",
              "probe": { "metadata": "probe.csv", "images": "{{Path.GetDirectoryName(images[0])}}", "id": "image", "file": "image", "group": ["group"] },
              "models": [{{models}}],
              "experiments": [{ "key": "things", "title": "Things", "template": "a {label}",
                "labels": [{{string.Join(", ", s_labels.Select(static label => $"{{ \"text\": \"{label}\" }}"))}}],
                "merged": [{ "name": "either", "labels": ["anchor", "candle"] }] }],
              "scale": "{{scale}}",
              "intervals": { "resamples": 99 }
            }
            """);
        return new AuditRun(_folder.File("spec.json"), _folder.File("out"), source ?? new Models(), new ReportWriter()).Execute();
    }

    /// <summary>Angles of unit vectors: an image's by its place, a label's by its place.</summary>
    private static double AngleOfImage(int image) => 0.9 * image;

    private static double AngleOfLabel(int label) => 0.4 + (1.3 * label);

    private static double[] Cosines(int image) => [.. Enumerable.Range(0, s_labels.Length).Select(label => Math.Cos(AngleOfImage(image) - AngleOfLabel(label)))];

    private sealed class Models : IProbeModelSource
    {
        public ProbeModelFiles Find(string model, bool acceptActivationMismatch) => new(model, [], model, acceptActivationMismatch);

        public IProbeModel Open(ProbeModelFiles files, string elementType) => new Encoder(files.Path == "biased");
    }

    private sealed class Encoder(bool isBiased) : IProbeEncoder
    {
        public string Device => "paper";

        public IReadOnlyList<string> Notices => [];

        public string Preprocessing => "none";

        public int Width => 2;

        public double? Scale => ReadingTests.Scale;

        public double? Bias => isBiased ? ReadingTests.Bias : null;

        public (double Image, double Sentence)? Operations => (1e7, 1e6);

        public float[] EncodeImages(IReadOnlyList<string> files, CancellationToken cancellationToken) =>
            [.. files.SelectMany(static file => Unit(AngleOfImage(int.Parse(Path.GetFileNameWithoutExtension(file), System.Globalization.CultureInfo.InvariantCulture))))];

        public float[] EncodeTexts(IReadOnlyList<string> sentences, CancellationToken cancellationToken) =>
            [.. sentences.SelectMany(static sentence => Unit(AngleOfLabel(Array.IndexOf(s_labels, sentence[2..]))))];

        public void Dispose()
        {
        }

        private static float[] Unit(double angle) => [(float)Math.Cos(angle), (float)Math.Sin(angle)];
    }
}
