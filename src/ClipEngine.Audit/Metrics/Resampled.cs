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
    private readonly int[] _numbers;
    private readonly BoundedMean? _bounded;

    /// <summary>Draws.</summary>
    /// <param name="sample">Sums and weights of persons.</param>
    /// <param name="images">How many images they are made of.</param>
    /// <param name="options">Resamples and seed.</param>
    /// <param name="stream">The sample's name.</param>
    /// <param name="numbers">A number for each person, the same wherever the person stands.</param>
    /// <param name="isBounded">Whether values lie in [0, 1].</param>
    /// <param name="drawnTogether">Where persons stand in several samples that are compared: how many there are in all. They are then drawn together, and one that is drawn is drawn in all samples.</param>
    public Resampled(PersonSample sample, int images, IntervalOptions options, string stream, int[] numbers, bool isBounded, int? drawnTogether = null)
    {
        _sample = sample;
        _images = images;
        _numbers = numbers;
        if (sample.Persons is < 2 or > LargestResampled)
            return;
        if (isBounded)
            _bounded = BoundedMean.Draw(sample, numbers, options.Resamples, options.Seed, stream);
        else if (drawnTogether is int all)
            _distributions = Bootstrap.Means(sample, options.Resamples, Bootstrap.SeededTogether(numbers, all, options.Seed, stream), all);
        else
            _distributions = Bootstrap.Means(sample, options.Resamples, Bootstrap.Seeded(sample.Persons, options.Seed, stream));
    }

    /// <summary>The mean of a column; without interval over a single person, undefined over none.</summary>
    public Estimate Mean(int column, IntervalOptions options) => Combination([this], [1], column, options);

    /// <summary>The first sample's mean minus the second's.</summary>
    public static Estimate Gap(Resampled first, Resampled second, int column, IntervalOptions options)
    {
        int images = first._images + second._images;
        if (first._images == 0 || second._images == 0)
            return new Estimate(images, null, null);
        if (Math.Max(first._sample.Persons, second._sample.Persons) <= LargestResampled || Math.Min(first._sample.Persons, second._sample.Persons) < 2)
            return Combination([first, second], [1, -1], column, options);
        // Each person's share in the difference, so that those who stand in both samples are no two persons.
        var influences = new Dictionary<int, double>();
        first.AddInfluences(column, 1, influences);
        second.AddInfluences(column, -1, influences);
        double value = first._sample.Mean(column) - second._sample.Mean(column);
        return new Estimate(images, value, Normal(value, influences.Values.Sum(static influence => influence * influence), options.Level));
    }

    /// <summary>The average of the samples' means, each sample counting the same; samples without images are left out.</summary>
    public static Estimate Average(IEnumerable<Resampled> samples, int column, IntervalOptions options)
    {
        Resampled[] filled = [.. samples.Where(sample => sample._images > 0)];
        return Combination(filled, [.. filled.Select(_ => 1.0 / filled.Length)], column, options);
    }

    /// <summary>Σ c · mean over samples of different persons, or of the same drawn together.</summary>
    private static Estimate Combination(Resampled[] samples, double[] coefficients, int column, IntervalOptions options)
    {
        var sum = new ResampledSum([column], options);
        foreach ((Resampled sample, double coefficient) in samples.Zip(coefficients))
            sum.Add(sample, coefficient);
        return sum.Estimate(0);
    }

    /// <summary>
    /// Sums of means of several columns over samples that are added one by one, and need not be kept: what stays is a draw's sum, however many samples there are.
    /// </summary>
    /// <param name="columns">The samples' columns.</param>
    /// <param name="options">Level, resamples and method.</param>
    internal sealed class ResampledSum(int[] columns, IntervalOptions options)
    {
        private readonly double[] _values = new double[columns.Length], _variances = new double[columns.Length];
        private readonly BoundedSum[] _bounded = [.. columns.Select(_ => new BoundedSum(options.Resamples))];
        private readonly double[]?[] _drawn = new double[]?[columns.Length];
        private readonly List<double[]>[] _left = [.. columns.Select(_ => new List<double[]>())];
        private int _images;
        private bool _hasSinglePerson, _isDrawn = true, _isBounded = true;

        /// <summary>Adds c · mean of a sample; one without images changes nothing.</summary>
        public void Add(Resampled sample, double coefficient)
        {
            if (sample._images == 0)
                return;
            _images += sample._images;
            _hasSinglePerson |= sample._sample.Persons < 2;
            _isBounded &= sample._bounded is not null;
            _isDrawn &= sample._distributions is not null;
            Parallel.For(0, columns.Length, index =>
            {
                int column = columns[index];
                double mean = sample._sample.Mean(column);
                _values[index] += coefficient * mean;
                if (sample._sample.Persons < 2)
                    return;
                if (sample._bounded is { } bounded)
                    _bounded[index].Add(bounded, column, coefficient);
                else if (sample._distributions is { } distributions)
                {
                    double[] sums = _drawn[index] ??= new double[options.Resamples], own = distributions[column];
                    for (int resample = 0; resample < sums.Length; resample++)
                        sums[resample] += coefficient * own[resample];
                    _left[index].Add([.. Bootstrap.Jackknife(sample._sample, column).Select(without => coefficient * (without - mean))]);
                }

                _variances[index] += coefficient * coefficient * sample.Variance(column);
            });
        }

        /// <summary>The sum of a column with its interval.</summary>
        /// <param name="index">The column's place among those that are summed.</param>
        public Estimate Estimate(int index)
        {
            double value = _values[index];
            if (_images == 0)
                return Results.Estimate.Undefined;
            if (_hasSinglePerson)
                return new Estimate(_images, value, null);
            if (_isBounded)
                return new Estimate(_images, value, _bounded[index].Interval(value, options.Level));
            if (!_isDrawn)
                return new Estimate(_images, value, Normal(value, _variances[index], options.Level));
            double[][] left = [.. _left[index].Select(part => part.Select(apart => value + apart).ToArray())];
            return new Estimate(_images, value, Bootstrap.Interval(_drawn[index]!, value, left, options.Level, options.Method));
        }
    }

    /// <summary>Adds c times what each person adds to the mean's error, by the person's number; the sum of their squares is <see cref="Variance"/> for c = 1.</summary>
    private void AddInfluences(int column, double coefficient, Dictionary<int, double> influences)
    {
        double mean = _sample.Mean(column), total = 0;
        for (int person = 0; person < _sample.Persons; person++)
            total += _sample.Weights[person];
        double scale = coefficient * Math.Sqrt(_sample.Persons / (_sample.Persons - 1.0)) / total;
        for (int person = 0; person < _sample.Persons; person++)
        {
            double residual = _sample.Row(person)[column] - (mean * _sample.Weights[person]);
            influences[_numbers[person]] = influences.GetValueOrDefault(_numbers[person]) + (scale * residual);
        }
    }

    /// <summary>The mean's variance over persons (the linearised ratio's: with one image a person, the sample variance over n).</summary>
    private double Variance(int column)
    {
        double mean = _sample.Mean(column);
        double squares = 0, total = 0;
        for (int person = 0; person < _sample.Persons; person++)
        {
            double residual = _sample.Row(person)[column] - (mean * _sample.Weights[person]);
            squares += residual * residual;
            total += _sample.Weights[person];
        }

        return squares * _sample.Persons / (_sample.Persons - 1.0) / (total * total);
    }

    private static Interval? Normal(double estimate, double variance, double level)
    {
        double half = MathNet.Numerics.Distributions.Normal.InvCDF(0, 1, (1 + level) / 2) * Math.Sqrt(variance);
        return half > 0 ? new Interval(estimate - half, estimate + half, level, "normal, over persons") : null;
    }
}
