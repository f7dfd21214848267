using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Statistics;

/// <summary>
/// The correlation of two numbers over persons: each person stands in it with the means over its images, so that several images of one face are no
/// several faces. Within groups it is that of the distances from the groups' means (for ranks: of the ranks within each group), so that groups that
/// differ in both numbers make none.
/// </summary>
/// <remarks>
/// Interval: bootstrap over persons, bias-corrected and accelerated, on Fisher's z. Test: permutation of the first number between persons, within groups
/// where the correlation is; where persons weigh differently, of the coefficient over its standard error linearised over persons, since weights that go
/// with the first number would make the plain one reject too often or too rarely. Efron and Tibshirani (1993), chapters 14 and 15; DiCiccio and Romano
/// (2017), Journal of the American Statistical Association 112, 1211-1220.
/// </remarks>
internal sealed class PersonCorrelation
{
    /// <summary>Resamples are at most so many: each sorts all persons anew.</summary>
    public const int MostResamples = 1999;

    /// <summary>Pearson's r has no interval where the spread of one number is that of fewer persons than this: no resample then holds those that were not drawn.</summary>
    public const double FewestPersons = 10;

    private readonly double[] _x;
    private readonly double[] _y;
    private readonly double[] _weights;
    private readonly int[] _strata;
    private readonly int[][] _persons;
    private readonly int _strataCount;

    private PersonCorrelation(double[] x, double[] y, double[] weights, int[] strata, int[][] persons)
    {
        (_x, _y, _weights, _strata, _persons) = (x, y, weights, strata, persons);
        _strataCount = strata.Length == 0 ? 0 : strata.Max() + 1;
    }

    /// <summary>Persons.</summary>
    public int Persons => _persons.Length;

    /// <summary>Takes the means of persons, or of persons in groups.</summary>
    /// <param name="rows">The images that have both numbers.</param>
    /// <param name="personOf">The person of every image.</param>
    /// <param name="stratumOf">The group of every image; null for one correlation over all.</param>
    /// <param name="weighting">Whether a person counts one, or as many as its images.</param>
    /// <param name="x">The first number of every image.</param>
    /// <param name="y">The second.</param>
    /// <param name="own">The images' own weights; null for none. A person counts their mean, or their sum.</param>
    public static PersonCorrelation Of(IEnumerable<int> rows, int[] personOf, int[]? stratumOf, Weighting weighting, Func<int, double> x, Func<int, double> y, double[]? own = null)
    {
        int[][] units = [.. rows.GroupBy(row => (Person: personOf[row], Stratum: stratumOf?[row] ?? 0)).OrderBy(unit => unit.Key).Select(unit => unit.ToArray())];
        int[] strata = Array.ConvertAll(units, unit => stratumOf?[unit[0]] ?? 0);
        int[][] persons = [.. Enumerable.Range(0, units.Length).GroupBy(unit => personOf[units[unit][0]]).Select(person => person.ToArray())];
        double Total(int[] unit) => own is null ? unit.Length : unit.Sum(row => own[row]);
        double Mean(int[] unit, Func<int, double> value) => own is null ? unit.Average(value) : unit.Sum(row => own[row] * value(row)) / Total(unit);
        return new PersonCorrelation(
            Array.ConvertAll(units, unit => Mean(unit, x)), Array.ConvertAll(units, unit => Mean(unit, y)), Array.ConvertAll(units, unit => Total(unit) / (weighting == Weighting.Person ? unit.Length : 1)), strata, persons);
    }

    /// <summary>The correlation alone; null where a number does not vary.</summary>
    /// <param name="isOfRanks">Spearman's in place of Pearson's.</param>
    public double? Value(bool isOfRanks) => Coefficient([.. Enumerable.Range(0, _x.Length)], isOfRanks);

    /// <summary>The correlation with its interval and its test; undefined under three persons or where a number does not vary.</summary>
    /// <param name="isOfRanks">Spearman's in place of Pearson's.</param>
    /// <param name="options">Level, resamples and seed.</param>
    /// <param name="stream">The name of the draws.</param>
    public (Estimate Estimate, TestResult? Test) Estimate(bool isOfRanks, IntervalOptions options, string stream)
    {
        if (Persons < 3 || Value(isOfRanks) is not double value)
            return (new Estimate(Persons, null, null), null);
        return (new Estimate(Persons, value, Interval(value, isOfRanks, options, stream)), TestFamilies.Alone(Permuted(value, isOfRanks, options, stream)));
    }

    private Interval? Interval(double value, bool isOfRanks, IntervalOptions options, string stream)
    {
        if (Persons < 4 || Math.Abs(value) >= 1 || (!isOfRanks && Math.Min(Effective(_x), Effective(_y)) < FewestPersons))
            return null;
        int resamples = Math.Min(options.Resamples, MostResamples);
        var distribution = new double[resamples];
        PersonResampler draws = Bootstrap.Seeded(Persons, options.Seed, stream);
        double z = Fisher(value);
        Parallel.For(0, resamples, () => (new int[Persons], new List<int>(_x.Length)), (resample, _, buffers) =>
        {
            (int[] indices, List<int> units) = buffers;
            draws(resample, indices);
            units.Clear();
            foreach (int person in indices)
                units.AddRange(_persons[person]);
            // A resample in which a number does not vary says nothing.
            distribution[resample] = Coefficient([.. units], isOfRanks) is double drawn ? Fisher(drawn) : z;
            return buffers;
        }, _ => { });
        var left = new double[Persons];
        Parallel.For(0, Persons, person =>
        {
            HashSet<int> own = [.. _persons[person]];
            left[person] = Coefficient([.. Enumerable.Range(0, _x.Length).Where(unit => !own.Contains(unit))], isOfRanks) is double without ? Fisher(without) : z;
        });
        return Bootstrap.Interval(distribution, z, [left], options.Level, options.Method) is { } interval
            ? interval with { Lower = Math.Tanh(interval.Lower), Upper = Math.Tanh(interval.Upper), Method = interval.Method + ", over persons" }
            : null;
    }

    /// <summary>Persons that stand in the same groups change places with their first numbers.</summary>
    private double Permuted(double value, bool isOfRanks, IntervalOptions options, string stream)
    {
        int[] all = [.. Enumerable.Range(0, _x.Length)];
        double[] x = isOfRanks ? Ranks(all, _x) : _x, y = isOfRanks ? Ranks(all, _y) : _y;
        int[][] alike = [.. Enumerable.Range(0, Persons).GroupBy(person => string.Join(' ', _persons[person].Select(unit => _strata[unit]))).Select(group => group.ToArray())];
        var moved = (double[])x.Clone();
        int extreme = 0;
        ulong number = SplitMix64.Stream(stream);
        bool isStudentised = _weights.Any(weight => Math.Abs(weight - _weights[0]) > 1e-12 * _weights[0]);
        double Statistic(double[] values) => isStudentised ? Studentised(all, values, y) : Math.Abs(Pearson(all, values, y) ?? 0);
        double threshold = isStudentised ? Statistic(x) * (1 - 1e-9) : Math.Abs(value) - 1e-12;
        for (int draw = 0; draw < options.Resamples; draw++)
        {
            SplitMix64 generator = SplitMix64.For(options.Seed, number, draw);
            foreach (int[] group in alike)
            {
                for (int last = group.Length - 1; last > 0; last--)
                {
                    int other = generator.Below(last + 1);
                    for (int unit = 0; unit < _persons[group[last]].Length; unit++)
                        (moved[_persons[group[last]][unit]], moved[_persons[group[other]][unit]]) = (moved[_persons[group[other]][unit]], moved[_persons[group[last]][unit]]);
                }
            }

            if (Statistic(moved) >= threshold)
                extreme++;
        }

        return (extreme + 1.0) / (options.Resamples + 1.0);
    }

    private double? Coefficient(int[] units, bool isOfRanks) => isOfRanks ? Pearson(units, Ranks(units, _x), Ranks(units, _y)) : Pearson(units, _x, _y);

    /// <summary>(Σ d²)² / Σ d⁴ of the distances from the strata's means: how many persons make the spread; n/3 for normal values.</summary>
    private double Effective(double[] values)
    {
        double second = 0, fourth = 0;
        foreach (IGrouping<int, int> stratum in Enumerable.Range(0, values.Length).GroupBy(unit => _strata[unit]))
        {
            double mean = stratum.Sum(unit => _weights[unit] * values[unit]) / stratum.Sum(unit => _weights[unit]);
            foreach (int unit in stratum)
            {
                double square = _weights[unit] * (values[unit] - mean) * (values[unit] - mean);
                second += square;
                fourth += square * square;
            }
        }

        return fourth > 0 ? second * second / fourth : 0;
    }

    /// <summary>|r| over its standard error, linearised over persons.</summary>
    private double Studentised(int[] units, double[] x, double[] y)
    {
        var apartX = new double[x.Length];
        var apartY = new double[x.Length];
        if (Pearson(units, x, y, apartX, apartY) is not double value)
            return 0;
        double xx = units.Sum(unit => _weights[unit] * apartX[unit] * apartX[unit]), yy = units.Sum(unit => _weights[unit] * apartY[unit] * apartY[unit]), squares = 0;
        foreach (int[] person in _persons)
        {
            double influence = 0;
            foreach (int unit in person)
                influence += _weights[unit] * ((apartX[unit] * apartY[unit] / Math.Sqrt(xx * yy)) - (0.5 * value * ((apartX[unit] * apartX[unit] / xx) + (apartY[unit] * apartY[unit] / yy))));
            squares += influence * influence;
        }

        return squares > 1e-24 ? Math.Abs(value) / Math.Sqrt(squares) : value == 0 ? 0 : double.PositiveInfinity;
    }

    /// <summary>Weighted correlation of the distances from the strata's means; values by unit, the distances on request.</summary>
    private double? Pearson(int[] units, double[] x, double[] y, double[]? distancesX = null, double[]? distancesY = null)
    {
        Span<double> weight = stackalloc double[_strataCount], meanX = stackalloc double[_strataCount], meanY = stackalloc double[_strataCount];
        foreach (int unit in units)
        {
            int stratum = _strata[unit];
            weight[stratum] += _weights[unit];
            meanX[stratum] += _weights[unit] * x[unit];
            meanY[stratum] += _weights[unit] * y[unit];
        }

        double xx = 0, yy = 0, xy = 0;
        foreach (int unit in units)
        {
            int stratum = _strata[unit];
            double apartX = x[unit] - (meanX[stratum] / weight[stratum]), apartY = y[unit] - (meanY[stratum] / weight[stratum]);
            if (distancesX is not null && distancesY is not null)
                (distancesX[unit], distancesY[unit]) = (apartX, apartY);
            xx += _weights[unit] * apartX * apartX;
            yy += _weights[unit] * apartY * apartY;
            xy += _weights[unit] * apartX * apartY;
        }

        return xx > 1e-24 && yy > 1e-24 ? Math.Clamp(xy / Math.Sqrt(xx * yy), -1, 1) : null;
    }

    /// <summary>Ranks within the strata as shares of their weight, equal values sharing their mean rank; by unit.</summary>
    private double[] Ranks(int[] units, double[] values)
    {
        var ranks = new double[_x.Length];
        int[] order = [.. units];
        var keys = new (int Stratum, double Value)[order.Length];
        for (int index = 0; index < keys.Length; index++)
            keys[index] = (_strata[order[index]], values[order[index]]);
        Array.Sort(keys, order);
        for (int first = 0; first < keys.Length;)
        {
            int end = first;
            double total = 0;
            while (end < keys.Length && keys[end].Stratum == keys[first].Stratum)
                total += _weights[order[end++]];
            double below = 0;
            for (int at = first; at < end;)
            {
                int last = at;
                double equal = 0;
                while (last < end && keys[last].Value == keys[at].Value)
                    equal += _weights[order[last++]];
                for (; at < last; at++)
                    ranks[order[at]] = (below + (0.5 * equal)) / total;
                below += equal;
            }

            first = end;
        }

        return ranks;
    }

    private static double Fisher(double value) => Math.Atanh(Math.Clamp(value, -1 + 1e-12, 1 - 1e-12));
}
