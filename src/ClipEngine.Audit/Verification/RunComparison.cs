using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;

namespace ClipEngine.Audit.Verification;

/// <summary>What changes between two runs for one model and one experiment.</summary>
/// <param name="Experiment">The experiment's key.</param>
/// <param name="First">The first run's model.</param>
/// <param name="Second">The second run's.</param>
/// <param name="SameLabel">Share of images that both give the same label.</param>
/// <param name="LargestChange">Largest absolute difference of a probability.</param>
/// <param name="Rates">By label and group, the second run's argmax frequency minus the first's, paired by image.</param>
internal sealed record ModelChange(
    string Experiment, string First, string Second, Estimate SameLabel, double LargestChange, IReadOnlyList<RateChange> Rates);

/// <summary>The change of one argmax frequency.</summary>
/// <param name="Label">The label.</param>
/// <param name="Group">The group.</param>
/// <param name="First">The first run's share; null in an empty group.</param>
/// <param name="Second">The second run's.</param>
/// <param name="Difference">Second minus first, with Tango's score interval, over persons where they have several images.</param>
/// <param name="McNemar">Images that only one of the runs gave the label, and the exact test.</param>
internal sealed record RateChange(string Label, string Group, double? First, double? Second, Estimate Difference, McNemarCounts McNemar);

/// <summary>Compares two runs on the same probe: two precisions, two engines, before and after fine-tuning.</summary>
internal static class RunComparison
{
    /// <summary>Compares the models that both runs have; where each has a single model, those two, whatever they are called.</summary>
    /// <param name="first">The run that is compared with.</param>
    /// <param name="second">The run that is compared.</param>
    /// <exception cref="BadInputException">The runs have other images, groups or labels, or no model in common.</exception>
    public static IReadOnlyList<ModelChange> Compare(AuditResult first, AuditResult second)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        if (!first.Probe.Images.SequenceEqual(second.Probe.Images))
        {
            int row = first.Probe.Images.Zip(second.Probe.Images).TakeWhile(pair => pair.First == pair.Second).Count();
            throw new BadInputException(second.Title, $"the runs have other images: {first.Probe.Images.Count} and {second.Probe.Images.Count}, the first difference at row {row}.", "Only runs on the same probe, in the same order, can be compared image by image.");
        }

        var grouping = new Grouping([.. first.Probe.Groups.Select(group => group.Key)], first.Probe.Images, first.Probe.Weighting);
        var options = new IntervalOptions { Level = first.Provenance.ConfidenceLevel, Resamples = first.Provenance.Resamples, Seed = first.Provenance.Seed };
        var builder = new FrameBuilder(grouping, options);
        var changes = new List<ModelChange>();
        foreach (ExperimentResult experiment in first.Experiments)
        {
            ExperimentResult? other = second.Experiments.FirstOrDefault(entry => entry.Key == experiment.Key);
            if (other is null)
                continue;
            if (!experiment.Labels.Select(label => label.Text).SequenceEqual(other.Labels.Select(label => label.Text)))
                throw new BadInputException(second.Title, $"experiment '{experiment.Key}' has other labels in the two runs.", "Compare runs of the same label sets.");
            bool isSingle = experiment.Models.Count == 1 && other.Models.Count == 1;
            foreach (ModelExperimentResult model in experiment.Models)
            {
                ModelExperimentResult? pair = isSingle ? other.Models[0] : other.Models.FirstOrDefault(entry => entry.Model == model.Model);
                if (pair is not null)
                    changes.Add(Change(experiment, model, pair, builder));
            }
        }

        return changes.Count > 0 ? changes : throw new BadInputException(second.Title, "the runs have no model and experiment in common.", "Give models the same keys in both specs.");
    }

    private static ModelChange Change(ExperimentResult experiment, ModelExperimentResult first, ModelExperimentResult second, FrameBuilder builder)
    {
        ScoreMatrix one = first.Probabilities!;
        ScoreMatrix two = second.Probabilities!;
        int[] before = [.. Enumerable.Range(0, one.Rows).Select(one.Argmax)];
        int[] after = [.. Enumerable.Range(0, two.Rows).Select(two.Argmax)];
        double largest = 0;
        for (int i = 0; i < one.Values.Length; i++)
            largest = Math.Max(largest, Math.Abs((double)one.Values[i] - two.Values[i]));
        var rates = new List<RateChange>();
        for (int column = 0; column < experiment.Labels.Count; column++)
        {
            double[] differences = [.. before.Zip(after, (was, isNow) => (isNow == column ? 1.0 : 0) - (was == column ? 1 : 0))];
            for (int group = 0; group < builder.Grouping.Keys.Count; group++)
            {
                int[] rows = builder.Grouping.Images[group];
                int gained = rows.Count(row => differences[row] > 0);
                int lost = rows.Count(row => differences[row] < 0);
                double? Share(int[] winners) => builder.Share(group, Array.ConvertAll(winners, winner => winner == column ? 1.0 : 0))?.Share;
                rates.Add(new RateChange(
                    experiment.Labels[column].Text, builder.Grouping.Keys[group], Share(before), Share(after),
                    builder.Change(group, differences)?.Estimate ?? Estimate.Undefined,
                    new McNemarCounts(lost, gained, HypothesisTests.McNemar(lost, gained))));
            }
        }

        bool[] same = [.. before.Zip(after, (was, isNow) => was == isNow)];
        return new ModelChange(experiment.Key, first.Model, second.Model, builder.Share(Metric.ArgmaxFrequency, "", same, withGaps: false).Overall, largest, rates);
    }
}
