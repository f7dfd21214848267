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
