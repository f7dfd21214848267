using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Statistics;

/// <summary>Weights of images: estimates and variances against formulas written out here, properties, and what is refused.</summary>
public class WeightTests
{
    private static readonly IntervalOptions _options = new() { Resamples = 199 };

    /// <summary>
    /// Two persons of weight 2, one with the label, and eight of weight 1, two with it: the share is 4/12, its linearised variance 10/9 · (34/9)/144, Kish's
    /// number 12²/16 = 9. The interval is Wilson's on p(1 − p)/v · (z/t)², t = 2.306004135 with 8 degrees of freedom (Student's table).
    /// </summary>
    [Fact]
    public void AWeightedShareIsTheOneWorkedOutByHand()
    {
        double[] weights = [2, 2, 1, 1, 1, 1, 1, 1, 1, 1], outcomes = [1, 0, 1, 1, 0, 0, 0, 0, 0, 0];
        PersonShare share = Share(weights, outcomes);
        double variance = 10 / 9.0 * (34 / 9.0) / 144, effective = 1 / 3.0 * (2 / 3.0) / variance;
        Assert.Equal(1 / 3.0, share.Share, 14);
        Assert.Equal(effective, share.Effective, 12);
        double z = 1.959963984540054, n = effective * Math.Pow(z / 2.306004135204166, 2), p = 1 / 3.0;
        double centre = (p + (z * z / (2 * n))) / (1 + (z * z / n)), half = z * Math.Sqrt((p * (1 - p) / n) + (z * z / (4 * n * n))) / (1 + (z * z / n));
        Interval interval = share.Estimate(0.95).Interval!;
        Assert.Equal((centre - half, centre + half), (interval.Lower, interval.Upper), (one, two) => Math.Abs(one.Item1 - two.Item1) < 1e-9 && Math.Abs(one.Item2 - two.Item2) < 1e-9);
        Assert.Equal(9, Grouping.Effective([.. Enumerable.Range(0, 10).Select(row => new[] { row })], weights), 12);
    }

    /// <summary>Several images a person with weights of their own, against sums over persons written with LINQ.</summary>
    [Theory]
    [InlineData(Weighting.Person)]
    [InlineData(Weighting.Image)]
    public void PersonsWithSeveralWeightedImagesAgreeWithTheFormula(Weighting weighting)
    {
        var random = new Random(5);
        ProbeImage[] images = [.. Enumerable.Range(0, 90).Select(row => new ProbeImage($"{row}", "f", $"{row % 31}", row % 3 == 0 ? "A" : "B") { Weight = Math.Exp(random.NextDouble() * 2) })];
        double[] outcomes = [.. images.Select(_ => random.NextDouble() < 0.3 ? 1.0 : 0)];
        var grouping = new Grouping(["A", "B"], images, weighting);
        for (int group = 0; group < 2; group++)
        {
            (string Person, double Weight, double Outcome)[] own = [.. images.Zip(outcomes).Where(entry => entry.First.Group == grouping.Keys[group]).Select(entry => (entry.First.Person, entry.First.Weight!.Value, entry.Second))];
            var persons = own.GroupBy(image => image.Person).Select(person =>
            {
                double share = weighting == Weighting.Person ? person.Count() : 1;
                return (Weight: person.Sum(image => image.Weight) / share, Sum: person.Sum(image => image.Weight * image.Outcome) / share);
            }).ToArray();
            double total = persons.Sum(person => person.Weight), p = persons.Sum(person => person.Sum) / total;
            double variance = persons.Length / (persons.Length - 1.0) * persons.Sum(person => Math.Pow(person.Sum - (p * person.Weight), 2)) / (total * total);
            PersonShare share = PersonShare.Of(grouping.Persons[group], grouping.PersonOf, grouping.Weights, outcomes)!;
            Assert.Equal(p, share.Share, 12);
            Assert.Equal(p * (1 - p) / variance, share.Effective, 1e-9);
            Assert.Equal(total * total / persons.Sum(person => person.Weight * person.Weight), Grouping.Effective(grouping.Persons[group], grouping.Weights), 1e-9);
        }
    }

    /// <summary>Equal weights are no weights, whatever their unit; and only the ratios of weights matter.</summary>
    [Fact]
    public void OnlyTheRatiosOfWeightsMatter()
    {
        var random = new Random(3);
        double[] ratios = [.. Enumerable.Range(0, 60).Select(_ => 0.2 + random.NextDouble())];
        double[] values = [.. Enumerable.Range(0, 60).Select(_ => random.NextDouble())];
        bool[] wins = [.. Enumerable.Range(0, 60).Select(_ => random.NextDouble() < 0.3)];
        Same(Frames(_ => null), Frames(_ => 7e8));
        Same(Frames(row => ratios[row]), Frames(row => 1e-7 * ratios[row]));

        IEnumerable<Estimate> Frames(Func<int, double?> weight)
        {
            ProbeImage[] images = [.. Enumerable.Range(0, 60).Select(row => new ProbeImage($"{row}", "f", $"{row / 2}", row < 36 ? "A" : "B") { Weight = weight(row) })];
            var builder = new FrameBuilder(new Grouping(["A", "B"], images), _options);
            GroupMetricFrame[] frames = [builder.Share(Metric.ArgmaxFrequency, "x", wins), .. builder.Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], values), .. builder.Means(Metric.Entropy, MetricUnit.Nats, [""], values)];
            return frames.SelectMany(frame => frame.Groups.Select(group => group.Estimate).Concat(frame.Gaps.Select(gap => gap.Difference)).Append(frame.Overall).Append(frame.Average!));
        }

        static void Same(IEnumerable<Estimate> first, IEnumerable<Estimate> second)
        {
            foreach ((Estimate one, Estimate two) in first.Zip(second))
            {
                Assert.Equal(one.Value!.Value, two.Value!.Value, 9);
                Assert.Equal(one.Interval!.Lower, two.Interval!.Lower, 9);
                Assert.Equal(one.Interval.Upper, two.Interval.Upper, 9);
            }
        }
    }

    /// <summary>A person of weight 3 counts as three of weight 1: in shares, means and correlations.</summary>
    [Fact]
    public void AWeightOfThreeCountsThreeTimes()
    {
        double[] x = [.. Enumerable.Range(0, 12).Select(i => Math.Sin(i))], y = [.. Enumerable.Range(0, 12).Select(i => Math.Cos(2 * i) + (0.1 * i))];
        int[] copies = [.. Enumerable.Range(0, 12).Select(i => 1 + (i % 3))];
        int[] repeated = [.. Enumerable.Range(0, 12).SelectMany(i => Enumerable.Repeat(i, copies[i]))];
        double[] weights = Array.ConvertAll(copies, copy => (double)copy), hits = Array.ConvertAll(y, value => value > 0 ? 1.0 : 0);
        Assert.Equal(repeated.Average(i => hits[i]), Share(weights, hits).Share, 12);
        foreach (bool isOfRanks in new[] { false, true })
        {
            PersonCorrelation one = PersonCorrelation.Of(Enumerable.Range(0, 12), [.. Enumerable.Range(0, 12)], null, Weighting.Person, row => x[row], row => y[row], weights);
            PersonCorrelation many = PersonCorrelation.Of(Enumerable.Range(0, repeated.Length), [.. Enumerable.Range(0, repeated.Length)], null, Weighting.Person, row => x[repeated[row]], row => y[repeated[row]]);
            Assert.Equal(many.Value(isOfRanks)!.Value, one.Value(isOfRanks)!.Value, 12);
        }
    }

    /// <summary>Samples drawn with chances of one over their weights: the weighted intervals hold the population's share, where unweighted ones miss it.</summary>
    [Fact]
    public void WeightedIntervalsHoldThePopulationsShare()
    {
        int held = 0, plain = 0;
        for (int seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            double[] weights = new double[80], outcomes = new double[80];
            for (int person = 0; person < 80; person++)
            {
                // In the population half are of each kind; the first is drawn a quarter as often and has the label in 60 of 100, the second in 10.
                bool isRare = random.NextDouble() < 0.2;
                weights[person] = isRare ? 4 : 1;
                outcomes[person] = random.NextDouble() < (isRare ? 0.6 : 0.1) ? 1 : 0;
            }

            Interval interval = Share(weights, outcomes).Estimate(0.95).Interval!, unweighted = Share([.. weights.Select(_ => 1.0)], outcomes).Estimate(0.95).Interval!;
            held += interval.Lower <= 0.35 && interval.Upper >= 0.35 ? 1 : 0;
            plain += unweighted.Lower <= 0.35 && unweighted.Upper >= 0.35 ? 1 : 0;
        }

        Assert.InRange(held, 184, 200);
        Assert.InRange(plain, 0, 120);
    }

    [Theory]
    [InlineData("-1", "line 3", "0 or more")]
    [InlineData("", "line 3", "missing")]
    [InlineData("NaN", "line 3", "missing")]
    [InlineData("much", "line 3", "0 or more")]
    [InlineData("1e999", "line 3", "0 or more")]
    public void AWeightThatIsNoneIsRefused(string weight, string line, string problem)
    {
        string message = Assert.Throws<BadInputException>(() => Read($"id,group,w\na,A,1\nb,A,{weight}\nc,B,2\n")).Message;
        Assert.Contains(line, message, StringComparison.Ordinal);
        Assert.Contains("'w'", message, StringComparison.Ordinal);
        Assert.Contains(problem, message, StringComparison.Ordinal);
    }

    [Fact]
    public void RowsOfWeightZeroAreLeftOutAndCounted()
    {
        Probe probe = Read("id,group,w\na,A,1\nb,A,0\nc,B,2\nd,B,0.0\n");
        Assert.Equal(["a", "c"], probe.Images.Select(image => image.Id));
        Assert.Equal(4, probe.SourceRows);
        Assert.Contains(probe.Warnings, warning => warning.Contains("2 of 4 rows were left out: their weight in w is 0", StringComparison.Ordinal));
        Assert.Contains("no weight in column 'w' is above 0", Assert.Throws<BadInputException>(() => Read("id,group,w\na,A,0\n")).Message, StringComparison.Ordinal);
        Assert.Contains("there is no column 'w'", Assert.Throws<BadInputException>(() => Read("id,group\na,A\n")).Message, StringComparison.Ordinal);
    }

    /// <summary>What is estimated is weighted, and report, tables and stored result say so, with the effective numbers.</summary>
    [Fact]
    public void TheReportSaysThatTheEstimandIsWeighted()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("p.csv"), "id,group,w\na,A,3\nb,A,1\nc,A,0\nd,B,2\ne,B,2\n");
        NpyFile.Write<float>(folder.File("s.npy"), [0.9f, 0.1f, 0.2f, 0.8f, 1, 0, 0.6f, 0.4f, 0.3f, 0.7f], 5, 2);
        AuditResult result = ScoreAudit.Run(new ScoreAuditRequest
        {
            SoftmaxFile = folder.File("s.npy"),
            MetadataFile = folder.File("p.csv"),
            Columns = new ProbeColumns { Group = ["group"], Weight = "w" },
            Experiment = LabelSets.Resolve("x,y"),
            Intervals = _options,
        });
        GroupMetricFrame x = result.Experiments[0].Models[0].ArgmaxFrequency[0];
        Assert.Equal((0.75, 0.5, 0.625), (x["A"].Value!.Value, x["B"].Value!.Value, x.Overall.Value!.Value));
        Assert.Equal((2, 16 / 10.0), (x["A"].Count, result.Probe.Groups[0].EffectivePersons));
        string page = ReportWriter.Compose(result, FigureSet.Make(result));
        Assert.Contains("All shares and means are weighted by &#39;w&#39;", page, StringComparison.Ordinal);
        Assert.Contains("effective persons (Kish)", page, StringComparison.Ordinal);
        Assert.Contains("that the weights in &#39;w&#39; make these 4 images stand for", page, StringComparison.Ordinal);
        Assert.Contains("1 of 5 rows were left out: their weight in w is 0", page, StringComparison.Ordinal);
        ResultDirectory.Write(result, folder.File("out"));
        Assert.Contains(",A,2,0.75,", File.ReadAllText(folder.File("out", "tables", "groups.csv")), StringComparison.Ordinal);
        Assert.Contains(",1.6,", File.ReadAllText(folder.File("out", "tables", "groups.csv")), StringComparison.Ordinal);
        Assert.Equal(3, ResultDirectory.Read(folder.File("out")).Probe.Images[0].Weight);
    }

    private static PersonShare Share(double[] weights, double[] outcomes) =>
        PersonShare.Of([.. Enumerable.Range(0, weights.Length).Select(row => new[] { row })], [.. Enumerable.Range(0, weights.Length)], weights, outcomes)!;

    private static Probe Read(string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("t.csv"), text);
        return ProbeLayouts.Read(new ProbeSpec { Metadata = folder.File("t.csv"), Group = ["group"], Weight = "w" }, static path => path);
    }
}
