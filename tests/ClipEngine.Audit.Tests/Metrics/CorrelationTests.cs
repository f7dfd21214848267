using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using MathNet.Numerics.Statistics;

namespace ClipEngine.Audit.Tests.Metrics;

/// <summary>Correlations over persons: against the correlation of persons' means, and against samples whose truth is known.</summary>
public class CorrelationTests
{
    private static readonly IntervalOptions _options = new() { Resamples = 499 };

    /// <summary>One image a person: the coefficients are those of the whole sample, here by MathNet, elsewhere by SciPy.</summary>
    [Fact]
    public void OneImageAPersonIsTheCorrelationOfTheImages()
    {
        double[] x = [.. Enumerable.Range(0, 40).Select(i => Math.Sin(i) + (i / 20))], y = [.. Enumerable.Range(0, 40).Select(i => Math.Sin(i + 0.8) + (i % 3))];
        PersonCorrelation correlation = PersonCorrelation.Of(Enumerable.Range(0, 40), [.. Enumerable.Range(0, 40)], null, Weighting.Person, row => x[row], row => y[row]);
        Assert.Equal(Correlation.Pearson(x, y), correlation.Value(isOfRanks: false)!.Value, 12);
        Assert.Equal(Correlation.Spearman(x, y), correlation.Value(isOfRanks: true)!.Value, 12);
        (Estimate estimate, TestResult? test) = correlation.Estimate(isOfRanks: false, _options, "x");
        Assert.Equal(40, estimate.Count);
        Assert.Equal("bootstrap BCa, over persons", estimate.Interval!.Method);
        Assert.InRange(estimate.Value!.Value, estimate.Interval.Lower, estimate.Interval.Upper);
        Assert.InRange(test!.PValue, 0, 1);
    }

    /// <summary>Five images a person with the person's own attribute: 95 % intervals hold zero in about 95 %, not in 65 %, and the test rejects in about 5 %.</summary>
    [Fact]
    public void SeveralImagesOfAPersonAreNoSeveralPersons()
    {
        int held = 0, rejected = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            double[] own = [.. Enumerable.Range(0, 48).Select(_ => random.NextDouble())], attribute = [.. Enumerable.Range(0, 48).Select(_ => random.NextDouble())];
            double[] y = [.. Enumerable.Range(0, 240).Select(row => own[row / 5] + (0.3 * random.NextDouble()))];
            PersonCorrelation correlation = PersonCorrelation.Of(Enumerable.Range(0, 240), [.. Enumerable.Range(0, 240).Select(row => row / 5)], null, Weighting.Person, row => attribute[row / 5], row => y[row]);
            (Estimate estimate, TestResult? test) = correlation.Estimate(isOfRanks: true, new IntervalOptions { Resamples = 199, Seed = seed }, "x");
            held += estimate.Interval!.Lower <= 0 && estimate.Interval.Upper >= 0 ? 1 : 0;
            rejected += test!.PValue <= 0.05 ? 1 : 0;
        }

        Assert.InRange(held, 134, 149);
        Assert.InRange(rejected, 1, 16);
    }

    /// <summary>Two groups that differ in both numbers correlate over all persons, and not within; ranks are taken within the groups.</summary>
    [Fact]
    public void WithinGroupsWhatGroupsDifferInIsTakenOut()
    {
        double[] inside = [0.1, 0.4, 0.2, 0.3], other = [0.2, 0.3, 0.1, 0.4];
        double[] x = [.. inside, .. inside.Select(value => value + 10)], y = [.. other, .. other.Select(value => value + 5)];
        int[] persons = [.. Enumerable.Range(0, 8)], groups = [0, 0, 0, 0, 1, 1, 1, 1];
        double? Value(int[]? strata, bool isOfRanks) => PersonCorrelation.Of(Enumerable.Range(0, 8), persons, strata, Weighting.Person, row => x[row], row => y[row]).Value(isOfRanks);
        Assert.True(Value(null, false) > 0.99);
        Assert.Equal(Correlation.Pearson(inside, other), Value(groups, false)!.Value, 9);
        Assert.Equal(Correlation.Spearman(inside, other), Value(groups, true)!.Value, 9);
    }

    /// <summary>Where one of many persons makes nearly all of the spread, Pearson's r has no interval that would hold anything.</summary>
    [Fact]
    public void ASpreadOfOnePersonHasNoInterval()
    {
        double[] x = [.. Enumerable.Range(0, 60).Select(i => Math.Sin(i))], y = [.. Enumerable.Range(0, 60).Select(i => i == 17 ? 0.9 : 1e-5 * i)];
        PersonCorrelation correlation = PersonCorrelation.Of(Enumerable.Range(0, 60), [.. Enumerable.Range(0, 60)], null, Weighting.Person, row => x[row], row => y[row]);
        Assert.Null(correlation.Estimate(isOfRanks: false, _options, "x").Estimate.Interval);
        Assert.NotNull(correlation.Estimate(isOfRanks: true, _options, "x").Estimate.Interval);
    }

    [Fact]
    public void AColumnThatDoesNotVaryHasNoCorrelation()
    {
        PersonCorrelation correlation = PersonCorrelation.Of(Enumerable.Range(0, 9), [.. Enumerable.Range(0, 9)], null, Weighting.Person, _ => 3, row => row);
        Assert.Equal((null, null), (correlation.Estimate(isOfRanks: false, _options, "x").Estimate.Value, correlation.Estimate(isOfRanks: true, _options, "x").Test));
    }
}
