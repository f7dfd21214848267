using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>
/// A share of images where several images may show one person, and one person may stand in several groups: what each person adds to its error, and
/// the number of independent images that would know it as well.
/// </summary>
internal sealed class PersonShare
{
    private readonly Dictionary<int, double> _influence;

    private PersonShare(double share, double effective, int images, Dictionary<int, double> influence)
    {
        Share = share;
        Effective = effective;
        Images = images;
        _influence = influence;
    }

    /// <summary>The share.</summary>
    public double Share { get; }

    /// <summary>
    /// p(1 − p)/v, with v = K/(K − 1) · Σ_person (Σ_image (x − p))² / n² the variance linearised over K persons, and at most n. With one image a
    /// person it is n; where nothing varies it is the number of persons.
    /// </summary>
    public double Effective { get; }

    /// <summary>Images.</summary>
    public int Images { get; }

    /// <summary>Measures a share.</summary>
    /// <param name="persons">Each person's images.</param>
    /// <param name="personOf">The person of every image, the same number in all groups.</param>
    /// <param name="outcomes">For every image from 0 to 1.</param>
    public static PersonShare? Of(int[][] persons, int[] personOf, ReadOnlySpan<double> outcomes)
    {
        int images = persons.Sum(rows => rows.Length);
        if (images == 0)
            return null;
        double sum = 0;
        foreach (int row in persons.SelectMany(rows => rows))
            sum += outcomes[row];
        double share = sum / images, squares = 0;
        var influence = new Dictionary<int, double>(persons.Length);
        foreach (int[] rows in persons)
        {
            double apart = 0;
            foreach (int row in rows)
                apart += outcomes[row] - share;
            influence[personOf[rows[0]]] = apart / images;
            squares += apart * apart / ((double)images * images);
        }

        double effective = images;
        if (persons.Length < images)
        {
            double variance = persons.Length > 1 ? squares * persons.Length / (persons.Length - 1.0) : 0;
            effective = variance > 0 ? Math.Min(share * (1 - share) / variance, images) : persons.Length;
        }

        return new PersonShare(share, effective, images, influence);
    }

    /// <summary>The share with Wilson's interval on the effective number; a single person has none.</summary>
    public Estimate Estimate(double level) => _influence.Count < 2 && Images > 1
        ? new Estimate(Images, Share, null)
        : new Estimate(Images, Share, Proportions.Wilson(Share * Effective, Effective, level) with { Method = _influence.Count == Images ? "Wilson" : "Wilson, over persons" });

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
        if ((first._influence.Count < 2 && first.Images > 1) || (second._influence.Count < 2 && second.Images > 1))
            return new Estimate(count, gap, null);
        double product = 0;
        bool isPaired = false;
        foreach ((int person, double influence) in first._influence)
        {
            if (!second._influence.TryGetValue(person, out double other))
                continue;
            isPaired = true;
            product += influence * other;
        }

        double scale = Math.Sqrt(first._influence.Values.Sum(value => value * value) * second._influence.Values.Sum(value => value * value));
        double correlation = scale > 0 ? Math.Clamp(product / scale, -1, 1) : 0;
        Interval one = Proportions.Wilson(first.Share * first.Effective, first.Effective, level), two = Proportions.Wilson(second.Share * second.Effective, second.Effective, level);
        double lower = gap - Half(first.Share - one.Lower, two.Upper - second.Share, correlation), upper = gap + Half(one.Upper - first.Share, second.Share - two.Lower, correlation);
        string method = isPaired ? "Newcombe, paired over persons" : first._influence.Count == first.Images && second._influence.Count == second.Images ? "Newcombe" : "Newcombe, over persons";
        return new Estimate(count, gap, new Interval(Math.Max(-1, Math.Min(lower, gap)), Math.Min(1, Math.Max(upper, gap)), level, method));
    }

    private static double Half(double one, double two, double correlation) => Math.Sqrt(Math.Max(0, (one * one) - (2 * correlation * one * two) + (two * two)));
}
