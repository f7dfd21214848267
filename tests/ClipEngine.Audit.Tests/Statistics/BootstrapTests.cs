using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Tests.Statistics;

public class BootstrapTests
{
    [Fact]
    public void DrawsDoNotDependOnThreadsOrOrder()
    {
        var sample = new PersonSample(1, [.. Enumerable.Range(0, 50).Select(i => Math.Sin(i))], [.. Enumerable.Repeat(1, 50)]);
        double[] once = Bootstrap.Means(sample, 500, Bootstrap.Seeded(50, 7, "a"))[0];
        PersonResampler draws = Bootstrap.Seeded(50, 7, "a");
        var indices = new int[50];
        for (int resample = 499; resample >= 0; resample--)
        {
            draws(resample, indices);
            double sum = 0;
            foreach (int index in indices)
                sum += sample.Row(index)[0];
            Assert.Equal(once[resample], sum / 50);
        }

        Assert.NotEqual(once, Bootstrap.Means(sample, 500, Bootstrap.Seeded(50, 8, "a"))[0]);
        Assert.NotEqual(once, Bootstrap.Means(sample, 500, Bootstrap.Seeded(50, 7, "b"))[0]);
    }

    [Fact]
    public void PersonsWithSeveralImagesAreDrawnWhole()
    {
        // Person 0 has one image (value 1), person 1 has three (sum 0): a resample's mean is k / (k + 3 (2 - k)) for k draws of person 0.
        var sample = new PersonSample(1, [1, 0], [1, 3]);
        double[] means = Bootstrap.Means(sample, 200, Bootstrap.Seeded(2, 1, "x"))[0];
        Assert.Equal([0, 0.25, 1], means.Distinct().Order());
    }

    [Fact]
    public void AConstantSampleHasNoInterval() =>
        Assert.Null(Bootstrap.Interval([0.3, 0.3, 0.3], 0.3, [[0.3, 0.3]], 0.95, BootstrapMethod.BiasCorrectedAccelerated));

    [Fact]
    public void ADrawnPermutationTestIsNearTheExactOne()
    {
        // 20 equal differences: only the two patterns without a change are as extreme; p = 2 / 2^20.
        double[] equal = [.. Enumerable.Repeat(0.5, 20)];
        Assert.Equal(1.0 / 10000, HypothesisTests.PairedPermutation(Persons(equal), 9999, 3, "t"), 12);
        double[] balanced = [.. Enumerable.Range(0, 40).Select(i => i % 2 == 0 ? 1.0 : -1.0)];
        Assert.Equal(1, HypothesisTests.PairedPermutation(Persons(balanced), 9999, 3, "t"));
    }

    /// <summary>One image a person.</summary>
    internal static PersonSample Persons(double[] values) => new(1, values, [.. Enumerable.Repeat(1, values.Length)]);
}
