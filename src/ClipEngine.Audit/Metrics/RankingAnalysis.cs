using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>
/// MaxSkew@k and NDKL of the images that sentences find first (Geyik, Ambler and Kenthapadi 2019, 1905.01989), against the groups' shares among all images.
/// Both are above zero even where a ranking has nothing to do with groups; so each stands beside its mean over groups dealt out at random to persons.
/// </summary>
internal static class RankingAnalysis
{
    /// <summary>Groups dealt out at random; more change the p-value by less than it is good for.</summary>
    private const int MostDeals = 999;

    /// <summary>Measures all sentences by one set of groups.</summary>
    /// <param name="sentences">The sentences.</param>
    /// <param name="scores"><c>[images, sentences]</c>: what images are ranked by, the largest first, of equal ones the earlier image.</param>
    /// <param name="tops">The k; one beyond the images is all of them.</param>
    /// <param name="set">The groups; images in none are left out.</param>
    /// <param name="options">Resamples and seed.</param>
    public static IReadOnlyList<RankingSkew> Analyse(IReadOnlyList<string> sentences, double[] scores, IReadOnlyList<int> tops, GroupSet set, IntervalOptions options)
    {
        Grouping grouping = set.Grouping;
        int[] images = [.. grouping.Images.SelectMany(rows => rows).Order()];
        int groups = grouping.Keys.Count;
        int[] ends = [.. tops.Select(top => Math.Min(top, images.Length))];
        // For each sentence the images that come first; of them only the group matters.
        int[][] first = [.. sentences.Select((_, sentence) => images.OrderByDescending(image => scores[((long)image * sentences.Count) + sentence]).ThenBy(image => image).Take(ends.Max()).ToArray())];
        var group = new int[grouping.RowCount];
        foreach (int image in images)
            group[image] = grouping.GroupOf[image];
        // [sentence][k]: MaxSkew, its group, NDKL; the last sentence is the mean of the others.
        (double Skew, int Group, double Ndkl)[][] seen = All(first, ends, group, images, groups);
        (double Sum, int AsLarge)[][] skews = [.. seen.Select(row => new (double, int)[row.Length])], ndkls = [.. seen.Select(row => new (double, int)[row.Length])];
        int deals = grouping.HasSharedPersons ? 0 : Math.Min(options.Resamples, MostDeals);
        if (deals > 0)
        {
            int[][] persons = [.. grouping.Persons.SelectMany(own => own)];
            int[] labels = [.. persons.Select(rows => group[rows[0]])];
            var dealt = new (double Skew, int Group, double Ndkl)[deals][][];
            ulong stream = SplitMix64.Stream($"ranking {set.Attribute}");
            Parallel.For(0, deals, deal =>
            {
                int[] own = [.. labels], to = new int[group.Length];
                SplitMix64 random = SplitMix64.For(options.Seed, stream, deal);
                for (int i = own.Length - 1; i > 0; i--)
                {
                    int other = random.Below(i + 1);
                    (own[i], own[other]) = (own[other], own[i]);
                }

                for (int person = 0; person < persons.Length; person++)
                {
                    foreach (int row in persons[person])
                        to[row] = own[person];
                }

                dealt[deal] = All(first, ends, to, images, groups);
            });
            foreach ((double Skew, int Group, double Ndkl)[][] deal in dealt)
            {
                for (int sentence = 0; sentence < seen.Length; sentence++)
                {
                    for (int k = 0; k < ends.Length; k++)
                    {
                        Count(ref skews[sentence][k], deal[sentence][k].Skew, seen[sentence][k].Skew);
                        Count(ref ndkls[sentence][k], deal[sentence][k].Ndkl, seen[sentence][k].Ndkl);
                    }
                }
            }
        }

        double? Chance(double sum) => deals > 0 ? sum / deals : null;
        double? P(int asLarge) => deals > 0 ? (1.0 + asLarge) / (1 + deals) : null;
        var results = new List<RankingSkew>();
        for (int sentence = 0; sentence < seen.Length; sentence++)
        {
            bool isMean = sentence == sentences.Count;
            for (int k = 0; k < ends.Length; k++)
            {
                (double skew, int largest, double ndkl) = seen[sentence][k];
                results.Add(new RankingSkew(
                    set.Attribute, isMean ? "" : sentences[sentence], ends[k], skew, isMean ? "" : grouping.Keys[largest], Chance(skews[sentence][k].Sum), P(skews[sentence][k].AsLarge),
                    ndkl, Chance(ndkls[sentence][k].Sum), P(ndkls[sentence][k].AsLarge)));
            }
        }

        return results;
    }

    private static void Count(ref (double Sum, int AsLarge) tally, double dealt, double seen) =>
        tally = (tally.Sum + dealt, tally.AsLarge + (dealt >= seen - 1e-12 ? 1 : 0));

    /// <summary>Every sentence at every k, and their mean.</summary>
    private static (double Skew, int Group, double Ndkl)[][] All(int[][] first, int[] ends, int[] group, int[] images, int groups)
    {
        var shares = new double[groups];
        foreach (int image in images)
            shares[group[image]] += 1.0 / images.Length;
        (double Skew, int Group, double Ndkl)[][] all = [.. first.Select(ranked => Skews(ranked, ends, group, shares))];
        return [.. all, [.. ends.Select((_, k) => (all.Average(row => row[k].Skew), -1, all.Average(row => row[k].Ndkl)))]];
    }

    private static (double Skew, int Group, double Ndkl)[] Skews(int[] ranked, int[] ends, int[] group, double[] shares)
    {
        var counts = new int[shares.Length];
        var found = new (double Skew, int Group, double Ndkl)[ends.Length];
        double sum = 0, weights = 0;
        for (int i = 0; i < ranked.Length; i++)
        {
            counts[group[ranked[i]]]++;
            double divergence = 0, weight = 1 / Math.Log2(i + 2);
            for (int g = 0; g < shares.Length; g++)
            {
                if (counts[g] > 0)
                    divergence += (double)counts[g] / (i + 1) * Math.Log(counts[g] / (i + 1.0) / shares[g]);
            }

            sum += weight * divergence;
            weights += weight;
            for (int k = 0; k < ends.Length; k++)
            {
                if (ends[k] != i + 1)
                    continue;
                double[] skews = [.. counts.Select((count, g) => Math.Log(count / (i + 1.0) / shares[g]))];
                int largest = Array.IndexOf(skews, skews.Max());
                found[k] = (skews[largest], largest, sum / weights);
            }
        }

        return found;
    }
}
