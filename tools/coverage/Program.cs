using System.Globalization;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;

// coverage [--probabilities MATRIX.npy] [--repeats N] [--seed N] [--only TEXT]: how often the audit's 95 % intervals hold a known truth, as the tables of docs/statistics.md.
// Seeded. Each line: what is estimated, the setting, coverage with its standard error, mean width; then how often each test rejects
// where nothing differs. --only makes the rows whose first cell contains the text. Another --seed gives other samples of the same kind. MATRIX.npy holds probabilities, [images, 8]: the
// published ViT-L-14/laion2b_s32b_b82k matrix of the human experiment gives the figures of the document; without it those rows are left out.
string? matrix = Option("--probabilities");
int repeats = int.Parse(Option("--repeats") ?? "2000", CultureInfo.InvariantCulture);
int firstSeed = int.Parse(Option("--seed") ?? "0", CultureInfo.InvariantCulture);
string only = Option("--only") ?? "";
const double Level = 0.95;
Console.WriteLine("| estimand | setting | covers | width |\n|---|---|---|---|");

if (matrix is not null)
{
    (float[] values, _) = NpyFile.ReadAll<float>(matrix);
    foreach ((string label, int column) in new[] { ("gorilla", 2), ("animal", 1), ("human being", 0), ("criminal", 6) })
    {
        double[] population = [.. Enumerable.Range(0, values.Length / 8).Select(row => (double)values[(row * 8) + column])];
        foreach (int n in new[] { 10, 20, 52, 93 })
        {
            Report("mean probability", $"'{label}', n = {n}", population.Average(), random =>
                Means(Strangers(n, "A"), [.. Enumerable.Range(0, n).Select(_ => population[random.Next(population.Length)])]).Groups[0].Estimate);
        }

        Report("gap of two means", $"'{label}', no true gap, n = 52 and 52", 0, random =>
            Means([.. Strangers(52, "A"), .. Strangers(52, "B")], [.. Enumerable.Range(0, 104).Select(_ => population[random.Next(population.Length)])]).Gaps[0].Difference);
    }
}

foreach (int n in new[] { 20, 52, 93 })
{
    foreach ((double lost, double gained) in new[] { (0.05, 0.05), (0.05, 0.02), (0.02, 0.02), (0.10, 0.10), (0.20, 0.05) })
    {
        int[][] persons = [.. Enumerable.Range(0, n).Select(row => new[] { row })];
        Report("paired difference of rates", string.Create(CultureInfo.InvariantCulture, $"n = {n}, lost {lost:0.00}, gained {gained:0.00}"), gained - lost, random =>
            Change(persons, [.. Enumerable.Range(0, n).Select(_ => random.NextDouble() is var draw && draw < lost ? -1.0 : draw < lost + gained ? 1 : 0)]));
    }
}

foreach (double rate in new[] { 0.02, 0.05, 0.3 })
{
    Report("gap of rates, persons with 1 to 4 images, 50 a group", string.Create(CultureInfo.InvariantCulture, $"p = {rate}, intraclass correlation 0.5"), 0, random =>
    {
        var images = new List<ProbeImage>();
        var outcomes = new List<bool>();
        foreach (string group in new[] { "A", "B" })
        {
            for (int person = 0; person < 50; person++)
            {
                bool own = random.NextDouble() < rate;
                for (int image = random.Next(4); image >= 0; image--)
                {
                    images.Add(new ProbeImage($"{images.Count}", "f", $"{group}{person}", group));
                    outcomes.Add(random.NextDouble() < Math.Sqrt(0.5) ? own : random.NextDouble() < rate);
                }
            }
        }

        return Rates(images, outcomes);
    });
}

foreach (double correlation in new[] { -0.7, 0, 0.9 })
{
    Report("gap of rates, the same persons in both groups", string.Create(CultureInfo.InvariantCulture, $"n = 48, p = 0.5, correlation {correlation}"), 0, random =>
    {
        var images = new List<ProbeImage>();
        var outcomes = new List<bool>();
        for (int person = 0; person < 48; person++)
        {
            bool first = random.NextDouble() < 0.5;
            // With equal rates of one half, agreeing in (1 + r)/2 of the cases makes the correlation r.
            bool second = random.NextDouble() < (1 + correlation) / 2 ? first : !first;
            foreach ((string group, bool outcome) in new[] { ("A", first), ("B", second) })
            {
                images.Add(new ProbeImage($"{images.Count}", "f", $"{person}", group));
                outcomes.Add(outcome);
            }
        }

        return Rates(images, outcomes);
    });
}

// Differences of differences: persons of two groups, each lost, gained or unchanged between the arms.
foreach ((int first, int second, double lost, double gained, double otherLost, double otherGained) in new[]
{
    (93, 93, 0.05, 0.05, 0.05, 0.05), (52, 93, 0.02, 0.10, 0.02, 0.10), (20, 52, 0.05, 0.05, 0.10, 0.10), (93, 93, 0.03, 0.66, 0.05, 0.59), (52, 52, 0.00, 0.20, 0.00, 0.05),
})
{
    string setting = string.Create(CultureInfo.InvariantCulture, $"n = {first} and {second}; lost {lost:0.00}, gained {gained:0.00} and lost {otherLost:0.00}, gained {otherGained:0.00}");
    Report("difference of differences", setting, gained - lost - (otherGained - otherLost), random =>
        PersonChange.Difference(Changed(random, first, 0, lost, gained), Changed(random, second, 1000, otherLost, otherGained), Level));
}

foreach ((int first, int second, double p, double q) in new[] { (52, 93, 0.1, 0.1), (52, 93, 0.3, 0.3), (93, 93, 0.05, 0.2), (20, 52, 0.5, 0.7), (93, 93, 0.9, 0.95) })
{
    Report("ratio of rates", string.Create(CultureInfo.InvariantCulture, $"n = {first} and {second}, p = {p} and {q}"), p / q, random =>
        PersonShare.Ratio(Drawn(random, first, 0, p), Drawn(random, second, 1000, q), Level));
}

// Survey weights: persons are drawn with a chance of one over their weight, and weighted by it. Weights are exp(s Z) with coefficient of variation of
// about 0.5 and 1; where they go with the outcome, a person's probability is p times exp(Z/2) or exp(-Z/2), at most 1. The truth is the population's share.
foreach ((double spread, double slope, string how) in new[] { (0.47, 0.0, "independent of the outcome"), (0.83, 0.0, "independent of the outcome"), (0.83, 0.5, "higher where the outcome is"), (0.83, -0.5, "lower where the outcome is") })
{
    foreach ((int n, double p) in new[] { (50, 0.05), (50, 0.3), (200, 0.05), (20, 0.3) })
    {
        (double Weight, double Probability)[] population = Weighted(spread, slope, p);
        double truth = population.Average(person => person.Probability);
        string setting = string.Create(CultureInfo.InvariantCulture, $"n = {n}, p = {truth:0.00}, weights vary by {Math.Sqrt(Math.Exp(spread * spread) - 1):0.0}, {how}");
        Report("weighted rate", setting, truth, random => Sampled(random, population, n, 0).Estimate(Level));
        Report("weighted gap of rates", setting + ", both groups", 0, random => PersonShare.Gap(Sampled(random, population, n, 0), Sampled(random, population, n, 1000), Level));
        Report("weighted mean of probabilities", setting, truth, random => SampledMean(random, population, n));
    }
}

foreach ((int n, double lost, double gained) in new[] { (50, 0.05, 0.05), (50, 0.05, 0.20), (200, 0.02, 0.05) })
{
    Report("weighted paired difference of rates", string.Create(CultureInfo.InvariantCulture, $"n = {n}, lost {lost:0.00}, gained {gained:0.00}, weights vary by 1.0"), gained - lost, random => PersonChange.Of(
        [.. Enumerable.Range(0, n).Select(row => new[] { row })], [.. Enumerable.Range(0, n)], [.. Enumerable.Range(0, n).Select(_ => Math.Exp(0.83 * Score(random)))], [.. Enumerable.Range(0, n).Select(_ => Step(random, lost, gained))], Level)!.Estimate);
}

int[] sizes = [57, 52, 104, 93, 56, 52, 90, 93];
foreach (double[] rates in new[] { [0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05], [0.02, 0.1, 0.3, 0.7, 0.02, 0.2, 0.2, 0.5], new[] { 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.1 } })
{
    Report("average over eight groups", $"sizes of the Chicago Face Database, p = {string.Join(", ", rates.Select(rate => rate.ToString("0.##", CultureInfo.InvariantCulture)))}", rates.Average(), random =>
        PersonShare.Average(sizes.Select((size, group) => Drawn(random, size, 1000 * group, rates[group])), Level));
}

foreach ((int first, int second) in new[] { (4, 4), (3, 5), (6, 6) })
{
    Report("difference of means over runs", $"{first} and {second} runs, normal, the second arm twice the spread", 0, random =>
        Runs(random, first, second, 2).Difference);
}

// Correlations: x belongs to the person; half of a person's image pairs repeat one draw. The truth is that of persons' means in a very large sample.
double[] probabilities = matrix is null ? [.. Enumerable.Range(0, 597).Select(row => Math.Pow((row + 0.5) / 597, 4))] : Column(matrix, 6), rare = matrix is null ? probabilities : Column(matrix, 2);
string shown = matrix is null ? "skewed values" : "'criminal'";
foreach ((double[] values, string name, int persons, int images, double slope) in new[]
{
    (probabilities, shown, 96, 1, 0.0), (probabilities, shown, 96, 2, 0), (probabilities, shown, 96, 5, 0), (probabilities, shown, 96, 2, 1), (probabilities, shown, 52, 1, 1), (probabilities, shown, 20, 1, 1),
    (rare, "'gorilla'", 96, 1, 0), (rare, "'gorilla'", 96, 1, 1),
})
{
    foreach (bool isOfRanks in new[] { false, true })
    {
        double truth = slope == 0 ? 0 : Correlated(new Random(7), values, 500_000, images, slope).Value(isOfRanks)!.Value;
        Report(isOfRanks ? "Spearman's rho" : "Pearson's r", string.Create(CultureInfo.InvariantCulture, $"{name}, {persons} persons with {images} {(images == 1 ? "image" : "images")}, true {truth:0.00}"), truth, random =>
            Correlated(random, values, persons, images, slope).Estimate(isOfRanks, new IntervalOptions { Resamples = 499, Seed = random.Next() }, "x").Estimate);
    }
}

Console.WriteLine("\n| test at 5 % | setting, no true difference | rejects |\n|---|---|---|");
foreach (double rate in new[] { 0.05, 0.3 })
{
    Reject("gap of rates, Fisher", string.Create(CultureInfo.InvariantCulture, $"n = 52 and 93, p = {rate}"), random =>
        HypothesisTests.FisherExact(Hits(random, 52, rate), 52, Hits(random, 93, rate), 93));
    Reject("gap of rates, permuted persons", string.Create(CultureInfo.InvariantCulture, $"50 persons a group with 1 to 4 images, p = {rate}, intraclass correlation 0.5"), random =>
        TwoGroups(random, 50, 50, person => Clustered(random, rate, 1 + random.Next(4)), person => Clustered(random, rate, 1 + random.Next(4))));
    Reject("gap of rates, permuted persons", string.Create(CultureInfo.InvariantCulture, $"20 persons with 8 images and 80 with 1, p = {rate}, intraclass correlation 0.5"), random =>
        TwoGroups(random, 20, 80, person => Clustered(random, rate, 8), person => Clustered(random, rate, 1)));
}

foreach ((double[] values, string name) in new[] { (probabilities, shown), (rare, "'gorilla'") })
{
    Reject("gap of means, permuted persons", $"{name}, n = 52 and 93", random =>
        TwoGroups(random, 52, 93, person => values[random.Next(values.Length)], person => values[random.Next(values.Length)]));
}

foreach ((double lost, double gained, double otherLost, double otherGained) in new[] { (0.05, 0.05, 0.05, 0.05), (0.02, 0.62, 0.02, 0.62), (0.05, 0.05, 0.30, 0.30) })
{
    Reject("difference of differences, permuted persons", string.Create(CultureInfo.InvariantCulture, $"n = 52 and 93; lost {lost:0.00}, gained {gained:0.00} and lost {otherLost:0.00}, gained {otherGained:0.00}"), random =>
        TwoGroups(random, 52, 93, person => Step(random, lost, gained), person => Step(random, otherLost, otherGained)));
}

foreach ((double p, int n) in new[] { (0.3, 50), (0.1, 100) })
{
    (double Weight, double Probability)[] population = Weighted(0.83, 0.5, p), other = Weighted(0.83, -0.5, p);
    // The other population's share is made the same by leaving out persons with the label, or without.
    double scale = population.Average(person => person.Probability) / other.Average(person => person.Probability);
    (double Weight, double Probability)[] equal = [.. other.Select(person => (person.Weight, Math.Min(1, person.Probability * scale)))];
    Reject("weighted gap of rates, permuted persons", string.Create(CultureInfo.InvariantCulture, $"{n} and {n} persons, p = {p}, weights go with the outcome in one group and against it in the other"), random =>
    {
        PersonSample one = WeightedSample(random, population, n), two = WeightedSample(random, equal, n);
        return HypothesisTests.TwoGroups(one, [.. Enumerable.Range(0, n)], two, [.. Enumerable.Range(1000, n)], 199, random.Next(), "x");
    });
}

foreach (bool isOfRanks in new[] { false, true })
{
    Reject(isOfRanks ? "weighted Spearman's rho, permuted persons" : "weighted Pearson's r, permuted persons", "96 persons, weights go with the column", random =>
    {
        double[] x = [.. Enumerable.Range(0, 96).Select(_ => Score(random))], y = [.. x.Select(_ => probabilities[random.Next(probabilities.Length)])], own = [.. x.Select(value => Math.Exp(0.83 * value))];
        return PersonCorrelation.Of(Enumerable.Range(0, 96), [.. Enumerable.Range(0, 96)], null, Weighting.Person, row => x[row], row => y[row], own).Estimate(isOfRanks, new IntervalOptions { Resamples = 199, Seed = random.Next() }, "x").Test!.PValue;
    });
}

Reject("means over runs, permuted runs", "4 and 4 runs, normal", random => Runs(random, 4, 4, 1).Test!.PValue);
Reject("Pearson's r, permuted persons", $"{shown}, 96 persons with 2 images", random => Correlated(random, probabilities, 96, 2, 0).Estimate(isOfRanks: false, new IntervalOptions { Resamples = 199, Seed = random.Next() }, "x").Test!.PValue);
Reject("Spearman's rho, permuted persons", $"{shown}, 96 persons with 2 images", random => Correlated(random, probabilities, 96, 2, 0).Estimate(isOfRanks: true, new IntervalOptions { Resamples = 199, Seed = random.Next() }, "x").Test!.PValue);
return 0;

static double[] Column(string file, int column)
{
    (float[] values, _) = NpyFile.ReadAll<float>(file);
    return [.. Enumerable.Range(0, values.Length / 8).Select(row => (double)values[(row * 8) + column])];
}

static double Step(Random random, double lost, double gained) => random.NextDouble() is var draw && draw < lost ? -1 : draw < lost + gained ? 1 : 0;

static int Hits(Random random, int n, double rate) => Enumerable.Range(0, n).Count(_ => random.NextDouble() < rate);

// The mean of a person's images: half of the pairs repeat one draw.
static double Clustered(Random random, double rate, int images)
{
    bool own = random.NextDouble() < rate;
    return Enumerable.Range(0, images).Average(_ => (random.NextDouble() < Math.Sqrt(0.5) ? own : random.NextDouble() < rate) ? 1.0 : 0);
}

static double TwoGroups(Random random, int first, int second, Func<int, double> one, Func<int, double> two) => HypothesisTests.TwoGroups(
    Persons([.. Enumerable.Range(0, first).Select(one)]), [.. Enumerable.Range(0, first)], Persons([.. Enumerable.Range(0, second).Select(two)]), [.. Enumerable.Range(1000, second)], 199, random.Next(), "x");

static PersonSample Persons(double[] values) => new(1, values, [.. Enumerable.Repeat(1.0, values.Length)]);

static RunAverages Runs(Random random, int first, int second, double spread) => RunTests.Compare(
    [.. Enumerable.Range(0, first).Select(_ => MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, random.NextDouble()))],
    [.. Enumerable.Range(0, second).Select(_ => spread * MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, random.NextDouble()))], new IntervalOptions());

static PersonChange Changed(Random random, int n, int from, double lost, double gained) => PersonChange.Of(
    [.. Enumerable.Range(0, n).Select(row => new[] { row })], [.. Enumerable.Range(from, n)], [.. Enumerable.Repeat(1.0, n)], [.. Enumerable.Range(0, n).Select(_ => Step(random, lost, gained))], Level)!;

static PersonShare Drawn(Random random, int n, int from, double rate) => PersonShare.Of(
    [.. Enumerable.Range(0, n).Select(row => new[] { row })], [.. Enumerable.Range(from, n)], [.. Enumerable.Repeat(1.0, n)], [.. Enumerable.Range(0, n).Select(_ => random.NextDouble() < rate ? 1.0 : 0)])!;

static PersonCorrelation Correlated(Random random, double[] values, int persons, int images, double slope)
{
    double[] sorted = [.. values.Order()];
    var x = new double[persons * images];
    var y = new double[persons * images];
    for (int person = 0; person < persons; person++)
    {
        int own = random.Next(sorted.Length);
        // The person's place among the values as a normal score, and as much noise.
        double score = MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, (own + 0.5) / sorted.Length), column = (slope * score) + MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, 1 - random.NextDouble());
        for (int image = 0; image < images; image++)
        {
            x[(person * images) + image] = column;
            y[(person * images) + image] = sorted[random.NextDouble() < Math.Sqrt(0.5) ? own : random.Next(sorted.Length)];
        }
    }

    return PersonCorrelation.Of(Enumerable.Range(0, x.Length), [.. Enumerable.Range(0, x.Length).Select(row => row / images)], null, Weighting.Person, row => x[row], row => y[row]);
}

static double Score(Random random) => MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, 1 - random.NextDouble());

// A population of 20,000 persons, by weight.
static (double Weight, double Probability)[] Weighted(double spread, double slope, double p)
{
    return [.. Enumerable.Range(0, 20_000).Select(place => MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, (place + 0.5) / 20_000)).Select(score => (Math.Exp(spread * score), Math.Min(1, p * Math.Exp(slope * score))))];
}

// n persons, each drawn with a chance of one over its weight: drawn evenly, and kept as often.
static (double Weight, double Probability)[] Drawing(Random random, (double Weight, double Probability)[] population, int n)
{
    var drawn = new (double Weight, double Probability)[n];
    for (int person = 0; person < n;)
    {
        drawn[person] = population[random.Next(population.Length)];
        // Smallest comes first.
        if (random.NextDouble() < population[0].Weight / drawn[person].Weight)
            person++;
    }

    return drawn;
}

static PersonShare Sampled(Random random, (double Weight, double Probability)[] population, int n, int from)
{
    (double Weight, double Probability)[] drawn = Drawing(random, population, n);
    return PersonShare.Of([.. Enumerable.Range(0, n).Select(row => new[] { row })], [.. Enumerable.Range(from, n)], [.. drawn.Select(person => person.Weight)], [.. drawn.Select(person => random.NextDouble() < person.Probability ? 1.0 : 0)])!;
}

static PersonSample WeightedSample(Random random, (double Weight, double Probability)[] population, int n)
{
    (double Weight, double Probability)[] drawn = Drawing(random, population, n);
    return new PersonSample(1, [.. drawn.Select(person => random.NextDouble() < person.Probability ? person.Weight : 0)], [.. drawn.Select(person => person.Weight)]);
}

static Estimate SampledMean(Random random, (double Weight, double Probability)[] population, int n)
{
    (double Weight, double Probability)[] drawn = Drawing(random, population, n);
    ProbeImage[] images = [.. drawn.Select((person, row) => new ProbeImage($"{row}", "f", $"{row}", "A") { Weight = person.Weight })];
    return new FrameBuilder(new Grouping(["A"], images), new IntervalOptions { Resamples = 499 }).Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], [.. drawn.Select(person => person.Probability)], withGaps: false)[0].Groups[0].Estimate;
}

void Reject(string test, string setting, Func<Random, double> draw)
{
    if (!test.Contains(only, StringComparison.Ordinal))
        return;
    int rejected = 0;
    for (int seed = 0; seed < repeats; seed++)
        rejected += draw(new Random(firstSeed + seed)) <= 1 - Level ? 1 : 0;
    double share = (double)rejected / repeats;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {test} | {setting} | {100 * share:0.0} % ± {100 * Math.Sqrt(share * (1 - share) / repeats):0.0} |"));
}

string? Option(string name) => Array.IndexOf(args, name) is var at and >= 0 && at + 1 < args.Length ? args[at + 1] : null;

ProbeImage[] Strangers(int n, string group) => [.. Enumerable.Range(0, n).Select(row => new ProbeImage($"{group}{row}", "f", $"{group}{row}", group))];

GroupMetricFrame Means(ProbeImage[] images, double[] values) =>
    Builder(images).Means(Metric.MeanProbability, MetricUnit.Proportion, ["x"], values)[0];

Estimate Rates(List<ProbeImage> images, List<bool> outcomes) =>
    Builder([.. images]).Share(Metric.ArgmaxFrequency, "x", [.. outcomes]).Gaps[0].Difference;

Estimate Change(int[][] persons, double[] differences) =>
    PersonChange.Of(persons, [.. Enumerable.Range(0, differences.Length)], [.. Enumerable.Repeat(1.0, differences.Length)], differences, Level)!.Estimate;

FrameBuilder Builder(ProbeImage[] images) =>
    new(new Grouping([.. images.Select(image => image.Group).Distinct().Order(StringComparer.Ordinal)], images), new IntervalOptions { Resamples = 999 });

void Report(string estimand, string setting, double truth, Func<Random, Estimate> draw)
{
    if (!estimand.Contains(only, StringComparison.Ordinal))
        return;
    int held = 0, undefined = 0;
    double width = 0;
    for (int seed = 0; seed < repeats; seed++)
    {
        Interval? interval = draw(new Random(firstSeed + seed)).Interval;
        if (interval is null)
        {
            undefined++;
            continue;
        }

        held += interval.Lower <= truth && truth <= interval.Upper ? 1 : 0;
        width += interval.Upper - interval.Lower;
    }

    int made = repeats - undefined;
    if (made == 0)
    {
        Console.WriteLine($"| {estimand} | {setting} | no interval in any sample | |");
        return;
    }

    double share = (double)held / made;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {estimand} | {setting} | {100 * share:0.0} % ± {100 * Math.Sqrt(share * (1 - share) / made):0.0} | {width / made:0.000} |{(undefined > 0 ? $" <!-- {undefined} of {repeats} samples without interval -->" : "")}"));
}
