using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>How far ahead the winning label is, in cosine, and what a numeric error could change.</summary>
internal static class Margins
{
    /// <summary>The difference of the two highest cosines of every row; null where neither cosines nor a scale are known.</summary>
    public static double[]? TopTwo(ExperimentScores scores)
    {
        double[]? all = BehindBest(scores);
        if (all is null)
            return null;
        int columns = scores.Probabilities.Columns;
        if (columns < 2)
            return null;
        var margins = new double[scores.Probabilities.Rows];
        for (int row = 0; row < margins.Length; row++)
        {
            int winner = scores.Probabilities.Argmax(row);
            double smallest = double.PositiveInfinity;
            for (int column = 0; column < columns; column++)
            {
                if (column != winner)
                    smallest = Math.Min(smallest, all[(row * columns) + column]);
            }

            margins[row] = smallest;
        }

        return margins;
    }

    /// <summary>
    /// What could change if every cosine were off by up to the error: two labels can change places if their cosines are within
    /// twice the error. The lowest rate takes away every image whose winner some other label could overtake; the highest adds
    /// every image that the label could win.
    /// </summary>
    public static FlipReport? Flips(ExperimentScores scores, string[] labels, int[] winners, FrameBuilder builder, double error)
    {
        double[]? behind = BehindBest(scores);
        double[]? margins = TopTwo(scores);
        if (behind is null || margins is null)
            return null;
        int columns = labels.Length;
        double reach = 2 * error;
        var flippable = Array.ConvertAll(margins, margin => margin <= reach);
        var ranges = new List<FlipRange>();
        for (int group = 0; group < builder.Grouping.Keys.Count; group++)
        {
            int[] rows = builder.Grouping.Images[group];
            double total = rows.Sum(row => builder.Grouping.Weights[row]);
            for (int column = 0; column < columns; column++)
            {
                double? measured = Of(row => winners[row] == column);
                double? kept = Of(row => winners[row] == column && !flippable[row]);
                double? reached = Of(row => winners[row] == column || behind[(row * columns) + column] <= reach);
                ranges.Add(new FlipRange(builder.Grouping.Keys[group], labels[column], kept, measured, reached));
            }

            double? Of(Func<int, bool> has) => rows.Length == 0 ? null : rows.Where(has).Sum(row => builder.Grouping.Weights[row]) / total;
        }

        return new FlipReport(error, builder.Share(Metric.FlippableShare, "", flippable), ranges);
    }

    /// <summary>How far each label's cosine lies behind the winner's, <c>[images, labels]</c>.</summary>
    private static double[]? BehindBest(ExperimentScores scores)
    {
        ScoreMatrix probabilities = scores.Probabilities;
        var behind = new double[(long)probabilities.Rows * probabilities.Columns];
        for (int row = 0; row < probabilities.Rows; row++)
        {
            int winner = probabilities.Argmax(row);
            for (int column = 0; column < probabilities.Columns; column++)
            {
                double distance;
                if (scores.Cosines is { } cosines)
                    distance = (double)cosines[row, winner] - cosines[row, column];
                else if (scores.Scale is double scale)
                    distance = (LogOf(probabilities, row, winner) - LogOf(probabilities, row, column)) / scale;
                else
                    return null;
                behind[(row * probabilities.Columns) + column] = Math.Max(0, distance);
            }
        }

        return behind;
    }

    /// <summary>The logarithm of a softmax's probability, or of a sigmoid's odds: its differences are those of the scaled cosines. A probability beyond what a float holds counts as the last that it does.</summary>
    private static double LogOf(ScoreMatrix probabilities, int row, int column)
    {
        double probability = Math.Max(probabilities[row, column], float.Epsilon);
        return probabilities.Reading == ScoreReading.Softmax ? Math.Log(probability) : Math.Log(probability) - Math.Log(Math.Max(1 - probability, 1.0 / (1 << 25)));
    }
}
