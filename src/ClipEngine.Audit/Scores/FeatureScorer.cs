using System.Globalization;
using ClipEngine.Audit.Results;
using ClipEngine.Scoring;

namespace ClipEngine.Audit.Scores;

/// <summary>Scores unit features of images against those of prompts: all label sets and wordings in one sweep.</summary>
internal static class FeatureScorer
{
    /// <summary>Precisions as a spec names them.</summary>
    public static readonly IReadOnlyDictionary<string, SweepPrecision> Precisions = new Dictionary<string, SweepPrecision>
    {
        ["fp32"] = SweepPrecision.Float32,
        ["bf16"] = SweepPrecision.BFloat16,
        ["int16"] = SweepPrecision.Int16,
        ["int8"] = SweepPrecision.Int8,
    };

    /// <summary>The softmax within each segment of prompts, or the sigmoid of each image with each prompt.</summary>
    /// <param name="images"><c>[images, width]</c>, rows of length 1.</param>
    /// <param name="prompts"><c>[prompts, width]</c>, rows of length 1, segment after segment.</param>
    /// <param name="width">Features of a row.</param>
    /// <param name="segments">Prompts of each segment.</param>
    /// <param name="scale">What cosines are multiplied with.</param>
    /// <param name="bias">What is then added before a sigmoid; null for a softmax.</param>
    /// <param name="precision">What features are multiplied in: one of <see cref="Precisions"/>.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>For each segment <c>[images, prompts of it]</c>; and what fewer bits than fp32 came to, to be added to what says how scores were made.</returns>
    public static (ScoreMatrix[] Matrices, string Precision) Score(
        float[] images, float[] prompts, int width, IReadOnlyList<int> segments, double scale, double? bias, string precision, CancellationToken cancellationToken)
    {
        int rows = images.Length / width;
        int columns = segments.Sum();
        ScoreMatrix[] matrices = [.. segments.Select(length => new ScoreMatrix(rows, length, new float[(long)rows * length]) { Reading = bias is null ? ScoreReading.Softmax : ScoreReading.Sigmoid })];
        using FeatureSource promptFeatures = FeatureSource.FromMemory(prompts, width, "prompts");
        using FeatureSource imageFeatures = FeatureSource.FromMemory(images, width, "images");
        using var sweep = new ProbeSweep(promptFeatures, new ProbeSweepOptions
        {
            Scale = scale,
            Bias = bias ?? 0,
            Activation = bias is null ? SweepActivation.Softmax : SweepActivation.Sigmoid,
            SegmentLengths = [.. segments],
            Probabilities = true,
            Precision = Precisions[precision],
        });
        SweepTotals totals = sweep.Run(
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
        string note = sweep.Options.Precision == SweepPrecision.Float32 ? ""
            : sweep.Precision == SweepPrecision.Float32 ? $", in fp32 ({precision} would not be faster or has no bound here)"
            : string.Create(CultureInfo.InvariantCulture, $", in {precision}: probabilities within {totals.ProbabilityBound:G2} of fp32's");
        return (matrices, note);
    }

    /// <summary>The sigmoid of every score by itself, in double precision.</summary>
    public static ScoreMatrix Sigmoid(ScoreMatrix scores) =>
        new(scores.Rows, scores.Columns, Array.ConvertAll(scores.Values, static score => (float)(1 / (1 + Math.Exp(-score))))) { Reading = ScoreReading.Sigmoid };

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
