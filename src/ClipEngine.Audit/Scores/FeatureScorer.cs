using ClipEngine.Audit.Results;
using ClipEngine.Scoring;

namespace ClipEngine.Audit.Scores;

/// <summary>Scores unit features of images against those of prompts: all label sets and wordings in one sweep.</summary>
internal static class FeatureScorer
{
    /// <summary>The softmax within each segment of prompts.</summary>
    /// <param name="images"><c>[images, width]</c>, rows of length 1.</param>
    /// <param name="prompts"><c>[prompts, width]</c>, rows of length 1, segment after segment.</param>
    /// <param name="width">Features of a row.</param>
    /// <param name="segments">Prompts of each segment.</param>
    /// <param name="scale">What cosines are multiplied with.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>For each segment <c>[images, prompts of it]</c>.</returns>
    public static ScoreMatrix[] Score(
        float[] images, float[] prompts, int width, IReadOnlyList<int> segments, double scale, CancellationToken cancellationToken)
    {
        int rows = images.Length / width;
        int columns = segments.Sum();
        ScoreMatrix[] matrices = [.. segments.Select(length => new ScoreMatrix(rows, length, new float[(long)rows * length]))];
        using FeatureSource promptFeatures = FeatureSource.FromMemory(prompts, width, "prompts");
        using FeatureSource imageFeatures = FeatureSource.FromMemory(images, width, "images");
        using var sweep = new ProbeSweep(promptFeatures, new ProbeSweepOptions
        {
            Scale = scale,
            SegmentLengths = [.. segments],
            Probabilities = true,
        });
        sweep.Run(
            new ProbeSweepInput
            {
                Images = imageFeatures,
                Rows = (in SweepRows part) =>
                {
                    for (int row = 0; row < part.RowCount; row++)
                    {
                        ReadOnlySpan<float> all = part.Probabilities.Slice(row * columns, columns);
                        int start = 0;
                        foreach (ScoreMatrix matrix in matrices)
                        {
                            all.Slice(start, matrix.Columns).CopyTo(matrix.Values.AsSpan((int)((part.FirstRow + row) * matrix.Columns), matrix.Columns));
                            start += matrix.Columns;
                        }
                    }
                },
            },
            cancellationToken);
        return matrices;
    }

    /// <summary>The softmax of cosines that were computed elsewhere, in double precision.</summary>
    public static ScoreMatrix Softmax(ScoreMatrix cosines, double scale)
    {
        var values = new float[cosines.Values.Length];
        var exponentials = new double[cosines.Columns];
        for (int row = 0; row < cosines.Rows; row++)
        {
            double best = cosines[row, cosines.Argmax(row)];
            double sum = 0;
            for (int column = 0; column < exponentials.Length; column++)
                sum += exponentials[column] = Math.Exp(scale * (cosines[row, column] - best));
            for (int column = 0; column < exponentials.Length; column++)
                values[(row * exponentials.Length) + column] = (float)(exponentials[column] / sum);
        }

        return new ScoreMatrix(cosines.Rows, cosines.Columns, values);
    }
}
