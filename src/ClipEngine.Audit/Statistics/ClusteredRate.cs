using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>A share of images where several images may show one person: images of a person are no independent evidence.</summary>
internal static class ClusteredRate
{
    /// <summary>
    /// The share, and Wilson's interval on the effective number of images p(1 − p)/v, with v the variance of the share linearised over persons,
    /// v = Σ_person (Σ_image (x − p))² / n². With one image a person that is n itself; where nothing varies it is the number of persons.
    /// </summary>
    /// <param name="outcomes">0 or 1 for each image.</param>
    /// <param name="persons">Whom each image shows.</param>
    /// <param name="images">The images that count.</param>
    /// <param name="level">The nominal coverage.</param>
    public static Estimate Of(ReadOnlySpan<double> outcomes, IReadOnlyList<string> persons, IReadOnlyList<int> images, double level)
    {
        if (images.Count == 0)
            return Estimate.Undefined;
        (double share, double effective) = Effective(outcomes, persons, images);
        return new Estimate(images.Count, share, Proportions.Wilson(share * effective, effective, level));
    }

    /// <summary>The first share minus the second, of images of different persons: Newcombe's interval on the two effective numbers.</summary>
    public static Estimate Gap(ReadOnlySpan<double> outcomes, IReadOnlyList<string> persons, IReadOnlyList<int> first, IReadOnlyList<int> second, double level)
    {
        if (first.Count == 0 || second.Count == 0)
            return Estimate.Undefined;
        (double one, double oneEffective) = Effective(outcomes, persons, first);
        (double two, double twoEffective) = Effective(outcomes, persons, second);
        return new Estimate(first.Count + second.Count, one - two, Proportions.Newcombe(one * oneEffective, oneEffective, two * twoEffective, twoEffective, level));
    }

    private static (double Share, double Effective) Effective(ReadOnlySpan<double> outcomes, IReadOnlyList<string> persons, IReadOnlyList<int> images)
    {
        double sum = 0;
        foreach (int image in images)
            sum += outcomes[image];
        double share = sum / images.Count;
        var apart = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (int image in images)
            apart[persons[image]] = apart.GetValueOrDefault(persons[image]) + (outcomes[image] - share);
        if (apart.Count == images.Count)
            return (share, images.Count);
        double variance = apart.Values.Sum(value => value * value) / ((double)images.Count * images.Count);
        return (share, variance > 0 ? Math.Min(share * (1 - share) / variance, images.Count) : apart.Count);
    }
}
