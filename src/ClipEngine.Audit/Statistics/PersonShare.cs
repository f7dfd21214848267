using ClipEngine.Audit.Results;
using MathNet.Numerics.Distributions;

namespace ClipEngine.Audit.Statistics;

/// <summary>
/// A share of images where several images may show one person, and one person may stand in several groups: what each person adds to its error, and
/// the number of independent images that would know it as well.
/// </summary>
internal sealed class PersonShare
{
    private readonly Dictionary<int, double> _influence;
    private readonly double? _weighed;

    private PersonShare(double share, double effective, double? weighed, int images, bool isPlain, Dictionary<int, double> influence)
    {
        Share = share;
        Effective = effective;
        _weighed = weighed;
        Images = images;
        IsPlain = isPlain;
        _influence = influence;
    }

    /// <summary>The share: Σ w x / Σ w.</summary>
    public double Share { get; }

    /// <summary>
    /// p(1 − p)/v, with v = K/(K − 1) · Σ_person (Σ_image w (x − p))² / (Σ w)² the variance linearised over K persons, and at most the number of
    /// images that equal weights would need, (Σ w)² / Σ w². With one image a person and equal weights it is n; where nothing varies it is the same
    /// expression over persons.
    /// </summary>
    public double Effective { get; }

    /// <summary>Images.</summary>
    public int Images { get; }

    /// <summary>Every person has one image, and all count the same.</summary>
    public bool IsPlain { get; }

    /// <summary>What each person adds to the share's error.</summary>
    public IReadOnlyDictionary<int, double> Influence => _influence;

    private bool HasInterval => _influence.Count > 1 || Images == 1;

    /// <summary>Measures a share.</summary>
    /// <param name="persons">Each person's images.</param>
    /// <param name="personOf">The person of every image, the same number in all groups.</param>
    /// <param name="weights">What every image counts.</param>
    /// <param name="outcomes">For every image from 0 to 1.</param>
    public static PersonShare? Of(int[][] persons, int[] personOf, ReadOnlySpan<double> weights, ReadOnlySpan<double> outcomes)
    {
        int images = persons.Sum(rows => rows.Length);
        if (images == 0)
            return null;
        double sum = 0, total = 0, squaredWeights = 0, squaredPersons = 0;
        foreach (int[] rows in persons)
        {
            double own = 0;
            foreach (int row in rows)
            {
                sum += weights[row] * outcomes[row];
                own += weights[row];
                squaredWeights += weights[row] * weights[row];
            }

            total += own;
            squaredPersons += own * own;
        }

        double share = Math.Clamp(sum / total, 0, 1), squares = 0;
        var influence = new Dictionary<int, double>(persons.Length);
        foreach (int[] rows in persons)
        {
            double apart = 0;
            foreach (int row in rows)
                apart += weights[row] * (outcomes[row] - share);
            influence[personOf[rows[0]]] = apart / total;
            squares += apart * apart / (total * total);
        }

        double most = total * total / squaredWeights, effective = images;
        bool isPlain = persons.Length == images && most > images * (1 - 1e-12);
        if (!isPlain)
        {
            double variance = persons.Length > 1 ? squares * persons.Length / (persons.Length - 1.0) : 0;
            effective = variance > 1e-24 ? Math.Min(share * (1 - share) / variance, most) : total * total / squaredPersons;
        }

        // Persons that weigh differently: their variance is known only as well as so many equal ones would tell it.
        double kish = total * total / squaredPersons;
        return new PersonShare(share, effective, kish < persons.Length * (1 - 1e-9) && kish > 1 ? kish : null, images, isPlain, influence);
    }

    /// <summary>The share with Wilson's interval on the effective number; a single person has none.</summary>
    public Estimate Estimate(double level) => HasInterval ? new Estimate(Images, Share, Wilson(level)) : new Estimate(Images, Share, null);

    /// <summary>
    /// The first share minus the second, with Newcombe's interval on the effective numbers. Where persons stand in both groups, it takes the
    /// correlation that they make: his method 10 for paired shares, with the correlation of what persons add to the two errors.
    /// </summary>
    /// <remarks>Newcombe (1998), Statistics in Medicine 17, 873-890 (independent) and 2635-2650 (paired).</remarks>
    public static Estimate Gap(PersonShare? first, PersonShare? second, double level)
    {
        if (first is null || second is null)
            return new Estimate((first?.Images ?? 0) + (second?.Images ?? 0), null, null);
        int count = first.Images + second.Images;
        double gap = first.Share - second.Share;
        if (!first.HasInterval || !second.HasInterval)
            return new Estimate(count, gap, null);
        (double correlation, bool isPaired) = LinearCombination.Correlation(first._influence, second._influence);
        string method = isPaired ? "Newcombe, paired over persons" : first.IsPlain && second.IsPlain ? "Newcombe" : "Newcombe, over persons";
        Interval interval = LinearCombination.Interval([1, -1], [first.Share, second.Share], [first.Wilson(level), second.Wilson(level)], (_, _) => correlation, level, method);
        return new Estimate(count, gap, interval with { Lower = Math.Max(-1, interval.Lower), Upper = Math.Min(1, interval.Upper) });
    }

    /// <summary>The average of several groups' shares, each group counting the same; groups without images are left out.</summary>
    public static Estimate Average(IEnumerable<PersonShare?> groups, double level)
    {
        PersonShare[] shares = [.. groups.OfType<PersonShare>()];
        if (shares.Length == 0)
            return Results.Estimate.Undefined;
        int count = shares.Sum(share => share.Images);
        double average = shares.Average(share => share.Share);
        if (shares.Any(share => !share.HasInterval))
            return new Estimate(count, average, null);
        Interval interval = LinearCombination.Interval(
            [.. shares.Select(_ => 1.0 / shares.Length)], [.. shares.Select(share => share.Share)], [.. shares.Select(share => share.Wilson(level))],
            [.. shares.Select(share => share._influence)], level, "MOVER over groups, Wilson");
        return new Estimate(count, average, interval);
    }

    /// <summary>
    /// The first share over the second: the ratios R for which the interval of p₁ − R p₂ holds zero, made from the two Wilson intervals and the
    /// correlation of persons in both groups (MOVER-R). Undefined where the second share is zero.
    /// </summary>
    /// <remarks>Donner and Zou (2012), Statistical Methods in Medical Research 21, 347-359; Newcombe (2016), the same 25, 1774-1778.</remarks>
    public static Estimate Ratio(PersonShare? first, PersonShare? second, double level)
    {
        int count = (first?.Images ?? 0) + (second?.Images ?? 0);
        if (first is null || second is null || second.Share <= 0)
            return new Estimate(count, null, null);
        double ratio = first.Share / second.Share;
        if (!first.HasInterval || !second.HasInterval)
            return new Estimate(count, ratio, null);
        double correlation = LinearCombination.Correlation(first._influence, second._influence).Value;
        Interval one = first.Wilson(level), two = second.Wilson(level);
        Interval Difference(double by) => LinearCombination.Interval([1, -by], [first.Share, second.Share], [one, two], (_, _) => correlation, level, "");
        double high = Math.Max(1, 2 * ratio);
        while (Difference(high).Upper > 0 && high < 1e12)
            high *= 2;
        return new Estimate(count, ratio, new Interval(
            Turn(0, ratio, by => Difference(by).Lower > 0), Turn(ratio, high, by => Difference(by).Upper > 0), level, "MOVER-R, Wilson"));
    }

    /// <summary>
    /// Wilson's interval. Where persons weigh differently the effective number is taken times (z/t)², t with Kish's effective number of persons less one
    /// as degrees of freedom, as Korn and Graubard do for their interval.
    /// </summary>
    /// <remarks>Korn and Graubard (1998), Survey Methodology 24, 193-201.</remarks>
    private Interval Wilson(double level)
    {
        double effective = Effective;
        if (_weighed is double persons)
        {
            double ratio = Normal.InvCDF(0, 1, (1 + level) / 2) / StudentQuantile.TwoSided(Math.Max(1, persons - 1), level);
            effective *= ratio * ratio;
        }

        return Proportions.Wilson(Share * effective, effective, level) with { Method = IsPlain ? "Wilson" : "Wilson, over persons" };
    }

    /// <summary>Where a condition that holds at the lower end stops to hold.</summary>
    private static double Turn(double low, double high, Func<double, bool> holds)
    {
        for (int step = 0; step < 100; step++)
        {
            double middle = 0.5 * (low + high);
            if (holds(middle))
                low = middle;
            else
                high = middle;
        }

        return 0.5 * (low + high);
    }
}
