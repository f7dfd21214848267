using ClipEngine.Audit.Results;
using MathNet.Numerics.Distributions;

namespace ClipEngine.Audit.Statistics;

/// <summary>Correlation of two numeric columns, with interval.</summary>
internal static class Correlations
{
    /// <summary>Pearson's r; interval by Fisher's z with standard error 1 / sqrt(n - 3).</summary>
    /// <returns>Undefined under two points or where a column is constant; without interval under four points.</returns>
    public static Estimate Pearson(ReadOnlySpan<double> x, ReadOnlySpan<double> y, double level)
    {
        double? r = Coefficient(x, y);
        return Result(r, x.Length, level, 1, "Fisher z");
    }

    /// <summary>Spearman's rho, equal values sharing their mean rank; interval by Fisher's z with Bonett and Wright's variance (1 + rho² / 2) / (n - 3).</summary>
    /// <remarks>Bonett and Wright (2000), Psychometrika 65, 23-28.</remarks>
    public static Estimate Spearman(ReadOnlySpan<double> x, ReadOnlySpan<double> y, double level)
    {
        double? rho = Coefficient(Ranks(x), Ranks(y));
        return Result(rho, x.Length, level, 1 + ((rho ?? 0) * (rho ?? 0) / 2), "Fisher z (Bonett-Wright)");
    }

    private static Estimate Result(double? coefficient, int count, double level, double variance, string method)
    {
        if (coefficient is not double value)
            return new Estimate(count, null, null);
        if (count < 4 || Math.Abs(value) >= 1)
            return new Estimate(count, value, null);
        double half = Normal.InvCDF(0, 1, (1 + level) / 2) * Math.Sqrt(variance / (count - 3));
        double z = Math.Atanh(value);
        return new Estimate(count, value, new Interval(Math.Tanh(z - half), Math.Tanh(z + half), level, method));
    }

    private static double? Coefficient(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        if (x.Length != y.Length)
            throw new ArgumentException($"{x.Length} and {y.Length} values cannot be paired", nameof(y));
        if (x.Length < 2)
            return null;
        double meanX = Mean(x);
        double meanY = Mean(y);
        double xx = 0;
        double yy = 0;
        double xy = 0;
        for (int i = 0; i < x.Length; i++)
        {
            xx += (x[i] - meanX) * (x[i] - meanX);
            yy += (y[i] - meanY) * (y[i] - meanY);
            xy += (x[i] - meanX) * (y[i] - meanY);
        }

        return xx > 0 && yy > 0 ? Math.Clamp(xy / Math.Sqrt(xx * yy), -1, 1) : null;
    }

    private static double Mean(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (double value in values)
            sum += value;
        return sum / values.Length;
    }

    private static double[] Ranks(ReadOnlySpan<double> values)
    {
        double[] keys = values.ToArray();
        int[] order = [.. Enumerable.Range(0, keys.Length)];
        Array.Sort(keys, order);
        var ranks = new double[keys.Length];
        for (int first = 0; first < keys.Length;)
        {
            int last = first;
            while (last + 1 < keys.Length && keys[last + 1] == keys[first])
                last++;
            for (int i = first; i <= last; i++)
                ranks[order[i]] = ((first + last) / 2.0) + 1;
            first = last + 1;
        }

        return ranks;
    }
}
