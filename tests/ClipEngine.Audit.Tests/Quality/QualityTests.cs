using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Quality;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Quality;

public class QualityTests
{
    /// <summary>Ranks by sorting, recall by counting: another way than the product's.</summary>
    [Fact]
    public void RecallEqualsSortingAndCounting()
    {
        const int width = 6;
        var random = new Random(2);
        float[] images = Unit(random, 30, width), texts = Unit(random, 50, width);
        int[] imageOfText = [.. Enumerable.Range(0, 50).Select(text => text % 30)];
        string[] groups = [.. Enumerable.Range(0, 30).Select(image => image % 3 == 0 ? "a" : "b")], persons = [.. Enumerable.Range(0, 30).Select(image => $"{image}")];
        QualityResult result = QualityMeasure.Retrieval(images, texts, width, imageOfText, groups, persons, 0.95);
        double Score(int image, int text) => Enumerable.Range(0, width).Sum(i => (double)images[(image * width) + i] * texts[(text * width) + i]);
        foreach (int k in new[] { 1, 5, 10 })
        {
            double toText = Enumerable.Range(0, 30).Average(image => Enumerable.Range(0, 50).OrderByDescending(text => Score(image, text)).Take(k).Any(text => imageOfText[text] == image) ? 1.0 : 0);
            double toImage = Enumerable.Range(0, 50).Average(text => Enumerable.Range(0, 30).OrderByDescending(image => Score(image, text)).Take(k).Contains(imageOfText[text]) ? 1.0 : 0);
            Assert.Equal(toText, Rate(result, $"image to text, recall@{k}", ""));
            Assert.Equal(toImage, Rate(result, $"text to image, recall@{k}", ""));
        }
    }

    [Fact]
    public void AccuracyAveragesTheSentencesOfAClass()
    {
        // Class A's two sentences average to the diagonal; the image on it is of class A, the one on the axis of class B.
        float[] texts = [1, 0, 0, 1, -1, 0];
        double[] vectors = QualityMeasure.Classifier(texts, 2, ["A", "A", "B"], ["A", "B"]);
        Assert.Equal(Math.Sqrt(0.5), vectors[0], 7);
        QualityResult result = QualityMeasure.Accuracy([0.6f, 0.8f, -1, 0, -0.6f, -0.8f], 2, vectors, ["A", "B"], ["A", "B", "A"], ["x", "x", "y"], ["1", "2", "3"], 0.95);
        Assert.Equal(2.0 / 3, Rate(result, "top-1", "")!.Value, 12);
        Assert.Equal(1, Rate(result, "top-1", "x"));
        Assert.Equal(0, Rate(result, "top-1", "y"));
        Assert.Equal(0.5, result.Rates.Single(rate => rate is { Measure: "top-1", Part: "class", Name: "A" }).Rate.Value);
        // Newcombe for 2 of 2 against 0 of 1.
        Assert.Equal(1, Assert.Single(result.Gaps).Gap.Value);
    }

    [Theory]
    [InlineData(new[] { 0.5, 0.9, 0.1 }, 1, 0)]
    [InlineData(new[] { 0.5, 0.5, 0.5 }, 2, 2)]
    [InlineData(new[] { 0.5, 0.9, 0.1 }, 2, 2)]
    public void EqualScoresRankInTheirOrder(double[] scores, int own, int rank) => Assert.Equal(rank, QualityMeasure.Rank(scores, own));

    /// <summary>Each person counts once where all images of a person agree.</summary>
    [Fact]
    public void ImagesOfOnePersonAreNoIndependentEvidence()
    {
        double[] outcomes = [1, 1, 1, 1, 0, 0, 0, 0];
        string[] persons = ["p", "p", "q", "q", "r", "r", "s", "s"];
        Interval interval = ClusteredRate.Of(outcomes, persons, [.. Enumerable.Range(0, 8)], 0.95).Interval!;
        Interval four = Proportions.Wilson(2, 4, 0.95);
        Assert.Equal(four.Lower, interval.Lower, 12);
        Assert.Equal(four.Upper, interval.Upper, 12);
        Interval alone = ClusteredRate.Of(outcomes, [.. outcomes.Select((_, i) => $"{i}")], [.. Enumerable.Range(0, 8)], 0.95).Interval!;
        Assert.Equal(Proportions.Wilson(4, 8, 0.95).Lower, alone.Lower, 12);
    }

    [Fact]
    public void AThresholdKeepsWhatReachesIt()
    {
        CurationResult result = CurationMeasure.Measure([0.2, 0.28, 0.3, 0.4], ["a", "a", "b", "b"], ["1", "2", "3", "4"], [0.28, 0.3], 0.95);
        double? Kept(double threshold, string group) => result.Kept.Single(share => share.Threshold == threshold && share.Group == group).Kept.Value;
        Assert.Equal(0.75, Kept(0.28, ""));
        Assert.Equal(0.5, Kept(0.28, "a"));
        Assert.Equal(0.0, Kept(0.3, "a"));
        Assert.Equal(1.0, Kept(0.3, "b"));
        Assert.Equal(-1.0, result.Gaps.Single(gap => gap.Measure == "kept at 0.3").Gap.Value);
        Assert.Equal(0.24, result.Distributions.Single(part => part.Group == "a").Mean, 12);
    }

    [Fact]
    public void FilesThatDoNotFitTogetherAreRefused()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("m.csv"), "id,g,c\n1,a,cat\n2,b,dog\n");
        File.WriteAllText(folder.File("c.csv"), "class,image\ncat,1\n");
        NpyFile.Write<float>(folder.File("i.npy"), [1, 0, 0, 1], 2, 2);
        NpyFile.Write<float>(folder.File("t.npy"), [1, 0], 1, 2);
        NpyFile.Write<float>(folder.File("w.npy"), [1, 0, 0], 1, 3);
        QualityInputs inputs = new() { ImageFeatures = folder.File("i.npy"), TextFeatures = folder.File("t.npy"), Metadata = folder.File("m.csv"), Columns = new ProbeColumns { Group = ["g"] } };
        void Refused(Action act, string message) => Assert.Contains(message, Assert.Throws<BadInputException>(act).Message);
        Refused(() => QualityRun.Accuracy(inputs, folder.File("c.csv"), "class", "c", folder.File("o")), "class 'dog'");
        Refused(() => QualityRun.Accuracy(inputs, folder.File("c.csv"), "nope", "c", folder.File("o")), "no column 'nope'");
        Refused(() => QualityRun.Retrieval(inputs with { TextFeatures = folder.File("w.npy") }, folder.File("c.csv"), "image", folder.File("o")), "3 columns");
        Refused(() => QualityRun.Retrieval(inputs, folder.File("c.csv"), "class", folder.File("o")), "no image 'cat'");
        Refused(() => QualityRun.Curation(inputs, [0.28], folder.File("o")), "[2, width] was expected");
        Assert.False(Directory.Exists(folder.File("o")));
        QualityRun.Retrieval(inputs, folder.File("c.csv"), "image", folder.File("o"));
        QualityRun.Curation(inputs with { TextFeatures = folder.File("i.npy") }, [0.28, 0.3], folder.File("o"));
        Assert.True(File.Exists(folder.File("o", "tables", "kept.csv")));
    }

    private static double? Rate(QualityResult result, string measure, string name) => result.Rates.Single(rate => rate.Measure == measure && rate.Name == name && rate.Part != "class").Rate.Value;

    private static float[] Unit(Random random, int rows, int width)
    {
        var values = new float[rows * width];
        for (int row = 0; row < rows; row++)
        {
            double square = 0;
            for (int i = 0; i < width; i++)
            {
                values[(row * width) + i] = (float)(random.NextDouble() - 0.5);
                square += (double)values[(row * width) + i] * values[(row * width) + i];
            }

            for (int i = 0; i < width; i++)
                values[(row * width) + i] /= (float)Math.Sqrt(square);
        }

        return values;
    }
}
