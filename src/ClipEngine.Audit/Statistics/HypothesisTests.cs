using MathNet.Numerics;

namespace ClipEngine.Audit.Statistics;

/// <summary>Tests of paired outcomes.</summary>
internal static class HypothesisTests
{
    /// <summary>Up to this many pairs all sign patterns are enumerated; beyond, they are drawn.</summary>
    public const int LargestExact = 14;

    /// <summary>
    /// McNemar's exact test: of the faces that exactly one of two checkpoints gave the label, is the split between the two one
    /// that a fair coin would give? Two-sided binomial p; 1 where there is no such face.
    /// </summary>
    /// <param name="onlyFirst">Faces that only the first gave it.</param>
    /// <param name="onlySecond">Faces that only the second gave it.</param>
    public static double McNemar(int onlyFirst, int onlySecond)
    {
        int count = onlyFirst + onlySecond;
        int smaller = Math.Min(onlyFirst, onlySecond);
        if (count == 0 || onlyFirst == onlySecond)
            return 1;
        double tail = 0;
        for (int k = 0; k <= smaller; k++)
            tail += Math.Exp(SpecialFunctions.FactorialLn(count) - SpecialFunctions.FactorialLn(k)
                - SpecialFunctions.FactorialLn(count - k) - (count * Math.Log(2)));
        return Math.Min(1, 2 * tail);
    }

    /// <summary>
    /// Paired permutation test of the mean: under the null each difference could as well have the other sign. Two-sided: the
    /// share of sign patterns whose mean is at least as far from zero. Exact up to <see cref="LargestExact"/> differences that
    /// are not zero (those change nothing); else drawn, with the observed pattern counted as one of them (Phipson and Smyth, 2010).
    /// </summary>
    /// <param name="persons">Each person's weighted sum of differences: what it adds to the mean.</param>
    /// <param name="draws">Sign patterns to draw where there are too many to enumerate.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">The test's name.</param>
    public static double PairedPermutation(PersonSample persons, int draws, long seed, string stream)
    {
        var values = new List<double>(persons.Persons);
        for (int person = 0; person < persons.Persons; person++)
        {
            if (persons.Row(person)[0] is not 0 and var sum)
                values.Add(sum);
        }

        if (values.Count == 0)
            return 1;
        double[] moved = [.. values];
        double observed = Math.Abs(moved.Sum());
        // Sums in another order differ in their last bits and still count as equal.
        double threshold = observed - (1e-12 * Math.Max(1e-3, observed));
        return moved.Length <= LargestExact ? Exact(moved, threshold) : Drawn(moved, threshold, draws, seed, SplitMix64.Stream(stream));
    }

    private static double Exact(double[] values, double threshold)
    {
        int patterns = 1 << values.Length;
        int extreme = 0;
        for (int pattern = 0; pattern < patterns; pattern++)
        {
            double sum = 0;
            for (int i = 0; i < values.Length; i++)
                sum += (pattern >> i & 1) == 0 ? values[i] : -values[i];
            if (Math.Abs(sum) >= threshold)
                extreme++;
        }

        return (double)extreme / patterns;
    }

    private static double Drawn(double[] values, double threshold, int draws, long seed, ulong stream)
    {
        int extreme = 0;
        for (int draw = 0; draw < draws; draw++)
        {
            SplitMix64 generator = SplitMix64.For(seed, stream, draw);
            double sum = 0;
            ulong bits = 0;
            for (int i = 0; i < values.Length; i++)
            {
                if ((i & 63) == 0)
                    bits = generator.Next();
                sum += (bits & 1) == 0 ? values[i] : -values[i];
                bits >>= 1;
            }

            if (Math.Abs(sum) >= threshold)
                extreme++;
        }

        return (extreme + 1.0) / (draws + 1.0);
    }

    /// <summary>
    /// Fisher's exact test that two shares are one: the probability, with both margins as they are, of all tables that are no more probable than the
    /// observed one. Two-sided.
    /// </summary>
    /// <remarks>Fisher (1935), Journal of the Royal Statistical Society 98, 39-82.</remarks>
    public static double FisherExact(int firstHits, int first, int secondHits, int second)
    {
        int hits = firstHits + secondHits;
        double Log(int inFirst) => SpecialFunctions.BinomialLn(first, inFirst) + SpecialFunctions.BinomialLn(second, hits - inFirst) - SpecialFunctions.BinomialLn(first + second, hits);
        double observed = Log(firstHits), sum = 0;
        for (int inFirst = Math.Max(0, hits - second); inFirst <= Math.Min(first, hits); inFirst++)
        {
            // Equal probabilities differ in their last bits.
            if (Log(inFirst) is var probability && probability <= observed + 1e-7)
                sum += Math.Exp(probability);
        }

        return Math.Min(1, sum);
    }

    /// <summary>
    /// Permutation test of the difference of two groups' weighted means. Persons of one group change places with persons of the other; one who stands in
    /// both swaps its two sides. The difference is taken over its standard error, linearised over persons, so that groups whose persons vary
    /// differently do not make it false. Two-sided; the observed arrangement counts as one of the draws (Phipson and Smyth, 2010).
    /// </summary>
    /// <param name="first">The first group's persons.</param>
    /// <param name="firstNumbers">A number for each, the same in both groups.</param>
    /// <param name="second">The second group's.</param>
    /// <param name="secondNumbers">A number for each.</param>
    /// <param name="draws">Arrangements to draw.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">The test's name.</param>
    /// <remarks>Janssen (1997), Statistics and Probability Letters 36, 9-21; Chung and Romano (2013), Annals of Statistics 41, 484-507.</remarks>
    public static double TwoGroups(PersonSample first, int[] firstNumbers, PersonSample second, int[] secondNumbers, int draws, long seed, string stream)
    {
        Dictionary<int, int> inSecond = Enumerable.Range(0, secondNumbers.Length).ToDictionary(person => secondNumbers[person]);
        var singles = new List<(double Sum, double Weight)>();
        var pairs = new List<((double Sum, double Weight) First, (double Sum, double Weight) Second)>();
        for (int person = 0; person < first.Persons; person++)
        {
            var own = (first.Row(person)[0], first.Weights[person]);
            if (inSecond.Remove(firstNumbers[person], out int other))
                pairs.Add((own, (second.Row(other)[0], second.Weights[other])));
            else
                singles.Add(own);
        }

        int firstSingles = singles.Count;
        singles.AddRange(inSecond.Values.Order().Select(person => (second.Row(person)[0], second.Weights[person])));
        var arranged = singles.ToArray();
        var sides = pairs.ToArray();
        double observed = Statistic(arranged, firstSingles, sides);
        if (observed == 0)
            return 1;
        double threshold = observed - (1e-9 * observed);
        int extreme = 0;
        ulong number = SplitMix64.Stream(stream);
        for (int draw = 0; draw < draws; draw++)
        {
            SplitMix64 generator = SplitMix64.For(seed, number, draw);
            // The smaller side is enough to draw: the rest is the other.
            int drawn = Math.Min(firstSingles, arranged.Length - firstSingles);
            for (int index = 0; index < drawn; index++)
            {
                int at = firstSingles == drawn ? index : arranged.Length - 1 - index;
                int other = firstSingles == drawn ? at + generator.Below(arranged.Length - at) : generator.Below(at + 1);
                (arranged[at], arranged[other]) = (arranged[other], arranged[at]);
            }

            for (int index = 0; index < sides.Length; index++)
            {
                if ((generator.Next() & 1) != 0)
                    sides[index] = (sides[index].Second, sides[index].First);
            }

            if (Statistic(arranged, firstSingles, sides) >= threshold)
                extreme++;
        }

        return (extreme + 1.0) / (draws + 1.0);
    }

    /// <summary>|difference of means| over its standard error; infinite where there is a difference and no spread.</summary>
    private static double Statistic(ReadOnlySpan<(double Sum, double Weight)> singles, int firstSingles, ReadOnlySpan<((double Sum, double Weight) First, (double Sum, double Weight) Second)> pairs)
    {
        double firstSum = 0, firstWeight = 0, secondSum = 0, secondWeight = 0;
        for (int index = 0; index < singles.Length; index++)
        {
            if (index < firstSingles)
            {
                firstSum += singles[index].Sum;
                firstWeight += singles[index].Weight;
            }
            else
            {
                secondSum += singles[index].Sum;
                secondWeight += singles[index].Weight;
            }
        }

        foreach (var (one, two) in pairs)
        {
            firstSum += one.Sum;
            firstWeight += one.Weight;
            secondSum += two.Sum;
            secondWeight += two.Weight;
        }

        double firstMean = firstSum / firstWeight, secondMean = secondSum / secondWeight, squares = 0;
        double difference = Math.Abs(firstMean - secondMean);
        if (difference <= 1e-12)
            return 0;
        for (int index = 0; index < singles.Length; index++)
        {
            double influence = index < firstSingles
                ? (singles[index].Sum - (firstMean * singles[index].Weight)) / firstWeight
                : (singles[index].Sum - (secondMean * singles[index].Weight)) / secondWeight;
            squares += influence * influence;
        }

        foreach (var (one, two) in pairs)
        {
            double influence = ((one.Sum - (firstMean * one.Weight)) / firstWeight) - ((two.Sum - (secondMean * two.Weight)) / secondWeight);
            squares += influence * influence;
        }

        return squares > 1e-24 ? difference / Math.Sqrt(squares) : double.PositiveInfinity;
    }

    /// <summary>
    /// Cohen's d of paired differences: their weighted mean over the weighted standard deviation of the persons' mean differences. Null under two
    /// persons or without spread.
    /// </summary>
    public static double? PairedEffectSize(PersonSample persons)
    {
        if (persons.Persons < 2)
            return null;
        double mean = persons.Mean(0), squares = 0, total = 0;
        for (int person = 0; person < persons.Persons; person++)
        {
            double weight = persons.Weights[person], apart = (persons.Row(person)[0] / weight) - mean;
            squares += weight * apart * apart;
            total += weight;
        }

        double deviation = Math.Sqrt(squares / total * persons.Persons / (persons.Persons - 1));
        return deviation > 1e-15 ? mean / deviation : null;
    }
}
