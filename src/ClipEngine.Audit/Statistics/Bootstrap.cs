using ClipEngine.Audit.Results;
using MathNet.Numerics.Distributions;

namespace ClipEngine.Audit.Statistics;

/// <summary>How a bootstrap distribution becomes an interval.</summary>
internal enum BootstrapMethod
{
    /// <summary>Quantiles of the bootstrap distribution.</summary>
    Percentile,

    /// <summary>Bias-corrected and accelerated: quantiles shifted for bias and skewness.</summary>
    BiasCorrectedAccelerated,
}

/// <summary>Draws the persons of a resample: fills the span with indices below the number of persons.</summary>
internal delegate void PersonResampler(int resample, Span<int> indices);

/// <summary>
/// The bootstrap over persons. A person is the unit that is drawn, with all images of it: images of one face are no independent
/// evidence. A mean is the sum of the drawn persons' weighted sums over the sum of their weights.
/// </summary>
/// <remarks>Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13, 14 and 15 (BCa: eq. 14.10, 14.15; several samples: eq. 15.36).</remarks>
internal static class Bootstrap
{
    /// <summary>The seeded resampler of one sample.</summary>
    /// <param name="persons">Persons in the sample.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">The sample's name; equal names get equal draws, which keeps columns and models paired.</param>
    public static PersonResampler Seeded(int persons, long seed, string stream)
    {
        ulong number = SplitMix64.Stream(stream);
        return (resample, indices) =>
        {
            SplitMix64 generator = SplitMix64.For(seed, number, resample);
            foreach (ref int index in indices)
                index = generator.Below(persons);
        };
    }

    /// <summary>The resampler of a sample whose persons stand in other samples too: all persons are drawn, and those that are not in this sample are −1.</summary>
    /// <param name="numbers">A number for each person of the sample.</param>
    /// <param name="all">How many persons there are in all; equal numbers of them get equal draws in all samples.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">The sample's name, for draws that hold nobody of it.</param>
    public static PersonResampler SeededTogether(int[] numbers, int all, long seed, string stream)
    {
        var places = new int[all];
        Array.Fill(places, -1);
        for (int person = 0; person < numbers.Length; person++)
            places[numbers[person]] = person;
        PersonResampler together = Seeded(all, seed, "persons of several groups"), alone = Seeded(numbers.Length, seed, stream);
        return (resample, indices) =>
        {
            together(resample, indices);
            bool isEmpty = true;
            foreach (ref int index in indices)
            {
                index = places[index];
                isEmpty &= index < 0;
            }

            if (isEmpty)
                alone(resample, indices[..numbers.Length]);
        };
    }

    /// <summary>The bootstrap distributions of the means of several columns, with the same draws for all.</summary>
    /// <param name="sample">The persons' sums and counts.</param>
    /// <param name="resamples">How many times to draw.</param>
    /// <param name="resampler">The draws; a negative index is a person who is not in this sample.</param>
    /// <param name="drawn">How many persons a resample draws; null: as many as the sample has.</param>
    /// <returns><c>[columns][resamples]</c>.</returns>
    public static double[][] Means(PersonSample sample, int resamples, PersonResampler resampler, int? drawn = null)
    {
        int draws = drawn ?? sample.Persons;
        int columns = sample.Columns;
        var distributions = new double[columns][];
        for (int column = 0; column < columns; column++)
            distributions[column] = new double[resamples];

        // Each resample writes its own slots and sums in a fixed order: the outcome does not depend on the threads.
        Parallel.For(0, resamples, () => (new int[draws], new double[columns]), (resample, _, buffers) =>
        {
            (int[] indices, double[] sums) = buffers;
            resampler(resample, indices);
            Array.Clear(sums);
            double total = 0;
            foreach (int person in indices)
            {
                if (person < 0)
                    continue;
                total += sample.Weights[person];
                ReadOnlySpan<double> row = sample.Row(person);
                for (int column = 0; column < row.Length; column++)
                    sums[column] += row[column];
            }

            for (int column = 0; column < columns; column++)
                distributions[column][resample] = sums[column] / total;
            return buffers;
        }, _ => { });
        return distributions;
    }

    /// <summary>Leave-one-person-out means of one column.</summary>
    public static double[] Jackknife(PersonSample sample, int column)
    {
        double total = 0;
        double weight = 0;
        for (int person = 0; person < sample.Persons; person++)
        {
            total += sample.Row(person)[column];
            weight += sample.Weights[person];
        }

        var values = new double[sample.Persons];
        for (int person = 0; person < values.Length; person++)
            values[person] = (total - sample.Row(person)[column]) / (weight - sample.Weights[person]);
        return values;
    }

    /// <summary>The interval of a statistic from its bootstrap distribution.</summary>
    /// <param name="distribution">Not changed.</param>
    /// <param name="estimate">The statistic on the sample itself.</param>
    /// <param name="jackknives">For BCa: leave-one-out values of the whole statistic, one array for each independent sample in it.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <param name="method">Percentile or BCa. BCa falls back to the percentile, and is named so, where its corrections do not exist.</param>
    /// <returns>Null where the distribution has no spread: resampling then says nothing about uncertainty.</returns>
    public static Interval? Interval(
        double[] distribution, double estimate, IReadOnlyList<double[]> jackknives, double level, BootstrapMethod method)
    {
        double[] sorted = [.. distribution];
        Array.Sort(sorted);
        // Sums in another order differ in their last bits; a spread of that size is none.
        if (sorted.Length == 0 || sorted[^1] - sorted[0] <= 1e-12 * Math.Max(1e-3, Math.Abs(estimate)))
            return null;

        double alpha = (1 - level) / 2;
        if (method == BootstrapMethod.BiasCorrectedAccelerated && Corrected(sorted, estimate, jackknives, alpha) is var (lower, upper))
            return new Interval(Quantile(sorted, lower), Quantile(sorted, upper), level, "bootstrap BCa");
        return new Interval(Quantile(sorted, alpha), Quantile(sorted, 1 - alpha), level, "bootstrap percentile");
    }

    /// <summary>The quantile of sorted values, linear between order statistics (type 7 of Hyndman and Fan, NumPy's default).</summary>
    public static double Quantile(ReadOnlySpan<double> sorted, double probability)
    {
        double position = probability * (sorted.Length - 1);
        int below = Math.Clamp((int)Math.Floor(position), 0, sorted.Length - 1);
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((sorted[above] - sorted[below]) * (position - below));
    }

    private static (double Lower, double Upper)? Corrected(
        double[] sorted, double estimate, IReadOnlyList<double[]> jackknives, double alpha)
    {
        int less = 0;
        int equal = 0;
        foreach (double value in sorted)
        {
            if (value < estimate)
                less++;
            else if (value == estimate)
                equal++;
        }

        double share = (less + (less + equal)) / (2.0 * sorted.Length);
        if (share is <= 0 or >= 1)
            return null;

        double cubes = 0;
        double squares = 0;
        foreach (double[] values in jackknives)
        {
            double count = values.Length;
            double mean = values.Average();
            double cube = 0;
            double square = 0;
            foreach (double value in values)
            {
                double influence = (count - 1) * (mean - value);
                square += influence * influence;
                cube += influence * influence * influence;
            }

            cubes += cube / (count * count * count);
            squares += square / (count * count);
        }

        double acceleration = cubes / (6 * Math.Pow(squares, 1.5));
        if (!double.IsFinite(acceleration))
            return null;

        double bias = Normal.InvCDF(0, 1, share);
        double z = Normal.InvCDF(0, 1, alpha);
        return (Shift(bias, z, acceleration), Shift(bias, -z, acceleration));
    }

    private static double Shift(double bias, double z, double acceleration)
    {
        double sum = bias + z;
        return Normal.CDF(0, 1, bias + (sum / (1 - (acceleration * sum))));
    }
}

/// <summary>Sums and weights of a sample's persons over several columns.</summary>
internal sealed class PersonSample
{
    private readonly double[] _sums;

    /// <summary>Takes over the arrays.</summary>
    /// <param name="columns">Columns.</param>
    /// <param name="sums"><c>[persons, columns]</c>, row-major: each person's weighted sum over its images.</param>
    /// <param name="weights">What each person counts: the sum of the weights of its images.</param>
    public PersonSample(int columns, double[] sums, double[] weights)
    {
        if (sums.Length != columns * weights.Length)
            throw new ArgumentException($"{weights.Length} persons x {columns} columns expected, {sums.Length} sums found", nameof(sums));
        Columns = columns;
        _sums = sums;
        Weights = weights;
    }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Persons.</summary>
    public int Persons => Weights.Length;

    /// <summary>What each person counts.</summary>
    public double[] Weights { get; }

    /// <summary>A person's sums.</summary>
    public ReadOnlySpan<double> Row(int person) => _sums.AsSpan(person * Columns, Columns);

    /// <summary>The weighted mean of one column.</summary>
    public double Mean(int column)
    {
        double total = 0;
        double weight = 0;
        for (int person = 0; person < Persons; person++)
        {
            total += Row(person)[column];
            weight += Weights[person];
        }

        return total / weight;
    }
}
