using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>One model's scores of one experiment.</summary>
internal sealed record ExperimentScores
{
    /// <summary>Probabilities, <c>[images, labels]</c>.</summary>
    public required ScoreMatrix Probabilities { get; init; }

    /// <summary>Cosines, <c>[images, labels]</c>, where they are known.</summary>
    public ScoreMatrix? Cosines { get; init; }

    /// <summary>The scale of the softmax or sigmoid, where it is known: margins in cosine follow from probabilities and scale.</summary>
    public double? Scale { get; init; }
}

/// <summary>Everything that follows from one matrix of probabilities and the probe's groups.</summary>
internal static class ScoreAnalysis
{
    /// <summary>Analyses one model's scores of one experiment.</summary>
    /// <param name="model">The model's key.</param>
    /// <param name="experiment">The labels and what is made of them.</param>
    /// <param name="probe">The images and their groups.</param>
    /// <param name="scores">The scores, already checked against both.</param>
    /// <param name="options">How intervals are made.</param>
    /// <param name="cosineError">The stated largest error of a cosine, for the flip report; null for none.</param>
    public static ModelExperimentResult Analyse(
        string model, LabelExperiment experiment, Probe probe, ExperimentScores scores, IntervalOptions options, double? cosineError)
    {
        var builder = new FrameBuilder(probe.Grouping, options);
        ScoreMatrix probabilities = scores.Probabilities;
        string[] labels = [.. experiment.Labels.Select(label => label.Text)];
        int[] winners = [.. Enumerable.Range(0, probabilities.Rows).Select(probabilities.Argmax)];
        double[] values = Array.ConvertAll(probabilities.Values, value => (double)value);
        double[]? margins = Margins.TopTwo(scores);
        return new ModelExperimentResult
        {
            Model = model,
            ArgmaxFrequency = [.. labels.Select((label, column) => builder.Share(Metric.ArgmaxFrequency, label, Equal(winners, column)))],
            MeanProbability = builder.Means(Metric.MeanProbability, MetricUnit.Proportion, labels, values),
            Distributions = Distributions(probe.Grouping, labels, probabilities),
            MergedArgmaxFrequency = [.. experiment.MergedLabels.Select(merged =>
            {
                int[] columns = [.. merged.Labels.Select(experiment.Column)];
                return builder.Share(Metric.MergedArgmaxFrequency, merged.Name, Array.ConvertAll(winners, winner => columns.Contains(winner)));
            })],
            MergedMeanProbability = experiment.MergedLabels.Count == 0
                ? []
                : builder.Means(Metric.MergedMeanProbability, MetricUnit.Proportion, [.. experiment.MergedLabels.Select(merged => merged.Name)], Merged(experiment, probabilities)),
            Marginals = [.. probe.GroupSets.Skip(1).Select(set => Marginal(set, experiment, winners, probabilities, options))],
            Entropy = builder.Means(Metric.Entropy, MetricUnit.Nats, [""], Entropies(probabilities))[0],
            Margin = margins is null ? null : builder.Means(Metric.TopTwoMargin, MetricUnit.Cosine, [""], margins)[0],
            ExactTies = [.. probe.Grouping.Keys.Select((key, group) => new GroupTies(key, probe.Grouping.Images[group].Length, probe.Grouping.Images[group].Count(probabilities.IsTied)))],
            Flips = cosineError is double error ? Margins.Flips(scores, labels, winners, builder, error) : null,
            LeaveOneLabelOut = LeaveOneOut(experiment, labels, probabilities, builder),
            Confusion = experiment.Labels.Any(label => label.Group is not null) ? ConfusionAnalysis.Analyse(experiment, probe, winners, builder) : null,
            TextSimilarity = null,
            ImageSimilarity = null,
            Probabilities = probabilities,
        };
    }

    private static MarginalResult Marginal(GroupSet set, LabelExperiment experiment, int[] winners, ScoreMatrix probabilities, IntervalOptions options)
    {
        double[] values = Array.ConvertAll(probabilities.Values, value => (double)value);
        var builder = new FrameBuilder(set.Grouping, options);
        return new MarginalResult(
            set.Attribute,
            [.. Subject.Of(experiment).Select(subject => builder.Share(subject.IsMerged ? Metric.MergedArgmaxFrequency : Metric.ArgmaxFrequency, subject.Name, Array.ConvertAll(winners, winner => subject.Columns.Contains(winner))))],
            [
                .. builder.Means(Metric.MeanProbability, MetricUnit.Proportion, [.. experiment.Labels.Select(label => label.Text)], values),
                .. experiment.MergedLabels.Count == 0 ? [] : builder.Means(Metric.MergedMeanProbability, MetricUnit.Proportion, [.. experiment.MergedLabels.Select(merged => merged.Name)], Merged(experiment, probabilities)),
            ]);
    }

    private static double Square(double value) => value * value;

    private static bool[] Equal(int[] winners, int column) => Array.ConvertAll(winners, winner => winner == column);

    /// <summary>Probabilities of the merged labels, <c>[images, merged]</c>: <see cref="Subject.ProbabilityOf"/>.</summary>
    private static double[] Merged(LabelExperiment experiment, ScoreMatrix probabilities)
    {
        Subject[] merged = [.. Subject.Of(experiment).Where(static subject => subject.IsMerged)];
        var values = new double[(long)probabilities.Rows * merged.Length];
        for (int row = 0; row < probabilities.Rows; row++)
        {
            for (int i = 0; i < merged.Length; i++)
                values[((long)row * merged.Length) + i] = merged[i].ProbabilityOf(probabilities, row);
        }

        return values;
    }

    /// <summary>In nats; of a sigmoid's probabilities, which do not add up to one, of their shares of their sum.</summary>
    private static double[] Entropies(ScoreMatrix probabilities)
    {
        var entropies = new double[probabilities.Rows];
        for (int row = 0; row < entropies.Length; row++)
        {
            double sum = 0;
            if (probabilities.Reading == ScoreReading.Sigmoid)
            {
                foreach (float probability in probabilities.Row(row))
                    sum += probability;
            }

            foreach (float probability in probabilities.Row(row))
            {
                double share = sum > 0 ? probability / sum : probability;
                if (share > 0)
                    entropies[row] -= share * Math.Log(share);
            }
        }

        return entropies;
    }

    private static List<LeaveOneOut> LeaveOneOut(LabelExperiment experiment, string[] labels, ScoreMatrix probabilities, FrameBuilder builder)
    {
        // Taking one label away leaves the order of the others: the softmax over the rest is the same up to a factor.
        var results = new List<LeaveOneOut>();
        if (labels.Length < 3)
            return results;
        for (int left = 0; left < labels.Length; left++)
        {
            var winners = new int[probabilities.Rows];
            for (int row = 0; row < winners.Length; row++)
            {
                ReadOnlySpan<float> scores = probabilities.Row(row);
                int best = left == 0 ? 1 : 0;
                for (int column = best + 1; column < scores.Length; column++)
                {
                    if (column != left && scores[column] > scores[best])
                        best = column;
                }

                winners[row] = best;
            }

            IEnumerable<GroupMetricFrame> frames = labels.Select((label, column) => (label, column)).Where(entry => entry.column != left)
                .Select(entry => builder.Share(Metric.ArgmaxFrequency, entry.label, Equal(winners, entry.column), withGaps: false));
            int taken = left;
            IEnumerable<GroupMetricFrame> merged = Subject.Of(experiment).Where(subject => subject.IsMerged && subject.Columns.Any(column => column != taken))
                .Select(subject => builder.Share(Metric.MergedArgmaxFrequency, subject.Name, Array.ConvertAll(winners, winner => subject.Columns.Contains(winner)), withGaps: false));
            results.Add(new LeaveOneOut(labels[left], [.. frames, .. merged]));
        }

        return results;
    }

    private static List<Distribution> Distributions(Grouping grouping, string[] labels, ScoreMatrix probabilities)
    {
        var distributions = new List<Distribution>();
        for (int group = 0; group < grouping.Keys.Count; group++)
        {
            int[] rows = grouping.Images[group];
            for (int column = 0; column < labels.Length && rows.Length > 0; column++)
            {
                int current = column;
                double[] sorted = Array.ConvertAll(rows, row => (double)probabilities[row, current]);
                Array.Sort(sorted);
                double lower = Bootstrap.Quantile(sorted, 0.25);
                double upper = Bootstrap.Quantile(sorted, 0.75);
                double total = rows.Sum(row => grouping.Weights[row]), sum = rows.Sum(row => grouping.Weights[row] * probabilities[row, current]);
                double reach = 1.5 * (upper - lower);
                distributions.Add(new Distribution(
                    grouping.Keys[group], labels[column], sorted.Length, sorted[0], sorted.First(value => value >= lower - reach), lower,
                    Bootstrap.Quantile(sorted, 0.5), upper, sorted.Last(value => value <= upper + reach), sorted[^1], sum / total,
                    sum > 0 ? sum * sum / rows.Sum(row => Square(grouping.Weights[row] * probabilities[row, current])) : null, sum > 0 ? rows.Max(row => grouping.Weights[row] * probabilities[row, current]) / sum : null));
            }
        }

        return distributions;
    }
}
