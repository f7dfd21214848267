using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>What rates and probabilities are stated of: a label, or any of the labels of a merged one.</summary>
/// <param name="Name">The label's text or the merged label's name.</param>
/// <param name="Columns">Its columns in the score matrices.</param>
/// <param name="IsMerged">Whether it is a merged label.</param>
internal sealed record Subject(string Name, int[] Columns, bool IsMerged)
{
    /// <summary>The probability of an image: that of a softmax summed over the labels, of which only one can be chosen; of a sigmoid, which says nothing of several labels together, that of the likeliest one.</summary>
    public double ProbabilityOf(ScoreMatrix probabilities, int row)
    {
        double sum = 0, largest = 0;
        foreach (int column in Columns)
        {
            sum += probabilities[row, column];
            largest = Math.Max(largest, probabilities[row, column]);
        }

        return probabilities.Reading == ScoreReading.Softmax ? sum : largest;
    }

    /// <summary>The labels in their order, then the merged labels.</summary>
    public static Subject[] Of(LabelExperiment experiment) =>
    [
        .. experiment.Labels.Select((label, column) => new Subject(label.Text, [column], false)),
        .. experiment.MergedLabels.Select(merged => new Subject(merged.Name, [.. merged.Labels.Select(experiment.Column).Distinct()], true)),
    ];
}

/// <summary>An arm's checkpoints with what each chose for every image.</summary>
/// <param name="Scores">The probabilities.</param>
/// <param name="Winners">The columns chosen.</param>
internal sealed record ArmScores(ScoreMatrix[] Scores, int[][] Winners)
{
    public static ArmScores Of(IEnumerable<ScoreMatrix> scores)
    {
        ScoreMatrix[] matrices = [.. scores];
        return new ArmScores(matrices, [.. matrices.Select(matrix => Enumerable.Range(0, matrix.Rows).Select(matrix.Argmax).ToArray())]);
    }

    /// <summary>For every image the share of the checkpoints that chose the subject.</summary>
    public double[] Rates(Subject subject)
    {
        var rates = new double[Winners[0].Length];
        foreach (int[] winners in Winners)
        {
            for (int row = 0; row < rates.Length; row++)
                rates[row] += subject.Columns.Contains(winners[row]) ? 1 : 0;
        }

        for (int row = 0; row < rates.Length; row++)
            rates[row] /= Winners.Length;
        return rates;
    }

    /// <summary>For every image the subject's probability, averaged over the checkpoints.</summary>
    public double[] Probabilities(Subject subject)
    {
        var means = new double[Scores[0].Rows];
        foreach (ScoreMatrix matrix in Scores)
        {
            for (int row = 0; row < means.Length; row++)
                means[row] += subject.ProbabilityOf(matrix, row);
        }

        for (int row = 0; row < means.Length; row++)
            means[row] /= Scores.Length;
        return means;
    }
}
