using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>
/// Intervals of means of values that cannot leave [0, 1], such as probabilities, also where a few images carry nearly all of the mean: there the
/// bootstrap never sees the images that were not drawn, and covers the truth in as little as a third of the cases.
/// </summary>
/// <remarks>
/// Gaffke's bound: weights E_p/(Σ E + E_0) from exponential draws over persons, with one more value that nobody saw, at 0 for the lower end and at 1
/// for the upper. For bits it is Clopper and Pearson's interval; it is conservative, and by less the more persons there are. Gaffke (2005), three
/// test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable; Learned-Miller and Thomas (2019), a new
/// confidence interval for the mean of a bounded random variable. A person draws the same weight in all groups and columns, so that gaps between
/// groups with the same persons are paired. The unseen person counts as much as the one that counts most.
/// </remarks>
internal sealed class BoundedMean
{
    private readonly double[][] _lower;
    private readonly double[][] _upper;

    private BoundedMean(double[][] lower, double[][] upper)
    {
        _lower = lower;
        _upper = upper;
    }

    /// <summary>Draws.</summary>
    /// <param name="sample">Sums and weights of persons.</param>
    /// <param name="numbers">A number for each of them, the same wherever the person stands.</param>
    /// <param name="resamples">Draws.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">The sample's name, for the weight of the unseen value.</param>
    public static BoundedMean Draw(PersonSample sample, int[] numbers, int resamples, long seed, string stream)
    {
        int columns = sample.Columns;
        double[][] lower = [.. Enumerable.Range(0, columns).Select(_ => new double[resamples])], upper = [.. Enumerable.Range(0, columns).Select(_ => new double[resamples])];
        ulong persons = SplitMix64.Stream("persons of a bounded mean"), unseen = SplitMix64.Stream(stream);
        double largest = sample.Weights.Max();
        Parallel.For(0, resamples, () => new double[columns], (resample, _, sums) =>
        {
            Array.Clear(sums);
            double total = largest * Exponential(SplitMix64.For(seed, unseen, resample)), extra = total;
            for (int person = 0; person < sample.Persons; person++)
            {
                double weight = Exponential(SplitMix64.For(seed, persons + (ulong)numbers[person], resample));
                total += weight * sample.Weights[person];
                ReadOnlySpan<double> row = sample.Row(person);
                for (int column = 0; column < columns; column++)
                    sums[column] += weight * row[column];
            }

            for (int column = 0; column < columns; column++)
            {
                lower[column][resample] = sums[column] / total;
                upper[column][resample] = (sums[column] + extra) / total;
            }

            return sums;
        }, _ => { });
        return new BoundedMean(lower, upper);
    }

    /// <summary>The lower and the upper draws of a column's mean.</summary>
    public (double[] Lower, double[] Upper) Draws(int column) => (_lower[column], _upper[column]);

    private static double Exponential(SplitMix64 generator) => -Math.Log(((generator.Next() >> 11) + 0.5) * (1.0 / (1UL << 53)));
}

/// <summary>Draws of Σ c · mean over samples, draw by draw; a person in several of them has one weight.</summary>
/// <param name="resamples">Draws of each sample.</param>
internal sealed class BoundedSum(int resamples)
{
    private double[]? _lower;
    private double[]? _upper;

    /// <summary>Adds c · a column's mean.</summary>
    public void Add(BoundedMean sample, int column, double coefficient)
    {
        _lower ??= new double[resamples];
        _upper ??= new double[resamples];
        (double[] lower, double[] upper) = sample.Draws(column);
        (double[] down, double[] up) = coefficient > 0 ? (lower, upper) : (upper, lower);
        for (int resample = 0; resample < resamples; resample++)
        {
            _lower[resample] += coefficient * down[resample];
            _upper[resample] += coefficient * up[resample];
        }
    }

    /// <summary>The interval of the sum, which it does not change.</summary>
    /// <param name="value">The sum itself.</param>
    /// <param name="level">The nominal coverage.</param>
    public Interval Interval(double value, double level)
    {
        double[] lower = [.. _lower!], upper = [.. _upper!];
        Array.Sort(lower);
        Array.Sort(upper);
        return new Interval(Math.Min(value, Bootstrap.Quantile(lower, (1 - level) / 2)), Math.Max(value, Bootstrap.Quantile(upper, (1 + level) / 2)), level, "Gaffke, over persons");
    }
}
