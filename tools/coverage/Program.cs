using System.Globalization;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;
using ClipEngine.Files;

// coverage [--probabilities MATRIX.npy] [--repeats N]: how often the audit's 95 % intervals hold a known truth, as the tables of docs/statistics.md.
// Seeded. Each line: what is estimated, the setting, coverage with its standard error, mean width. MATRIX.npy holds probabilities, [images, 8]: the
// published ViT-L-14/laion2b_s32b_b82k matrix of the human experiment gives the figures of the document; without it those rows are left out.
string? matrix = Option("--probabilities");
int repeats = int.Parse(Option("--repeats") ?? "2000", CultureInfo.InvariantCulture);
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

return 0;

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
    int held = 0, undefined = 0;
    double width = 0;
    for (int seed = 0; seed < repeats; seed++)
    {
        Interval? interval = draw(new Random(seed)).Interval;
        if (interval is null)
        {
            undefined++;
            continue;
        }

        held += interval.Lower <= truth && truth <= interval.Upper ? 1 : 0;
        width += interval.Upper - interval.Lower;
    }

    int made = repeats - undefined;
    double share = (double)held / made;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {estimand} | {setting} | {100 * share:0.0} % ± {100 * Math.Sqrt(share * (1 - share) / made):0.0} | {width / made:0.000} |{(undefined > 0 ? $" {undefined} without interval" : "")}"));
}
