using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>How intervals are made; the same for every number of a run.</summary>
internal sealed record IntervalOptions
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
/// Makes group frames. Shares get Wilson's interval and their gaps Newcombe's, on the number of images where every person of a group has one and else
/// on the effective number over persons; gaps of groups with persons in common are paired. Means of probabilities get an interval for bounded values
/// (<see cref="BoundedMean"/>), other means the bootstrap over persons. A single person has no interval, and groups without images stay undefined.
/// docs/statistics.md has the coverage of each.
/// </summary>
internal sealed class FrameBuilder(Grouping grouping, IntervalOptions options)
{
    public IntervalOptions Options => options;

    public Grouping Grouping => grouping;

    /// <summary>A frame of the share of images that have something.</summary>
    public GroupMetricFrame Share(Metric metric, string subject, ReadOnlySpan<bool> hasIt, bool withGaps = true)
    {
        var outcomes = new double[hasIt.Length];
        for (int row = 0; row < outcomes.Length; row++)
            outcomes[row] = hasIt[row] ? 1 : 0;
        return Share(metric, subject, outcomes, withGaps);
    }

    /// <summary>A frame of the share of images that have something, where an image may have a part of it.</summary>
    public GroupMetricFrame Share(Metric metric, string subject, double[] outcomes, bool withGaps = true)
    {
        int groups = grouping.Keys.Count;
        var shares = new PersonShare?[groups];
        for (int group = 0; group < groups; group++)
            shares[group] = PersonShare.Of(grouping.Persons[group], grouping.PersonOf, grouping.Weights, outcomes);
        PersonShare? overall = PersonShare.Of(grouping.AllPersons, grouping.PersonOf, grouping.AllWeights, outcomes);
        return new GroupMetricFrame
        {
            Metric = metric,
            Unit = MetricUnit.Proportion,
            Subject = subject,
            Groups = [.. shares.Select((share, group) => new GroupEstimate(grouping.Keys[group], share?.Estimate(options.Level) ?? Estimate.Undefined))],
            Average = groups > 1 ? PersonShare.Average(shares, options.Level) : null,
            Overall = overall?.Estimate(options.Level) ?? Estimate.Undefined,
            Gaps = [.. withGaps ? Pairs().Select(pair => new GroupGap(grouping.Keys[pair.First], grouping.Keys[pair.Second], PersonShare.Gap(shares[pair.First], shares[pair.Second], options.Level))) : []],
            OverallGaps = withGaps && IsAgainstReference ? [.. shares.Select((share, group) => new GroupGap(grouping.Keys[group], GroupMetricFrame.AllImages, PersonShare.Gap(share, overall, options.Level)))] : [],
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
        if (IsAgainstReference)
            return MeansOneByOne(metric, unit, subjects, values, withGaps);
        int columns = subjects.Count;
        int groups = grouping.Keys.Count;
        var samples = new Resampled[groups];
        for (int group = 0; group < groups; group++)
            samples[group] = Resample(grouping.Persons[group], grouping.Weights, values, columns, unit, grouping.Keys[group]);
        Resampled overall = Resample(grouping.AllPersons, grouping.AllWeights, values, columns, unit, "overall");
        var frames = new GroupMetricFrame[columns];
        for (int column = 0; column < columns; column++)
        {
            int current = column;
            (int First, int Second)[] pairs = [.. withGaps ? Pairs() : []];
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
                Average = groups > 1 ? Resampled.Average(samples, current, options) : null,
                Overall = overall.Mean(column, options),
                Gaps = gaps,
            };
        }

        return frames;
    }

    /// <summary>A group's share, as the frames of <see cref="Share(Metric, string, ReadOnlySpan{bool}, bool)"/> have it; null over no images.</summary>
    /// <param name="group">The group's index.</param>
    /// <param name="outcomes">For every image of the probe 0 or 1, or a fraction where outcomes were averaged over checkpoints.</param>
    public PersonShare? Share(int group, ReadOnlySpan<double> outcomes) => PersonShare.Of(grouping.Persons[group], grouping.PersonOf, grouping.Weights, outcomes);

    /// <summary>The mean difference of two rates over a group's images, second minus first; null over no images.</summary>
    /// <param name="group">The group's index.</param>
    /// <param name="differences">For every image of the probe, from −1 to 1.</param>
    public PersonChange? Change(int group, ReadOnlySpan<double> differences) => PersonChange.Of(grouping.Persons[group], grouping.PersonOf, grouping.Weights, differences, options.Level);

    /// <summary>One column over a group's persons, resampled.</summary>
    /// <param name="group">The group's index.</param>
    /// <param name="values">For every image of the probe.</param>
    /// <param name="unit">Their unit: proportions are bounded.</param>
    /// <param name="stream">The sample's name.</param>
    public Resampled Resample(int group, double[] values, MetricUnit unit, string stream) => Resample(grouping.Persons[group], grouping.Weights, values, 1, unit, stream);

    private Resampled Resample(int[][] persons, double[] weights, double[] values, int columns, MetricUnit unit, string stream) => new(
        Sample(persons, weights, values, columns), persons.Sum(rows => rows.Length), options, stream, [.. persons.Select(rows => grouping.PersonOf[rows[0]])],
        unit == MetricUnit.Proportion, grouping.HasSharedPersons ? grouping.AllPersons.Length : null);

    internal static PersonSample Sample(int[][] persons, double[] weights, double[] values, int columns)
    {
        var sums = new double[persons.Length * columns];
        var totals = new double[persons.Length];
        for (int person = 0; person < persons.Length; person++)
        {
            foreach (int row in persons[person])
            {
                totals[person] += weights[row];
                for (int column = 0; column < columns; column++)
                    sums[(person * columns) + column] += weights[row] * values[((long)row * columns) + column];
            }
        }

        return new PersonSample(columns, sums, totals);
    }

    /// <summary>There are too many groups for all pairs of them.</summary>
    private bool IsAgainstReference => grouping.Keys.Count > GroupMetricFrame.MostGroupsInPairs;

    /// <summary>Many groups: one is drawn after the other and not kept, so that time grows with the groups and memory does not.</summary>
    private GroupMetricFrame[] MeansOneByOne(Metric metric, MetricUnit unit, IReadOnlyList<string> subjects, double[] values, bool withGaps)
    {
        int columns = subjects.Count, groups = grouping.Keys.Count, filled = grouping.Images.Count(images => images.Length > 0);
        Resampled Draw(int group) => Resample(grouping.Persons[group], grouping.Weights, values, columns, unit, grouping.Keys[group]);
        Resampled overall = Resample(grouping.AllPersons, grouping.AllWeights, values, columns, unit, "overall"), reference = Draw(grouping.Reference);
        var average = new Resampled.ResampledSum([.. Enumerable.Range(0, columns)], options);
        GroupEstimate[][] estimates = [.. subjects.Select(_ => new GroupEstimate[groups])];
        GroupGap[][] gaps = [.. subjects.Select(_ => new GroupGap[groups])], overallGaps = [.. subjects.Select(_ => new GroupGap[groups])];
        for (int group = 0; group < groups; group++)
        {
            int current = group;
            Resampled own = group == grouping.Reference ? reference : Draw(group);
            average.Add(own, 1.0 / filled);
            Parallel.For(0, columns, column =>
            {
                estimates[column][current] = new GroupEstimate(grouping.Keys[current], own.Mean(column, options));
                if (withGaps && current != grouping.Reference)
                    gaps[column][current] = new GroupGap(grouping.Keys[current], grouping.Keys[grouping.Reference], Resampled.Gap(own, reference, column, options));
                // Draws of bounded means go by person, in a group and among all; those of others would be taken as independent.
                if (withGaps && unit == MetricUnit.Proportion)
                    overallGaps[column][current] = new GroupGap(grouping.Keys[current], GroupMetricFrame.AllImages, Resampled.Gap(own, overall, column, options));
            });
        }

        return [.. subjects.Select((subject, column) => new GroupMetricFrame
        {
            Metric = metric,
            Unit = unit,
            Subject = subject,
            Groups = estimates[column],
            Average = average.Estimate(column),
            Overall = overall.Mean(column, options),
            Gaps = [.. gaps[column].Where(static gap => gap is not null)],
            OverallGaps = [.. overallGaps[column].Where(static gap => gap is not null)],
        })];
    }

    private IEnumerable<(int First, int Second)> Pairs()
    {
        int count = grouping.Keys.Count;
        if (IsAgainstReference)
            return Enumerable.Range(0, count).Where(group => group != grouping.Reference).Select(group => (group, grouping.Reference));
        return Enumerable.Range(0, count).SelectMany(first => Enumerable.Range(first + 1, count - first - 1).Select(second => (first, second)));
    }
}
