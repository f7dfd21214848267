using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>The mean difference of two rates on the same images, over persons with any number of images, and what each person adds to its error.</summary>
internal sealed class PersonChange
{
    private PersonChange(double mean, int images, Interval? interval, Dictionary<int, double> influence)
    {
        Mean = mean;
        Images = images;
        Interval = interval;
        Influence = influence;
    }

    /// <summary>The mean difference: Σ w d / Σ w.</summary>
    public double Mean { get; }

    /// <summary>Images.</summary>
    public int Images { get; }

    /// <summary>Null over a single person.</summary>
    public Interval? Interval { get; }

    /// <summary>What each person adds to the mean's error.</summary>
    public IReadOnlyDictionary<int, double> Influence { get; }

    /// <summary>The mean with its interval.</summary>
    public Estimate Estimate => new(Images, Mean, Interval);

    /// <summary>
    /// Measures a change. Its interval is Tango's on the number of images whose difference would vary as this one does, its variance linearised over
    /// persons; with one image a person, equal weights and whole outcomes it is Tango's own. Outcomes may be averages over checkpoints.
    /// </summary>
    /// <param name="persons">Each person's images.</param>
    /// <param name="personOf">The person of every image, the same number in all groups.</param>
    /// <param name="weights">What every image counts.</param>
    /// <param name="differences">For every image second minus first, from −1 to 1.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <returns>Null over no images.</returns>
    public static PersonChange? Of(int[][] persons, int[] personOf, ReadOnlySpan<double> weights, ReadOnlySpan<double> differences, double level)
    {
        int images = persons.Sum(rows => rows.Length);
        if (images == 0)
            return null;
        double gained = 0, lost = 0, squares = 0, total = 0, squaredWeights = 0, squaredPersons = 0;
        bool isWhole = true;
        foreach (int[] rows in persons)
        {
            double own = 0;
            foreach (int row in rows)
            {
                double difference = differences[row], weight = weights[row];
                own += weight;
                gained += weight * Math.Max(0, difference);
                lost += weight * Math.Max(0, -difference);
                squares += weight * difference * difference;
                squaredWeights += weight * weight;
                isWhole &= difference is -1 or 0 or 1;
            }

            total += own;
            squaredPersons += own * own;
        }

        gained /= total;
        lost /= total;
        squares /= total;
        double mean = gained - lost, variance = 0;
        var influence = new Dictionary<int, double>(persons.Length);
        foreach (int[] rows in persons)
        {
            double apart = 0;
            foreach (int row in rows)
                apart += weights[row] * (differences[row] - mean);
            influence[personOf[rows[0]]] = apart / total;
            variance += apart * apart / (total * total);
        }

        if (persons.Length < 2)
            return new PersonChange(mean, images, null, influence);
        double imagesOfEqualWeight = total * total / squaredWeights;
        if (persons.Length == images && isWhole && imagesOfEqualWeight > images * (1 - 1e-12))
            return new PersonChange(mean, images, PairedRates.Tango(Math.Round(gained * images), Math.Round(lost * images), images, level), influence);
        variance *= persons.Length / (persons.Length - 1.0);
        double alone = gained + lost - (mean * mean);
        // Averages over checkpoints vary less than whole outcomes do, and count for more of them, but for no more than that.
        double most = squares > 0 ? imagesOfEqualWeight * (gained + lost) / squares : persons.Length;
        double effective = variance > 1e-24 ? Math.Min(alone / variance, most) : total * total / squaredPersons;
        return new PersonChange(mean, images, PairedRates.Tango(effective * gained, effective * lost, effective, level) with { Method = "Tango, over persons" }, influence);
    }

    /// <summary>
    /// The first group's change minus the second's: MOVER on the two Tango intervals, with the correlation of persons in both groups. The question of
    /// equity: did the step between the arms do more to one group than to the other?
    /// </summary>
    public static Estimate Difference(PersonChange? first, PersonChange? second, double level)
    {
        int count = (first?.Images ?? 0) + (second?.Images ?? 0);
        if (first is null || second is null)
            return new Estimate(count, null, null);
        double difference = first.Mean - second.Mean;
        if (first.Interval is not { } one || second.Interval is not { } two)
            return new Estimate(count, difference, null);
        double correlation = LinearCombination.Correlation(first.Influence, second.Influence).Value;
        return new Estimate(count, difference, LinearCombination.Interval([1, -1], [first.Mean, second.Mean], [one, two], (_, _) => correlation, level, "MOVER, Tango"));
    }

    /// <summary>The average of several groups' changes, each group counting the same; groups without images are left out.</summary>
    public static Estimate Average(IEnumerable<PersonChange?> groups, double level)
    {
        PersonChange[] changes = [.. groups.OfType<PersonChange>()];
        if (changes.Length == 0)
            return Results.Estimate.Undefined;
        int count = changes.Sum(change => change.Images);
        double average = changes.Average(change => change.Mean);
        if (changes.Any(change => change.Interval is null))
            return new Estimate(count, average, null);
        return new Estimate(count, average, LinearCombination.Interval(
            [.. changes.Select(_ => 1.0 / changes.Length)], [.. changes.Select(change => change.Mean)], [.. changes.Select(change => change.Interval!)],
            [.. changes.Select(change => change.Influence)], level, "MOVER over groups, Tango"));
    }
}
