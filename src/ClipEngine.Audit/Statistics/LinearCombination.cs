using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>Intervals of sums and differences of estimates that have intervals of their own.</summary>
internal static class LinearCombination
{
    /// <summary>
    /// The method of variance estimates recovery (MOVER): the distance from the estimate to each end is the root of
    /// Σ_i Σ_j c_i c_j ρ_ij δ_i δ_j, with δ_i the distance of the i-th estimate to the end of its interval that moves the sum that way. For two shares
    /// with Wilson's intervals it is Newcombe's method 10.
    /// </summary>
    /// <param name="coefficients">c.</param>
    /// <param name="estimates">What is summed.</param>
    /// <param name="intervals">Their intervals, at the same level.</param>
    /// <param name="correlation">ρ of two of the estimates, by index; 0 where they are independent.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <param name="method">The name to give it.</param>
    /// <remarks>Zou, Huang and Zhang (2009), Computational Statistics and Data Analysis 53, 1080-1085; with correlations Zou (2007), Psychological Methods 12, 399-413.</remarks>
    public static Interval Interval(
        ReadOnlySpan<double> coefficients, ReadOnlySpan<double> estimates, IReadOnlyList<Interval> intervals, Func<int, int, double> correlation, double level, string method)
    {
        double value = 0, below = 0, above = 0;
        for (int i = 0; i < coefficients.Length; i++)
        {
            value += coefficients[i] * estimates[i];
            double down = Reach(i, -1, coefficients[i], estimates[i]), up = Reach(i, 1, coefficients[i], estimates[i]);
            below += down * down;
            above += up * up;
            for (int j = 0; j < i; j++)
            {
                if (correlation(i, j) is not 0 and var shared)
                {
                    double sign = Math.Sign(coefficients[i]) * Math.Sign(coefficients[j]) * 2 * shared;
                    below += sign * down * Reach(j, -1, coefficients[j], estimates[j]);
                    above += sign * up * Reach(j, 1, coefficients[j], estimates[j]);
                }
            }
        }

        return new Interval(value - Math.Sqrt(Math.Max(0, below)), value + Math.Sqrt(Math.Max(0, above)), level, method);

        double Reach(int index, int direction, double coefficient, double estimate) =>
            Math.Abs(coefficient) * (direction * coefficient > 0 ? intervals[index].Upper - estimate : estimate - intervals[index].Lower);
    }

    /// <summary>
    /// The same with each ρ from what persons add to the estimates' errors, ρ_ij = Σ_p I_ip I_jp / (|I_i| |I_j|): the double sum is then
    /// Σ_p (Σ_i c_i δ_i I_ip / |I_i|)², whose cost grows with the persons and not with the pairs of estimates.
    /// </summary>
    /// <param name="coefficients">c.</param>
    /// <param name="estimates">What is summed.</param>
    /// <param name="intervals">Their intervals, at the same level.</param>
    /// <param name="influences">What each person adds to each estimate's error.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <param name="method">The name to give it.</param>
    public static Interval Interval(
        ReadOnlySpan<double> coefficients, ReadOnlySpan<double> estimates, IReadOnlyList<Interval> intervals, IReadOnlyList<IReadOnlyDictionary<int, double>> influences, double level, string method)
    {
        double value = 0, below = 0, above = 0;
        var persons = new Dictionary<int, (double Below, double Above)>();
        for (int i = 0; i < coefficients.Length; i++)
        {
            double coefficient = coefficients[i], lower = estimates[i] - intervals[i].Lower, upper = intervals[i].Upper - estimates[i];
            value += coefficient * estimates[i];
            double down = coefficient * (coefficient > 0 ? lower : upper), up = coefficient * (coefficient > 0 ? upper : lower);
            double size = Math.Sqrt(influences[i].Values.Sum(influence => influence * influence));
            if (size <= 0)
            {
                // Nothing varies, nothing correlates.
                below += down * down;
                above += up * up;
                continue;
            }

            foreach ((int person, double influence) in influences[i])
            {
                (double Below, double Above) sum = persons.GetValueOrDefault(person);
                persons[person] = (sum.Below + (down * influence / size), sum.Above + (up * influence / size));
            }
        }

        foreach ((double one, double other) in persons.Values)
        {
            below += one * one;
            above += other * other;
        }

        return new Interval(value - Math.Sqrt(below), value + Math.Sqrt(above), level, method);
    }

    /// <summary>The correlation of two estimates from what each person adds to their errors, and whether anybody is in both.</summary>
    public static (double Value, bool IsPaired) Correlation(IReadOnlyDictionary<int, double> first, IReadOnlyDictionary<int, double> second)
    {
        double product = 0;
        bool isPaired = false;
        foreach ((int person, double influence) in first)
        {
            if (!second.TryGetValue(person, out double other))
                continue;
            isPaired = true;
            product += influence * other;
        }

        double scale = isPaired ? Math.Sqrt(first.Values.Sum(value => value * value) * second.Values.Sum(value => value * value)) : 0;
        return (scale > 0 ? Math.Clamp(product / scale, -1, 1) : 0, isPaired);
    }
}
