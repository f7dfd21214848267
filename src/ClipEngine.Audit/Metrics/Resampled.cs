using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>A sample of persons with the bootstrap distributions of its columns' means.</summary>
internal sealed class Resampled
{
    /// <summary>Beyond this many persons the mean's bootstrap distribution is a normal one for all that an interval shows, and is replaced by it.</summary>
    public const int LargestResampled = 5000;

    private readonly PersonSample _sample;
    private readonly double[][]? _distributions;
    private readonly int _images;

    private readonly BoundedMean? _bounded;

    /// <summary>Draws.</summary>
    /// <param name="sample">Sums and counts of persons.</param>
    /// <param name="options">Resamples and seed.</param>
    /// <param name="stream">The sample's name.</param>
    /// <param name="numbers">Where values lie in [0, 1]: a number for each person, the same wherever the person stands. Null for other values.</param>
    public Resampled(PersonSample sample, IntervalOptions options, string stream, int[]? numbers = null)
    {
        _sample = sample;
        _images = sample.Counts.Sum();
        if (numbers is not null && sample.Persons is > 1 and <= LargestResampled)
            _bounded = BoundedMean.Draw(sample, numbers, options.Resamples, options.Seed, stream);
        else if (sample.Persons is > 1 and <= LargestResampled)
            _distributions = Bootstrap.Means(sample, options.Resamples, Bootstrap.Seeded(sample.Persons, options.Seed, stream));
    }

    /// <summary>The mean of a column; without interval over a single person, undefined over none.</summary>
    public Estimate Mean(int column, IntervalOptions options)
    {
        if (_images == 0)
            return Estimate.Undefined;
        double mean = _sample.Mean(column);
        Interval? interval = null;
        if (_bounded is not null)
            interval = _bounded.Interval(column, mean, options.Level);
        else if (_distributions is not null)
            interval = Bootstrap.Interval(_distributions[column], mean, [Bootstrap.Jackknife(_sample, column)], options.Level, options.Method);
        else if (_sample.Persons > 1)
            interval = Normal(mean, Variance(column), options.Level);
        return new Estimate(_images, mean, interval);
    }

    /// <summary>The difference of two independent samples' means.</summary>
    public static Estimate Gap(Resampled first, Resampled second, int column, IntervalOptions options)
    {
        int count = first._images + second._images;
        if (first._images == 0 || second._images == 0)
            return new Estimate(count, null, null);
        double firstMean = first._sample.Mean(column);
        double secondMean = second._sample.Mean(column);
        double gap = firstMean - secondMean;
        if (first._sample.Persons < 2 || second._sample.Persons < 2)
            return new Estimate(count, gap, null);
        if (first._bounded is not null && second._bounded is not null)
            return new Estimate(count, gap, BoundedMean.Gap(first._bounded, second._bounded, column, gap, options.Level));
        if (first._distributions is null || second._distributions is null)
            return new Estimate(count, gap, Normal(gap, first.Variance(column) + second.Variance(column), options.Level));

        var distribution = new double[options.Resamples];
        for (int resample = 0; resample < distribution.Length; resample++)
            distribution[resample] = first._distributions[column][resample] - second._distributions[column][resample];
        double[] firstOut = [.. Bootstrap.Jackknife(first._sample, column).Select(mean => mean - secondMean)];
        double[] secondOut = [.. Bootstrap.Jackknife(second._sample, column).Select(mean => firstMean - mean)];
        return new Estimate(count, gap, Bootstrap.Interval(distribution, gap, [firstOut, secondOut], options.Level, options.Method));
    }

    /// <summary>The mean's variance over persons (the linearised ratio's: with one image a person, the sample variance over n).</summary>
    private double Variance(int column)
    {
        double mean = _sample.Mean(column);
        double squares = 0;
        for (int person = 0; person < _sample.Persons; person++)
        {
            double residual = _sample.Row(person)[column] - (mean * _sample.Counts[person]);
            squares += residual * residual;
        }

        return squares * _sample.Persons / (_sample.Persons - 1.0) / ((double)_images * _images);
    }

    private static Interval? Normal(double estimate, double variance, double level)
    {
        double half = MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, (1 + level) / 2) * Math.Sqrt(variance);
        return half > 0 ? new Interval(estimate - half, estimate + half, level, "normal, over persons") : null;
    }
}
