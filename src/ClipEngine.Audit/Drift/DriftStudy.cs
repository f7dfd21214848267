using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Drift;

/// <summary>A comparison of one model before and after, with what the model is.</summary>
/// <param name="Name">What the pair is called.</param>
/// <param name="Factors">Its level of each factor (size, data set, objective).</param>
/// <param name="Result">What was measured.</param>
internal sealed record DriftPair(string Name, IReadOnlyDictionary<string, string> Factors, DriftResult Result);

/// <summary>One number about all concepts of one pair.</summary>
/// <param name="Measure">Image features or zero-shot scores.</param>
/// <param name="Statistic">What it is.</param>
/// <param name="Pair">The pair's name.</param>
/// <param name="Value">The number with its interval.</param>
internal sealed record PairStatistic(string Measure, string Statistic, string Pair, Estimate Value);

/// <summary>The mean of a number over the pairs that share a level of a factor.</summary>
/// <param name="Measure">Image features or zero-shot scores.</param>
/// <param name="Statistic">What is averaged.</param>
/// <param name="Factor">The factor.</param>
/// <param name="Level">The level.</param>
/// <param name="Pairs">The pairs' names.</param>
/// <param name="Mean">Their mean with its interval; its count is that of the pairs.</param>
internal sealed record LevelMean(string Measure, string Statistic, string Factor, string Level, IReadOnlyList<string> Pairs, Estimate Mean);

/// <summary>Two levels of a factor: the first's mean minus the second's.</summary>
/// <param name="Measure">Image features or zero-shot scores.</param>
/// <param name="Statistic">What is compared.</param>
/// <param name="Factor">The factor.</param>
/// <param name="First">A level.</param>
/// <param name="Second">Another.</param>
/// <param name="ConfoundedWith">Other factors that the two levels' pairs do not share alike; empty where they differ in nothing else that was declared.</param>
/// <param name="Difference">The difference with its interval, from the same draws.</param>
internal sealed record LevelDifference(string Measure, string Statistic, string Factor, string First, string Second, IReadOnlyList<string> ConfoundedWith, Estimate Difference);

/// <summary>Several models before and after, as factors.</summary>
/// <param name="Title">What the comparison is called.</param>
/// <param name="Pairs">The pairs in the spec's order.</param>
/// <param name="Statistics">Numbers about each pair.</param>
/// <param name="Levels">Means by level of each factor.</param>
/// <param name="Differences">Between two levels of a factor.</param>
internal sealed record DriftStudyResult(string Title, IReadOnlyList<DriftPair> Pairs, IReadOnlyList<PairStatistic> Statistics, IReadOnlyList<LevelMean> Levels, IReadOnlyList<LevelDifference> Differences);

/// <summary>
/// Puts pairs of models together as factors. All pairs see the same images, and a bootstrap draw takes the same persons in all of them, so that means
/// over pairs and differences of levels have intervals from the same draws. Pairs are fixed: nothing here speaks of other models of the same level.
/// </summary>
internal static class DriftStudy
{
    /// <summary>Numbers about all concepts of a pair that are put together, in the order of <see cref="MeasuredDrift.Draws"/>.</summary>
    public static IReadOnlyList<string> Statistics { get; } =
        ["sign agreement", "Pearson", "Spearman", "slope of after on before", "mean size before", "mean size after", "change of mean size"];

    /// <summary>Puts together.</summary>
    /// <param name="title">What the comparison is called.</param>
    /// <param name="pairs">The pairs.</param>
    /// <param name="measured">For each pair its measures with their draws.</param>
    /// <param name="intervals">The intervals' level.</param>
    public static DriftStudyResult Of(string title, IReadOnlyList<DriftPair> pairs, IReadOnlyList<IReadOnlyList<MeasuredDrift>> measured, IntervalSpec intervals)
    {
        var statistics = new List<PairStatistic>();
        var levels = new List<LevelMean>();
        var differences = new List<LevelDifference>();
        string[] factors = [.. pairs.SelectMany(pair => pair.Factors.Keys).Distinct()];
        foreach (string name in measured.SelectMany(own => own.Select(measure => measure.Result.Measure)).Distinct())
        {
            // A pair of which features alone were given has no zero-shot scores; the others' are put together without it.
            MeasuredDrift?[] of = [.. measured.Select(own => own.FirstOrDefault(measure => measure.Result.Measure == name))];
            int[] present = [.. Enumerable.Range(0, pairs.Count).Where(pair => of[pair] is not null)];
            for (int statistic = 0; statistic < Statistics.Count; statistic++)
            {
                int column = statistic;
                // The mean over some pairs, in the data and in each draw.
                (double Value, double[] Draws) Mean(int[] some) =>
                    (some.Average(pair => of[pair]!.Values[column]), [.. Enumerable.Range(0, intervals.Resamples).Select(draw => some.Average(pair => of[pair]!.Draws[draw][column]))]);
                Estimate Estimate(int count, double value, double[] draws)
                {
                    double[] finite = [.. draws.Where(double.IsFinite)];
                    return new Estimate(count, double.IsFinite(value) ? value : null, double.IsFinite(value) && finite.Length > 1 ? Bootstrap.Interval(finite, value, [], intervals.Level, BootstrapMethod.Percentile) : null);
                }

                foreach (int pair in present)
                {
                    (double value, double[] draws) = Mean([pair]);
                    statistics.Add(new PairStatistic(name, Statistics[column], pairs[pair].Name, Estimate(of[pair]!.Result.Concepts.Count, value, draws)));
                }

                foreach (string factor in factors)
                {
                    (string Level, int[] Pairs, (double Value, double[] Draws) Mean)[] own = [.. present.Where(pair => pairs[pair].Factors.ContainsKey(factor))
                        .GroupBy(pair => pairs[pair].Factors[factor]).Select(level => (level.Key, level.ToArray(), Mean([.. level])))];
                    levels.AddRange(own.Select(level => new LevelMean(name, Statistics[column], factor, level.Level, [.. level.Pairs.Select(pair => pairs[pair].Name)], Estimate(level.Pairs.Length, level.Mean.Value, level.Mean.Draws))));
                    for (int first = 0; first < own.Length; first++)
                    {
                        for (int second = first + 1; second < own.Length; second++)
                        {
                            (double one, double[] oneDraws) = own[first].Mean;
                            (double two, double[] twoDraws) = own[second].Mean;
                            differences.Add(new LevelDifference(
                                name, Statistics[column], factor, own[first].Level, own[second].Level, Confounders(pairs, factors, factor, own[first].Pairs, own[second].Pairs),
                                Estimate(own[first].Pairs.Length + own[second].Pairs.Length, one - two, [.. oneDraws.Zip(twoDraws, (a, b) => a - b)])));
                        }
                    }
                }
            }
        }

        return new DriftStudyResult(title, pairs, statistics, levels, differences);
    }

    /// <summary>Other factors whose levels do not come equally often on both sides.</summary>
    private static string[] Confounders(IReadOnlyList<DriftPair> pairs, string[] factors, string factor, int[] first, int[] second)
    {
        string[] Shares(int[] side, string other) => [.. side.GroupBy(pair => pairs[pair].Factors.GetValueOrDefault(other, "")).Select(level => $"{level.Key}\n{(double)level.Count() / side.Length:R}").Order(StringComparer.Ordinal)];
        return [.. factors.Where(other => other != factor && !Shares(first, other).SequenceEqual(Shares(second, other)))];
    }
}
