using System.Text.Json;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Statistics;

/// <summary>Against SciPy 1.10, through <c>tests/data/statistics/scipy.json</c>, which <c>tools/statistics-fixtures.py</c> makes.</summary>
public class ScipyTests
{
    private const double Tolerance = 1e-6;

    private static readonly JsonElement _scipy = JsonDocument.Parse(File.ReadAllText(TestData.Path("statistics", "scipy.json"))).RootElement;

    [Fact]
    public void WilsonIntervalsAgree()
    {
        foreach (JsonElement entry in _scipy.GetProperty("wilson").EnumerateArray())
            Same(entry.GetProperty("interval"), Proportions.Wilson(entry.GetProperty("successes").GetInt32(), entry.GetProperty("count").GetInt32(), 0.95));
    }

    [Fact]
    public void NewcombeIntervalsAgree()
    {
        foreach (JsonElement entry in _scipy.GetProperty("newcombe").EnumerateArray())
        {
            double[] first = Numbers(entry.GetProperty("first"));
            double[] second = Numbers(entry.GetProperty("second"));
            Same(entry.GetProperty("interval"), Proportions.Newcombe(first[0], (int)first[1], second[0], (int)second[1], 0.95));
        }
    }

    [Theory]
    [InlineData("mean")]
    [InlineData("paired")]
    [InlineData("difference")]
    public void BootstrapIntervalsAgreeOnTheSameResamples(string name)
    {
        JsonElement entry = _scipy.GetProperty("bootstrap").GetProperty(name);
        PersonSample[] samples = [.. entry.GetProperty("samples").EnumerateArray().Select(values =>
        {
            double[] sums = Numbers(values);
            return new PersonSample(1, sums, [.. sums.Select(_ => 1)]);
        })];
        int[][][] indices = [.. entry.GetProperty("indices").EnumerateArray().Select(table => table.EnumerateArray().Select(row => row.EnumerateArray().Select(index => index.GetInt32()).ToArray()).ToArray())];
        double[][] means = [.. samples.Select((sample, index) => Bootstrap.Means(sample, indices[index].Length, (resample, draws) => indices[index][resample].CopyTo(draws))[0])];
        double[] distribution = means[0];
        double estimate = samples[0].Mean(0);
        var jackknives = new List<double[]> { Bootstrap.Jackknife(samples[0], 0) };
        if (samples.Length == 2)
        {
            distribution = [.. means[0].Zip(means[1], (first, second) => first - second)];
            double firstMean = estimate;
            double secondMean = samples[1].Mean(0);
            estimate = firstMean - secondMean;
            jackknives = [[.. jackknives[0].Select(mean => mean - secondMean)], [.. Bootstrap.Jackknife(samples[1], 0).Select(mean => firstMean - mean)]];
        }

        Same(entry.GetProperty("percentile"), Bootstrap.Interval(distribution, estimate, jackknives, 0.95, BootstrapMethod.Percentile)!);
        Interval corrected = Bootstrap.Interval(distribution, estimate, jackknives, 0.95, BootstrapMethod.BiasCorrectedAccelerated)!;
        Assert.Equal("bootstrap BCa", corrected.Method);
        Same(entry.GetProperty("bca"), corrected);
    }

    [Fact]
    public void McNemarAgreesWithTheBinomialTest()
    {
        foreach (JsonElement entry in _scipy.GetProperty("mcnemar").EnumerateArray())
            Assert.Equal(entry.GetProperty("p").GetDouble(), HypothesisTests.McNemar(entry.GetProperty("first").GetInt32(), entry.GetProperty("second").GetInt32()), 1e-9);
    }

    [Fact]
    public void ExactPermutationTestsAgree()
    {
        foreach (JsonElement entry in _scipy.GetProperty("permutation").EnumerateArray())
            Assert.Equal(entry.GetProperty("p").GetDouble(), HypothesisTests.PairedPermutation(BootstrapTests.Persons(Numbers(entry.GetProperty("values"))), 99, 1, "x"), Tolerance);
    }

    [Fact]
    public void CorrelationsAgree()
    {
        double[] x = Numbers(_scipy.GetProperty("pearson").GetProperty("x"));
        double[] y = Numbers(_scipy.GetProperty("pearson").GetProperty("y"));
        PersonCorrelation correlation = PersonCorrelation.Of(Enumerable.Range(0, x.Length), [.. Enumerable.Range(0, x.Length)], null, Weighting.Person, row => x[row], row => y[row]);
        Assert.Equal(_scipy.GetProperty("pearson").GetProperty("value").GetDouble(), correlation.Value(isOfRanks: false)!.Value, Tolerance);
        Assert.Equal(_scipy.GetProperty("spearman").GetProperty("value").GetDouble(), correlation.Value(isOfRanks: true)!.Value, Tolerance);
    }

    [Fact]
    public void CorrectionsAgree()
    {
        JsonElement entry = _scipy.GetProperty("corrections");
        double[] values = Numbers(entry.GetProperty("p"));
        Assert.Equal(Numbers(entry.GetProperty("holm")), MultipleTesting.Holm(values), Near);
        Assert.Equal(Numbers(entry.GetProperty("bh")), MultipleTesting.BenjaminiHochberg(values), Near);
    }

    private static bool Near(double first, double second) => Math.Abs(first - second) <= Tolerance;

    private static void Same(JsonElement expected, Interval interval)
    {
        double[] ends = Numbers(expected);
        Assert.Equal(ends[0], interval.Lower, Tolerance);
        Assert.Equal(ends[1], interval.Upper, Tolerance);
    }

    private static double[] Numbers(JsonElement array) => [.. array.EnumerateArray().Select(value => value.GetDouble())];
}
