using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Two words of an audit, with the sentences that stand for them.</summary>
internal sealed record WordPair(string First, string Second, string FirstPrompt, string SecondPrompt);

/// <summary>Representation and association bias of models from probabilities within pairs of words.</summary>
internal static class BiasAnalysis
{
    /// <summary>Preferences within one pair.</summary>
    /// <param name="pair">The words.</param>
    /// <param name="probabilities"><c>[images, 2]</c>, softmax over the two.</param>
    /// <param name="grouping">The images' groups.</param>
    /// <param name="options">How intervals are made.</param>
    public static PairPreference Preference(WordPair pair, ScoreMatrix probabilities, Grouping grouping, IntervalOptions options)
    {
        var builder = new FrameBuilder(grouping, options);
        string subject = Name(pair);
        return new PairPreference(
            pair.First, pair.Second, pair.FirstPrompt, pair.SecondPrompt,
            builder.Share(Metric.PairPreference, subject, Preferred(probabilities)),
            builder.Means(Metric.MeanProbability, MetricUnit.Proportion, [subject], [.. Enumerable.Range(0, probabilities.Rows).Select(row => (double)probabilities[row, 0])])[0]);
    }

    /// <summary>Preferences within all pairs, by one set of groups, with the summaries over pairs.</summary>
    /// <param name="pairs">The pairs.</param>
    /// <param name="scores">For each pair <c>[images, 2]</c>.</param>
    /// <param name="set">The groups.</param>
    /// <param name="options">How intervals are made.</param>
    public static AssociationBias Association(IReadOnlyList<WordPair> pairs, IReadOnlyList<ScoreMatrix> scores, GroupSet set, IntervalOptions options)
    {
        Grouping grouping = set.Grouping;
        PairPreference[] preferences = [.. pairs.Select((pair, index) => Preference(pair, scores[index], grouping, options))];
        PersonShare?[][] shares = [.. scores.Select(matrix =>
        {
            double[] outcomes = Preferred(matrix);
            return Enumerable.Range(0, grouping.Keys.Count).Select(group => PersonShare.Of(grouping.Persons[group], grouping.PersonOf, grouping.Weights, outcomes)).ToArray();
        })];
        (int First, int Second)[] groups = grouping.Keys.Count > GroupMetricFrame.MostGroupsInPairs
            ? [.. Enumerable.Range(0, grouping.Keys.Count).Where(group => group != grouping.Reference).Select(group => (group, grouping.Reference))]
            : [.. Enumerable.Range(0, grouping.Keys.Count).SelectMany(first => Enumerable.Range(first + 1, grouping.Keys.Count - first - 1).Select(second => (first, second)))];
        // The intervals of one summary hold together: Bonferroni over the gaps in it.
        AssociationSummary Over((int First, int Second)[] of)
        {
            double level = 1 - ((1 - options.Level) / (pairs.Count * of.Length));
            return Summary(
                [.. of.SelectMany(two => pairs.Select(pair => (grouping.Keys[two.First], grouping.Keys[two.Second], Name(pair))))],
                [.. of.SelectMany(two => shares.Select(pair => PersonShare.Gap(pair[two.First], pair[two.Second], level)))], options.Level);
        }

        return new AssociationBias(set.Attribute, preferences, [.. groups.Select(two => Over([two]))], groups.Length == 0 ? null : Over(groups));
    }

    /// <summary>The mean and the largest size of gaps that have intervals at Bonferroni's level; groups and pair of the largest.</summary>
    private static AssociationSummary Summary((string First, string Second, string Pair)[] names, Estimate[] gaps, double level)
    {
        int count = gaps.Max(gap => gap.Count);
        if (gaps.Any(gap => gap.Value is null))
            return new AssociationSummary(names[0].First, names[0].Second, new Estimate(count, null, null), new Estimate(count, null, null), "");
        double[] sizes = [.. gaps.Select(gap => Math.Abs(gap.Value!.Value))];
        int largest = Array.IndexOf(sizes, sizes.Max());
        Interval? mean = null, envelope = null;
        if (gaps.All(gap => gap.Interval is not null))
        {
            double[] lower = [.. gaps.Select(gap => Math.Max(0, Math.Max(gap.Interval!.Lower, -gap.Interval.Upper)))];
            double[] upper = [.. gaps.Select(gap => Math.Max(Math.Abs(gap.Interval!.Lower), Math.Abs(gap.Interval.Upper)))];
            mean = new Interval(lower.Average(), upper.Average(), level, $"mean of {gaps.Length} simultaneous intervals, over persons");
            envelope = new Interval(lower.Max(), upper.Max(), level, $"envelope of {gaps.Length} simultaneous intervals, over persons");
        }

        return new AssociationSummary(names[largest].First, names[largest].Second, new Estimate(count, sizes.Average(), mean), new Estimate(count, sizes[largest], envelope), names[largest].Pair);
    }

    private static string Name(WordPair pair) => $"{pair.First} over {pair.Second}";

    /// <summary>1 where the first is preferred, one half where both are equal.</summary>
    private static double[] Preferred(ScoreMatrix probabilities) =>
        [.. Enumerable.Range(0, probabilities.Rows).Select(row => probabilities[row, 0] > probabilities[row, 1] ? 1 : probabilities[row, 0] == probabilities[row, 1] ? 0.5 : 0)];
}
