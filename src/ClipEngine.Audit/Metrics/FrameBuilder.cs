using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>How intervals are made; the same for every number of a run.</summary>
public sealed record IntervalOptions
{
    /// <summary>Nominal coverage.</summary>
    public double Level { get; init; } = 0.95;

    /// <summary>Bootstrap resamples, and drawn patterns of a permutation test.</summary>
    public int Resamples { get; init; } = 9999;

    /// <summary>Seed of both.</summary>
    public long Seed { get; init; } = 20240508;

    /// <summary>How a bootstrap distribution becomes an interval.</summary>
    public BootstrapMethod Method { get; init; } = BootstrapMethod.BiasCorrectedAccelerated;
}

/// <summary>
/// Makes group frames. Shares get Wilson's interval where every person has one image, else the bootstrap over persons; means
/// get the bootstrap over persons; gaps of shares get Newcombe's interval, gaps of means the bootstrap with both groups drawn
/// independently. Where a bootstrap of shares shows no spread because all images agree, the score intervals over as many persons
/// take its place: nothing is certain because it was seen in all of few. A single person has no interval, and groups without
/// images stay undefined.
/// </summary>
internal sealed class FrameBuilder(Grouping grouping, IntervalOptions options)
{
    public IntervalOptions Options => options;

    public Grouping Grouping => grouping;

    /// <summary>A frame of the share of images that have something.</summary>
    public GroupMetricFrame Share(Metric metric, string subject, ReadOnlySpan<bool> hasIt, bool withGaps = true)
    {
        if (!OnePersonAnImage)
        {
            var values = new double[hasIt.Length];
            for (int row = 0; row < values.Length; row++)
                values[row] = hasIt[row] ? 1 : 0;
            GroupMetricFrame frame = Means(metric, MetricUnit.Proportion, [subject], values, withGaps)[0];
            return frame with
            {
                Groups = [.. frame.Groups.Select((entry, group) => entry with { Estimate = OverPersons(entry.Estimate, grouping.Persons[group].Length) })],
                Overall = OverPersons(frame.Overall, grouping.AllPersons.Length),
                Gaps = [.. frame.Gaps.Select(gap => gap with { Difference = OverPersons(gap, frame) })],
            };
        }

        int groups = grouping.Keys.Count;
        var successes = new int[groups];
        for (int row = 0; row < hasIt.Length; row++)
        {
            if (hasIt[row])
                successes[grouping.GroupOf[row]]++;
        }

        var entries = new GroupEstimate[groups];
        for (int group = 0; group < groups; group++)
            entries[group] = new GroupEstimate(grouping.Keys[group], Share(successes[group], grouping.Images[group].Length));
        var gaps = new List<GroupGap>();
        foreach ((int first, int second) in Pairs(withGaps ? groups : 0))
        {
            int firstCount = grouping.Images[first].Length;
            int secondCount = grouping.Images[second].Length;
            Estimate gap = firstCount == 0 || secondCount == 0
                ? new Estimate(firstCount + secondCount, null, null)
                : new Estimate(firstCount + secondCount, ((double)successes[first] / firstCount) - ((double)successes[second] / secondCount),
                    Proportions.Newcombe(successes[first], firstCount, successes[second], secondCount, options.Level));
            gaps.Add(new GroupGap(grouping.Keys[first], grouping.Keys[second], gap));
        }

        return new GroupMetricFrame
        {
            Metric = metric,
            Unit = MetricUnit.Proportion,
            Subject = subject,
            Groups = entries,
            Overall = Share(successes.Sum(), hasIt.Length),
            Gaps = gaps,
        };
    }

    /// <summary>Frames of the means of several columns, resampled together.</summary>
    /// <param name="metric">What is measured.</param>
    /// <param name="unit">Its unit.</param>
    /// <param name="subjects">A name for each column.</param>
    /// <param name="values"><c>[images, columns]</c>, row-major.</param>
    /// <param name="withGaps">Whether the pairwise gaps are wanted.</param>
    public GroupMetricFrame[] Means(Metric metric, MetricUnit unit, IReadOnlyList<string> subjects, double[] values, bool withGaps = true)
    {
        int columns = subjects.Count;
        int groups = grouping.Keys.Count;
        var samples = new Resampled[groups];
        for (int group = 0; group < groups; group++)
            samples[group] = new Resampled(Sample(grouping.Persons[group], values, columns), options, grouping.Keys[group]);
        var overall = new Resampled(Sample(grouping.AllPersons, values, columns), options, "overall");
        var frames = new GroupMetricFrame[columns];
        for (int column = 0; column < columns; column++)
        {
            int current = column;
            (int First, int Second)[] pairs = [.. Pairs(withGaps ? groups : 0)];
            var gaps = new GroupGap[pairs.Length];
            // Sorting 28 distributions of thousands is what takes the time.
            Parallel.For(0, pairs.Length, pair =>
            {
                (int first, int second) = pairs[pair];
                gaps[pair] = new GroupGap(grouping.Keys[first], grouping.Keys[second], Resampled.Gap(samples[first], samples[second], current, options));
            });
            frames[column] = new GroupMetricFrame
            {
                Metric = metric,
                Unit = unit,
                Subject = subjects[column],
                Groups = [.. Enumerable.Range(0, groups).Select(group => new GroupEstimate(grouping.Keys[group], samples[group].Mean(current, options)))],
                Overall = overall.Mean(column, options),
                Gaps = gaps,
            };
        }

        return frames;
    }

    /// <summary>A share of a number of images, each of another person.</summary>
    public Estimate Share(double successes, int count) => count == 0
        ? Estimate.Undefined
        : new Estimate(count, successes / count, Proportions.Wilson(successes, count, options.Level));

    /// <summary>A group's share, as the frames of <see cref="Share(Metric, string, ReadOnlySpan{bool}, bool)"/> have it.</summary>
    /// <param name="group">The group's index.</param>
    /// <param name="outcomes">For every image of the probe 0 or 1, or a fraction where outcomes were averaged over checkpoints.</param>
    public Estimate Share(int group, double[] outcomes)
    {
        int[] images = grouping.Images[group];
        int[][] persons = grouping.Persons[group];
        return OnePersonAnImage
            ? Share(images.Sum(row => outcomes[row]), images.Length)
            : OverPersons(Mean(persons, outcomes, grouping.Keys[group]), persons.Length);
    }

    /// <summary>The mean of one column over some persons, with its bootstrap interval.</summary>
    public Estimate Mean(int[][] persons, double[] values, string stream) =>
        new Resampled(Sample(persons, values, 1), options, stream).Mean(0, options);

    internal static PersonSample Sample(int[][] persons, double[] values, int columns)
    {
        var sums = new double[persons.Length * columns];
        var counts = new int[persons.Length];
        for (int person = 0; person < persons.Length; person++)
        {
            counts[person] = persons[person].Length;
            foreach (int row in persons[person])
            {
                for (int column = 0; column < columns; column++)
                    sums[(person * columns) + column] += values[((long)row * columns) + column];
            }
        }

        return new PersonSample(columns, sums, counts);
    }

    private bool OnePersonAnImage => grouping.AllPersons.Length == grouping.RowCount;

    private Estimate OverPersons(Estimate estimate, int persons) => estimate is not { Value: double share, Interval: null } || persons < 2 ? estimate
        : estimate with { Interval = Proportions.Wilson(share * persons, persons, options.Level) with { Method = "Wilson, over persons" } };

    private Estimate OverPersons(GroupGap gap, GroupMetricFrame frame)
    {
        if (gap.Difference is not { Value: not null, Interval: null } difference)
            return gap.Difference;
        int first = grouping.Persons[Array.IndexOf([.. grouping.Keys], gap.First)].Length;
        int second = grouping.Persons[Array.IndexOf([.. grouping.Keys], gap.Second)].Length;
        if (first < 2 || second < 2)
            return difference;
        Interval interval = Proportions.Newcombe(frame[gap.First].Value!.Value * first, first, frame[gap.Second].Value!.Value * second, second, options.Level);
        return difference with { Interval = interval with { Method = "Newcombe, over persons" } };
    }

    private static IEnumerable<(int First, int Second)> Pairs(int count)
    {
        for (int first = 0; first < count; first++)
        {
            for (int second = first + 1; second < count; second++)
                yield return (first, second);
        }
    }
}
