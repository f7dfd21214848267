using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Quality;

/// <summary>The share of a group's pairs that a threshold keeps.</summary>
/// <param name="Threshold">Pairs of at least this similarity are kept.</param>
/// <param name="Group">The group; empty for all pairs.</param>
/// <param name="Kept">The share with its interval.</param>
internal sealed record CurationShare(double Threshold, string Group, Estimate Kept);

/// <summary>A group's similarities.</summary>
/// <param name="Group">The group; empty for all pairs.</param>
/// <param name="Pairs">How many.</param>
/// <param name="Mean">Their mean cosine.</param>
/// <param name="Quantiles">At 5, 25, 50, 75 and 95 %.</param>
internal sealed record CurationDistribution(string Group, int Pairs, double Mean, IReadOnlyList<double> Quantiles);

/// <summary>What filtering image-text pairs by similarity does to groups.</summary>
/// <param name="Pairs">All pairs.</param>
/// <param name="Distributions">All pairs, and each group.</param>
/// <param name="Kept">At the named thresholds.</param>
/// <param name="Gaps">At the named thresholds, each pair of groups.</param>
/// <param name="Curve">Shares over a grid of thresholds.</param>
internal sealed record CurationResult(int Pairs, IReadOnlyList<CurationDistribution> Distributions, IReadOnlyList<CurationShare> Kept, IReadOnlyList<QualityGap> Gaps, IReadOnlyList<CurationShare> Curve);

/// <summary>
/// Image-text pairs are kept for training where their cosine similarity reaches a threshold: 0.28 for LAION-2B's English part, 0.3 for LAION-400M.
/// If pairs that show one group are less similar to their captions, that group is filtered out.
/// </summary>
internal static class CurationMeasure
{
    private static readonly double[] s_quantiles = [0.05, 0.25, 0.5, 0.75, 0.95];

    /// <summary>Measures.</summary>
    /// <param name="similarities">The cosine of each pair.</param>
    /// <param name="groups">The group that each pair shows.</param>
    /// <param name="persons">What each pair shows; pairs of a person are no independent evidence.</param>
    /// <param name="thresholds">The thresholds to report in full.</param>
    /// <param name="level">The intervals' level.</param>
    public static CurationResult Measure(IReadOnlyList<double> similarities, IReadOnlyList<string> groups, IReadOnlyList<string> persons, IReadOnlyList<double> thresholds, double level)
    {
        int[] all = [.. Enumerable.Range(0, groups.Count)];
        (string Name, int[] Pairs)[] parts = [("", all), .. groups.Distinct().Order(StringComparer.Ordinal).Select(name => (name, all.Where(i => groups[i] == name).ToArray()))];
        double low = similarities.Min(), high = similarities.Max();
        double[] grid = [.. Enumerable.Range(0, 61).Select(step => low + ((high - low) * step / 60))];
        CurationShare[] Shares(IEnumerable<double> at) => [.. at.SelectMany(threshold =>
        {
            double[] kept = Kept(similarities, threshold);
            return parts.Select(part => new CurationShare(threshold, part.Name, ClusteredRate.Of(kept, persons, part.Pairs, level)));
        })];
        var gaps = new List<QualityGap>();
        foreach (double threshold in thresholds)
        {
            double[] kept = Kept(similarities, threshold);
            for (int one = 1; one < parts.Length; one++)
            {
                for (int two = one + 1; two < parts.Length; two++)
                    gaps.Add(new QualityGap(FormattableString.Invariant($"kept at {threshold}"), parts[one].Name, parts[two].Name, ClusteredRate.Gap(kept, persons, parts[one].Pairs, parts[two].Pairs, level)));
            }
        }

        return new CurationResult(groups.Count, [.. parts.Select(part => Distribution(part.Name, [.. part.Pairs.Select(pair => similarities[pair])]))], Shares(thresholds), gaps, Shares(grid));
    }

    private static double[] Kept(IReadOnlyList<double> similarities, double threshold) => [.. similarities.Select(value => value >= threshold ? 1.0 : 0.0)];

    private static CurationDistribution Distribution(string name, double[] values)
    {
        Array.Sort(values);
        return new CurationDistribution(name, values.Length, values.Average(), [.. s_quantiles.Select(at => Bootstrap.Quantile(values, at))]);
    }
}
