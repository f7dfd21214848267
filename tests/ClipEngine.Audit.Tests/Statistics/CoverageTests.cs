using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Statistics;

/// <summary>What intervals must do: hold the truth about as often as they say. Samples are small here; tools/coverage has the whole tables.</summary>
public class CoverageTests
{
    [Fact]
    public void TangosIntervalOfOneChangeInFortyEight()
    {
        Interval interval = PairedRates.Tango(0, 1, 48, 0.95);
        Assert.Equal(-0.109, interval.Lower, 3);
        Assert.Equal(0.055, interval.Upper, 3);
    }

    /// <summary>At the ends, the score statistic with the nuisance rate found by search (not by Tango's closed form) is the normal quantile.</summary>
    [Theory]
    [InlineData(3, 9, 40)]
    [InlineData(0, 4, 20)]
    [InlineData(7, 7, 52)]
    public void TangosEndsAreWhereTheScoreTestTurns(int gained, int lost, int count)
    {
        Interval interval = PairedRates.Tango(gained, lost, count, 0.95);
        foreach (double end in new[] { interval.Lower, interval.Upper })
        {
            double best = double.NegativeInfinity, onlyLost = 0;
            for (int step = 1; step < 400_000; step++)
            {
                double q = step / 400_000.0, p = q + end;
                if (p <= 0 || p + q >= 1)
                    continue;
                double likelihood = (gained * Math.Log(p)) + (lost * Math.Log(q)) + ((count - gained - lost) * Math.Log(1 - p - q));
                if (likelihood > best)
                    (best, onlyLost) = (likelihood, q);
            }

            double score = (gained - lost - (count * end)) / Math.Sqrt(count * ((2 * onlyLost) + (end * (1 - end))));
            Assert.Equal(1.96, Math.Abs(score), 2);
        }
    }

    /// <summary>For bits Gaffke's bound is Clopper and Pearson's: 3 of 10 give 6.67 to 65.25 %.</summary>
    [Fact]
    public void ForBitsTheBoundedMeanIsClopperAndPearsons()
    {
        var sample = new PersonSample(1, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [.. Enumerable.Repeat(1, 10)]);
        Interval interval = Bounded(BoundedMean.Draw(sample, [.. Enumerable.Range(0, 10)], 200_000, 1, "s"), 200_000, 0.3);
        Assert.Equal(0.0667, interval.Lower, 2);
        Assert.Equal(0.6525, interval.Upper, 2);
    }

    [SkippableTheory]
    [InlineData("animal", 1)]
    [InlineData("gorilla", 2)]
    [InlineData("criminal", 6)]
    public void MeansOfRareLabelsHoldTheTruth(string label, int column)
    {
        (float[] values, _) = NpyFile.ReadAll<float>(TestData.SharedPath("data", "cfd", "ViT-L-14.laion2b_s32b_b82k.human.softmax.npy"));
        double[] population = [.. Enumerable.Range(0, 597).Select(row => (double)values[(row * 8) + column])];
        double truth = population.Average();
        foreach (int n in new[] { 10, 52 })
        {
            int held = 0;
            for (int seed = 0; seed < 200; seed++)
            {
                var random = new Random((1000 * n) + seed);
                double[] drawn = [.. Enumerable.Range(0, n).Select(_ => population[random.Next(597)])];
                Interval interval = Bounded(BoundedMean.Draw(new PersonSample(1, drawn, [.. Enumerable.Repeat(1, n)]), [.. Enumerable.Range(0, n)], 999, seed, "s"), 999, drawn.Average());
                held += interval.Lower <= truth && truth <= interval.Upper ? 1 : 0;
            }

            Assert.True(held >= 186, $"{label}, n = {n}: {held / 2.0} %");
        }
    }

    /// <summary>Persons with 1 to 4 images and intraclass correlation 0.5: a gap without a true difference leaves zero out in 7 % at most.</summary>
    [Theory]
    [InlineData(0.05)]
    [InlineData(0.3)]
    public void ClusteredGapsHoldZero(double rate)
    {
        int outside = 0;
        for (int seed = 0; seed < 500; seed++)
        {
            var random = new Random(seed);
            var images = new List<ProbeImage>();
            var outcomes = new List<bool>();
            foreach (string group in new[] { "A", "B" })
            {
                for (int person = 0; person < 50; person++)
                {
                    // Half of the images copy the person's own draw: intraclass correlation 0.5 needs a share of sqrt(0.5) of copies.
                    bool own = random.NextDouble() < rate;
                    for (int image = random.Next(4); image >= 0; image--)
                    {
                        images.Add(new ProbeImage($"{images.Count}", "f", $"{group}{person}", group));
                        outcomes.Add(random.NextDouble() < Math.Sqrt(0.5) ? own : random.NextDouble() < rate);
                    }
                }
            }

            GroupMetricFrame frame = new FrameBuilder(new Grouping(["A", "B"], images), new IntervalOptions()).Share(Metric.ArgmaxFrequency, "x", [.. outcomes]);
            Interval interval = frame.Gaps[0].Difference.Interval!;
            outside += interval.Lower > 0 || interval.Upper < 0 ? 1 : 0;
        }

        Assert.InRange(outside, 0, 35);
    }

    /// <summary>The same persons in both groups: outcomes that go together make the gap surer, and its interval narrower, by itself.</summary>
    [Fact]
    public void GroupsWithTheSamePersonsArePaired()
    {
        bool[] outcomes = [.. Enumerable.Range(0, 48).SelectMany(person => new[] { person % 3 == 0, person % 3 == 0 })];
        ProbeImage[] same = [.. Enumerable.Range(0, 96).Select(image => new ProbeImage($"{image}", "f", $"{image / 2}", image % 2 == 0 ? "A" : "B"))];
        ProbeImage[] strangers = [.. same.Select((image, row) => image with { Person = $"{row}" })];
        Interval Gap(ProbeImage[] images) => new FrameBuilder(new Grouping(["A", "B"], images), new IntervalOptions()).Share(Metric.ArgmaxFrequency, "x", outcomes).Gaps[0].Difference.Interval!;
        Assert.Equal("Newcombe, paired over persons", Gap(same).Method);
        Assert.Equal("Newcombe", Gap(strangers).Method);
        Assert.True(Gap(same).Upper - Gap(same).Lower < 0.3 * (Gap(strangers).Upper - Gap(strangers).Lower));
    }

    /// <summary>Differences of whole outcomes with one image a person are Tango's own; several images of a person count as one where they agree.</summary>
    [Fact]
    public void DifferencesOverPersonsCountPersons()
    {
        double[] differences = [1, 1, 1, 1, 0, 0, 0, 0, -1, -1, 0, 0];
        int[][] pairs = [.. Enumerable.Range(0, 6).Select(person => new[] { 2 * person, (2 * person) + 1 })];
        int[][] strangers = [.. Enumerable.Range(0, 12).Select(row => new[] { row })];
        double[] weights = [.. Enumerable.Repeat(1.0, 12)];
        Interval clustered = PersonChange.Of(pairs, [.. Enumerable.Range(0, 12).Select(row => row / 2)], weights, differences, 0.95)!.Interval!;
        Interval alone = PersonChange.Of(strangers, [.. Enumerable.Range(0, 12)], weights, differences, 0.95)!.Interval!;
        Assert.Equal(PairedRates.Tango(4, 2, 12, 0.95), alone);
        Assert.True(clustered.Upper - clustered.Lower > 1.2 * (alone.Upper - alone.Lower));
    }

    /// <summary>20 persons with one image gained the label, 5 persons with 20 images each lost it: estimate, interval, test and effect size speak of one thing.</summary>
    [Theory]
    [InlineData(Weighting.Person, 0.6, true)]
    [InlineData(Weighting.Image, -80.0 / 120, false)]
    public void EstimateAndTestAnswerOneQuestion(Weighting weighting, double expected, bool isClear)
    {
        ProbeImage[] images = [.. Enumerable.Range(0, 120).Select(row => new ProbeImage($"{row}", "f", row < 20 ? $"one{row}" : $"many{(row - 20) / 20}", "A"))];
        double[] differences = [.. Enumerable.Range(0, 120).Select(row => row < 20 ? 1.0 : -1)];
        var grouping = new Grouping(["A"], images, weighting);
        PersonChange change = new FrameBuilder(grouping, new IntervalOptions()).Change(0, differences)!;
        PersonSample persons = FrameBuilder.Sample(grouping.Persons[0], grouping.Weights, differences, 1);
        double p = HypothesisTests.PairedPermutation(persons, 9999, 1, "x"), effect = HypothesisTests.PairedEffectSize(persons)!.Value;

        Assert.Equal(expected, change.Mean, 12);
        Assert.Equal(expected, persons.Mean(0), 12);
        Assert.Equal(Math.Sign(expected), Math.Sign(effect));
        Assert.Equal(isClear, p < 0.05);
        if (isClear)
            Assert.True(change.Interval!.Lower > 0);
    }

    /// <summary>A person's images count one together: three images of one and one of another give one half each.</summary>
    [Fact]
    public void EveryPersonCountsTheSame()
    {
        ProbeImage[] images = [new("0", "f", "p", "A"), new("1", "f", "p", "A"), new("2", "f", "p", "A"), new("3", "f", "q", "A")];
        bool[] outcomes = [true, true, false, false];
        GroupMetricFrame Frame(Weighting weighting) => new FrameBuilder(new Grouping(["A"], images, weighting), new IntervalOptions { Resamples = 99 }).Share(Metric.ArgmaxFrequency, "x", outcomes);
        Assert.Equal(1.0 / 3, Frame(Weighting.Person)["A"].Value!.Value, 12);
        Assert.Equal(0.5, Frame(Weighting.Image)["A"].Value);
        var means = new FrameBuilder(new Grouping(["A"], images), new IntervalOptions { Resamples = 99 }).Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], [1, 1, 0, 0]);
        Assert.Equal(1.0 / 3, means[0]["A"].Value!.Value, 12);
        Assert.Equal(1.0 / 3, means[0].Overall.Value!.Value, 12);
    }

    private static Interval Bounded(BoundedMean sample, int resamples, double mean)
    {
        var sum = new BoundedSum(resamples);
        sum.Add(sample, 0, 1);
        return sum.Interval(mean, 0.95);
    }
}
