using System.Globalization;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;

namespace ClipEngine.Audit.Tests.Scores;

public class FeatureScorerTests
{
    private const int Width = 32, Images = 300;

    [Theory]
    [InlineData("bf16")]
    [InlineData("int16")]
    [InlineData("int8")]
    public void FewerBitsFindTheLabelsOfFp32AndSayHowCloseTheyAre(string precision)
    {
        int[] segments = [40, 9, 3];
        float[] images = UnitRows(Images, 1), prompts = UnitRows(segments.Sum(), 2);
        (ScoreMatrix[] expected, string none) = FeatureScorer.Score(images, prompts, Width, segments, 100, bias: null, "fp32", CancellationToken.None);
        Assert.Empty(none);

        (ScoreMatrix[] found, string note) = FeatureScorer.Score(images, prompts, Width, segments, 100, bias: null, precision, CancellationToken.None);

        string within = $", in {precision}: probabilities within ";
        double bound = 0;
        if (note.StartsWith(within, StringComparison.Ordinal))
            bound = double.Parse(note[within.Length..].Split(' ')[0], CultureInfo.InvariantCulture) * 1.1; // said with two digits
        else
            Assert.StartsWith(", in fp32 (", note);
        for (int segment = 0; segment < segments.Length; segment++)
        {
            for (int row = 0; row < Images; row++)
                Assert.Equal(expected[segment].Argmax(row), found[segment].Argmax(row));
            for (int i = 0; i < expected[segment].Values.Length; i++)
                Assert.Equal(expected[segment].Values[i], found[segment].Values[i], bound);
        }
    }

    private static float[] UnitRows(int rows, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[rows * Width];
        for (int row = 0; row < rows; row++)
        {
            Span<float> here = values.AsSpan(row * Width, Width);
            double squares = 0;
            foreach (ref float value in here)
            {
                value = (float)(random.NextDouble() - 0.5);
                squares += value * value;
            }

            foreach (ref float value in here)
                value = (float)(value / Math.Sqrt(squares));
        }

        return values;
    }
}
