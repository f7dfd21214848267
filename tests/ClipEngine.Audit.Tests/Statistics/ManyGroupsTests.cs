using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Statistics;

/// <summary>More groups than can be compared in all pairs: each against the reference group and against all images, with the numbers that pairs have.</summary>
public class ManyGroupsTests
{
    private static readonly IntervalOptions _options = new() { Resamples = 199 };

    [Theory]
    [InlineData(16, 120, 0)]
    [InlineData(17, 16, 17)]
    [InlineData(40, 39, 40)]
    public void GapsAreAsManyAsGroupsBeyondTheLimit(int groups, int gaps, int overall)
    {
        (FrameBuilder builder, bool[] wins, double[] values) = Make(groups, 6, "g03");
        GroupMetricFrame rates = builder.Share(Metric.ArgmaxFrequency, "x", wins), means = builder.Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], values)[0], entropy = builder.Means(Metric.Entropy, MetricUnit.Nats, [""], values)[0];
        Assert.Equal((gaps, gaps, gaps), (rates.Gaps.Count, means.Gaps.Count, entropy.Gaps.Count));
        Assert.Equal((overall, overall, 0), (rates.OverallGaps.Count, means.OverallGaps.Count, entropy.OverallGaps.Count));
        if (overall > 0)
            Assert.All(rates.Gaps, gap => Assert.Equal("g03", gap.Second));
    }

    /// <summary>Groups drawn one after the other have the estimates, intervals and gaps that two of them have alone, and the average that the formula gives.</summary>
    [Fact]
    public void ManyGroupsHaveTheNumbersOfFew()
    {
        (FrameBuilder builder, bool[] wins, double[] values) = Make(20, 8, "g03");
        foreach ((Metric metric, MetricUnit unit) in new[] { (Metric.MeanProbability, MetricUnit.Proportion), (Metric.Entropy, MetricUnit.Nats) })
        {
            GroupMetricFrame many = builder.Means(metric, unit, ["x"], values)[0];
            Resampled[] samples = [.. Enumerable.Range(0, 20).Select(group => builder.Resample(group, values, unit, builder.Grouping.Keys[group]))];
            Assert.Equal(samples.Select(sample => sample.Mean(0, _options)), many.Groups.Select(group => group.Estimate));
            Assert.Equal(Resampled.Gap(samples[7], samples[3], 0, _options), many.Gaps.Single(gap => gap.First == "g07").Difference);
            Assert.Equal(Resampled.Average(samples, 0, _options), many.Average);
        }

        GroupMetricFrame rates = builder.Share(Metric.ArgmaxFrequency, "x", wins);
        double[] outcomes = [.. wins.Select(win => win ? 1.0 : 0)];
        Assert.Equal(PersonShare.Gap(builder.Share(7, outcomes), builder.Share(3, outcomes), 0.95), rates.Gaps.Single(gap => gap.First == "g07").Difference);
    }

    /// <summary>Beyond the persons that are resampled a group and all images have its persons in common: the gap is (1 - f) times that between the group and the rest.</summary>
    [Fact]
    public void AGapToAllImagesOfManyPersonsCountsThoseOfTheGroupOnce()
    {
        (FrameBuilder builder, _, double[] values) = Make(17, 400, "g03");
        GroupMetricFrame means = builder.Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], values)[0];
        int[] own = builder.Grouping.Images[5];
        double[] inside = [.. own.Select(image => values[image])], outside = [.. Enumerable.Range(0, values.Length).Except(own).Select(image => values[image])];
        Assert.True(values.Length > Resampled.LargestResampled);
        double share = (double)inside.Length / values.Length;
        double half = 1.959964 * (1 - share) * Math.Sqrt((Variance(inside) / inside.Length) + (Variance(outside) / outside.Length));
        Estimate gap = means.OverallGaps[5].Difference;
        Assert.Equal(inside.Average() - values.Average(), gap.Value!.Value, 10);
        Assert.InRange((gap.Interval!.Upper - gap.Interval.Lower) / (2 * half), 0.98, 1.02);

        static double Variance(double[] numbers)
        {
            double mean = numbers.Average();
            return numbers.Sum(number => (number - mean) * (number - mean)) / (numbers.Length - 1);
        }
    }

    /// <summary>The sum over persons is the double sum over pairs of estimates with their correlations.</summary>
    [Fact]
    public void TheSumOverPersonsIsTheOneOverPairs()
    {
        var random = new Random(1);
        IReadOnlyDictionary<int, double>[] influences = [.. Enumerable.Range(0, 6).Select(sample => (IReadOnlyDictionary<int, double>)Enumerable.Range(sample * 3, 12).ToDictionary(person => person, _ => sample == 4 ? 0 : random.NextDouble() - 0.5))];
        double[] estimates = [.. influences.Select(_ => random.NextDouble())], coefficients = [0.5, -0.2, 0.3, -1, 0.4, 0.25];
        Interval[] intervals = [.. estimates.Select(estimate => new Interval(estimate - random.NextDouble(), estimate + random.NextDouble(), 0.95, ""))];
        Interval pairs = LinearCombination.Interval(coefficients, estimates, intervals, (one, two) => LinearCombination.Correlation(influences[one], influences[two]).Value, 0.95, "x");
        Interval persons = LinearCombination.Interval(coefficients, estimates, intervals, influences, 0.95, "x");
        Assert.Equal(pairs.Lower, persons.Lower, 12);
        Assert.Equal(pairs.Upper, persons.Upper, 12);
    }

    /// <summary>A group is a part of all images: its gap to them has an interval that holds zero as often as it says where all groups are alike.</summary>
    [Fact]
    public void TheGapToAllImagesHoldsItsCoverage()
    {
        int held = 0, all = 0;
        for (int seed = 0; seed < 30; seed++)
        {
            var random = new Random(seed);
            (FrameBuilder builder, bool[] wins, _) = Make(18, 40, null);
            for (int row = 0; row < wins.Length; row++)
                wins[row] = random.NextDouble() < 0.3;
            foreach (GroupGap gap in builder.Share(Metric.ArgmaxFrequency, "x", wins).OverallGaps)
            {
                held += gap.Difference.Interval!.Lower <= 0 && gap.Difference.Interval.Upper >= 0 ? 1 : 0;
                all++;
            }
        }

        Assert.InRange((double)held / all, 0.92, 0.99);
    }

    [Fact]
    public void TheReportSaysWhatIsComparedAndTheReferenceIsTheLargestGroup()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllLines(folder.File("p.csv"), Enumerable.Range(0, 41).Select(row => $"i{row},g{(row == 40 ? 5 : row % 20):00}").Prepend("id,group"));
        NpyFile.Write<float>(folder.File("s.npy"), [.. Enumerable.Range(0, 41).SelectMany(row => row % 3 == 0 ? new[] { 0.75f, 0.25f } : [0.25f, 0.75f])], 41, 2);
        AuditResult result = ScoreAudit.Run(new ScoreAuditRequest
        {
            SoftmaxFile = folder.File("s.npy"),
            MetadataFile = folder.File("p.csv"),
            Columns = new ProbeColumns { Group = ["group"] },
            Experiment = LabelSets.Resolve("x,y"),
            Intervals = _options,
        });
        Assert.Equal("g05", result.Probe.ReferenceGroup);
        string page = ReportWriter.Compose(result, FigureSet.Make(result));
        Assert.Contains("20 groups would make 190 pairs", page, StringComparison.Ordinal);
        Assert.Contains("reference group &#39;g05&#39;", page, StringComparison.Ordinal);
        Assert.Contains("there is no group 'g99' to compare with", Assert.Throws<BadInputException>(() => ProbeReader.ReadCsv(folder.File("p.csv"), new ProbeColumns { Group = ["group"], Reference = "g99" })).Message, StringComparison.Ordinal);
    }

    private static (FrameBuilder Builder, bool[] Wins, double[] Values) Make(int groups, int persons, string? reference)
    {
        var random = new Random(2);
        ProbeImage[] images = [.. Enumerable.Range(0, groups * persons).Select(row => new ProbeImage($"{row}", "f", $"{row}", $"g{row % groups:00}"))];
        string[] keys = [.. Enumerable.Range(0, groups).Select(group => $"g{group:00}")];
        return (new FrameBuilder(new Grouping(keys, images, Weighting.Person, reference), _options), [.. images.Select(_ => random.NextDouble() < 0.4)], [.. images.Select(_ => random.NextDouble())]);
    }
}
