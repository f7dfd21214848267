using ClipEngine.Audit.Results;
using MathNet.Numerics.Distributions;

namespace ClipEngine.Audit.Statistics;

/// <summary>Intervals of shares and of their differences.</summary>
internal static class Proportions
{
    /// <summary>
    /// Wilson's score interval: the shares that a two-sided score test at the level would not reject. Unlike the normal
    /// approximation it stays in [0, 1] and has a width at 0 and at 1.
    /// </summary>
    /// <param name="successes">Images that have it; a fraction where outcomes were averaged over checkpoints.</param>
    /// <param name="count">All images, above zero; an effective number where images depend on each other or carry weights.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <remarks>Wilson (1927), Journal of the American Statistical Association 22.</remarks>
    public static Interval Wilson(double successes, double count, double level)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        double z = Normal.InvCDF(0, 1, (1 + level) / 2);
        double share = successes / count;
        double square = z * z / count;
        double centre = (share + (square / 2)) / (1 + square);
        double half = z * Math.Sqrt((share * (1 - share) / count) + (square / (4 * count))) / (1 + square);
        // At 0 and 1 the ends coincide with the estimate but for rounding, which must not put the estimate outside.
        return new Interval(Math.Clamp(centre - half, 0, share), Math.Clamp(centre + half, share, 1), level, "Wilson");
    }

    /// <summary>Newcombe's hybrid score interval of the difference of two independent shares, the first minus the second: his method 10.</summary>
    /// <remarks>Newcombe (1998), Statistics in Medicine 17, 873-890.</remarks>
    public static Interval Newcombe(double firstSuccesses, double firstCount, double secondSuccesses, double secondCount, double level)
    {
        double first = firstSuccesses / firstCount;
        double second = secondSuccesses / secondCount;
        Interval one = Wilson(firstSuccesses, firstCount, level);
        Interval two = Wilson(secondSuccesses, secondCount, level);
        double difference = first - second;
        double lower = difference - Math.Sqrt(Square(first - one.Lower) + Square(two.Upper - second));
        double upper = difference + Math.Sqrt(Square(one.Upper - first) + Square(second - two.Lower));
        return new Interval(lower, upper, level, "Newcombe");
    }

    /// <summary>Cohen's h: the difference of two shares on the arcsine scale, where equal steps are equally hard to tell apart.</summary>
    public static double CohenH(double first, double second) =>
        (2 * Math.Asin(Math.Sqrt(first))) - (2 * Math.Asin(Math.Sqrt(second)));

    private static double Square(double value) => value * value;
}
