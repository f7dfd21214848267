using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Tests.Statistics;

/// <summary>Gaps, ratios and averages of groups, and their tests, against values from elsewhere or worked out by hand.</summary>
public class GroupTests
{
    /// <summary>SciPy's documentation of fisher_exact: [[8, 2], [1, 5]] gives 0.0350; the tea of Fisher's lady, 3 of 4 and 1 of 4, 0.4857.</summary>
    [Theory]
    [InlineData(8, 10, 1, 6, 0.034965034965)]
    [InlineData(3, 4, 1, 4, 0.485714285714)]
    [InlineData(0, 20, 0, 30, 1)]
    public void FishersTestAgrees(int firstHits, int first, int secondHits, int second, double p) =>
        Assert.Equal(p, HypothesisTests.FisherExact(firstHits, first, secondHits, second), 1e-9);

    /// <summary>All persons in both groups: swapping a person's sides is turning the sign of its difference.</summary>
    [Fact]
    public void PersonsInBothGroupsSwapTheirSides()
    {
        double[] first = [0.3, 0.8, 0.5, 0.9, 0.7, 0.6, 0.4, 0.95, 0.2, 0.7], second = [0.2, 0.5, 0.55, 0.4, 0.3, 0.5, 0.1, 0.6, 0.25, 0.4];
        int[] numbers = [.. Enumerable.Range(0, 10)];
        double swapped = HypothesisTests.TwoGroups(BootstrapTests.Persons(first), numbers, BootstrapTests.Persons(second), numbers, 20_000, 1, "x");
        double signs = HypothesisTests.PairedPermutation(BootstrapTests.Persons([.. first.Zip(second, (one, two) => one - two)]), 99, 1, "x");
        Assert.Equal(signs, swapped, 0.005);
    }

    /// <summary>Without a difference a test at 5 % rejects in about 5 %, also where one group's persons vary three times as much and are fewer.</summary>
    [Fact]
    public void PermutedPersonsRejectAsOftenAsTheyMay()
    {
        int rejected = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            double[] first = [.. Enumerable.Range(0, 12).Select(_ => 0.9 * (random.NextDouble() - 0.5))], second = [.. Enumerable.Range(0, 40).Select(_ => 0.3 * (random.NextDouble() - 0.5))];
            double p = HypothesisTests.TwoGroups(BootstrapTests.Persons(first), [.. Enumerable.Range(0, 12)], BootstrapTests.Persons(second), [.. Enumerable.Range(100, 40)], 199, seed, "x");
            rejected += p <= 0.05 ? 1 : 0;
        }

        Assert.InRange(rejected, 6, 34);
    }

    /// <summary>Donner and Zou's closed form of the ratio's ends, which the search for zero must meet.</summary>
    [Theory]
    [InlineData(9, 20, 12, 30)]
    [InlineData(0, 25, 5, 40)]
    [InlineData(40, 40, 3, 50)]
    public void RatiosHaveTheEndsOfTheClosedForm(int firstHits, int first, int secondHits, int second)
    {
        Estimate ratio = PersonShare.Ratio(Share(firstHits, first, "A"), Share(secondHits, second, "B"), 0.95);
        double p = (double)firstHits / first, q = (double)secondHits / second;
        Interval one = Proportions.Wilson(firstHits, first, 0.95), two = Proportions.Wilson(secondHits, second, 0.95);
        double l = one.Lower, u = one.Upper, m = two.Lower, w = two.Upper;
        double upper = ((p * q) + Math.Sqrt((p * p * q * q) - (u * m * ((2 * p) - u) * ((2 * q) - m)))) / (m * ((2 * q) - m));
        Assert.Equal(p / q, ratio.Value!.Value, 12);
        Assert.Equal(upper, ratio.Interval!.Upper, 1e-6);
        if (w < 2 * q)
            Assert.Equal(((p * q) - Math.Sqrt((p * p * q * q) - (l * w * ((2 * p) - l) * ((2 * q) - w)))) / (w * ((2 * q) - w)), ratio.Interval.Lower, 1e-6);
    }

    [Fact]
    public void ARatioToNothingIsUndefined() => Assert.Null(PersonShare.Ratio(Share(3, 10, "A"), Share(0, 10, "B"), 0.95).Value);

    /// <summary>The average of 2 of 10 and 30 of 50 is 0.4: each group counts the same, and the ends are roots of the sums of squares.</summary>
    [Fact]
    public void GroupsCountTheSameInAnAverage()
    {
        Estimate average = PersonShare.Average([Share(2, 10, "A"), Share(30, 50, "B"), null], 0.95);
        Interval one = Proportions.Wilson(2, 10, 0.95), two = Proportions.Wilson(30, 50, 0.95);
        Assert.Equal(0.4, average.Value!.Value, 12);
        Assert.Equal(0.4 - (0.5 * Math.Sqrt(Math.Pow(0.2 - one.Lower, 2) + Math.Pow(0.6 - two.Lower, 2))), average.Interval!.Lower, 12);
        Assert.Equal(0.4 + (0.5 * Math.Sqrt(Math.Pow(one.Upper - 0.2, 2) + Math.Pow(two.Upper - 0.6, 2))), average.Interval.Upper, 12);
    }

    /// <summary>Four runs against four that all lie higher: 2 of 70 ways. Three against three can reach 0.1 at best, and are not tested.</summary>
    [Fact]
    public void RunsAreTestedWhereThereAreEnough()
    {
        RunAverages four = RunTests.Compare([0.1, 0.12, 0.15, 0.11], [0.3, 0.35, 0.31, 0.4], new IntervalOptions());
        Assert.Equal(2.0 / 70, four.Test!.PValue, 12);
        Assert.Equal(0.34 - 0.12, four.Difference.Value!.Value, 12);
        // Welch by hand: variances 0.0004667 and 0.0020667, standard error 0.025166, 4.29 degrees of freedom, t = 2.7036.
        Assert.Equal(0.22 - (2.7036 * 0.025166), four.Difference.Interval!.Lower, 2e-4);
        RunAverages three = RunTests.Compare([0.1, 0.12, 0.15], [0.3, 0.35, 0.31], new IntervalOptions());
        Assert.Null(three.Test);
        Assert.Null(three.Difference.Interval);
        Assert.Equal([0.1, 0.12, 0.15], three.First);
    }

    /// <summary>One and two degrees of freedom have closed forms: tan(pi level / 2), and level sqrt(2 / (1 - level²)). Thousands lie far beyond 0.999.</summary>
    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    [InlineData(0.95)]
    [InlineData(0.999)]
    [InlineData(0.9998)]
    [InlineData(0.999999)]
    [InlineData(0.9999999999)]
    public void QuantilesOfFewDegreesOfFreedomAreFoundAtEveryLevel(double level)
    {
        Assert.Equal(1, StudentQuantile.TwoSided(1, level) / Math.Tan(Math.PI * level / 2), 1e-6);
        Assert.Equal(1, StudentQuantile.TwoSided(2, level) / (level * Math.Sqrt(2 / ((1 - level) * (1 + level)))), 1e-9);
        Assert.Equal(1, StudentQuantile.TwoSided(1e9, level) / MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, (1 + level) / 2), 1e-5);
    }

    /// <summary>Means that are not bounded: the same persons in both groups are drawn together, and a gap of zero everywhere has no spread.</summary>
    [Fact]
    public void MeansOfTheSamePersonsAreDrawnTogether()
    {
        ProbeImage[] images = [.. Enumerable.Range(0, 60).Select(row => new ProbeImage($"{row}", "f", $"{row / 2}", row % 2 == 0 ? "A" : "B"))];
        double[] values = [.. Enumerable.Range(0, 60).Select(row => Math.Sin(row / 2) + (row % 2 == 0 ? 0.1 : 0))];
        Interval Gap(ProbeImage[] of) => new FrameBuilder(new Grouping(["A", "B"], of), new IntervalOptions { Resamples = 499 }).Means(Metric.Entropy, MetricUnit.Nats, [""], values)[0].Gaps[0].Difference.Interval!;
        Assert.Null(Gap(images));
        Interval strangers = Gap([.. images.Select((image, row) => image with { Person = $"{row}" })]);
        Assert.True(strangers.Upper - strangers.Lower > 0.4);
    }

    private static PersonShare Share(int hits, int count, string group) => PersonShare.Of(
        [.. Enumerable.Range(0, count).Select(row => new[] { row })], [.. Enumerable.Range(group == "A" ? 0 : 1000, count)], [.. Enumerable.Repeat(1.0, count)],
        [.. Enumerable.Range(0, count).Select(row => row < hits ? 1.0 : 0)])!;
}
