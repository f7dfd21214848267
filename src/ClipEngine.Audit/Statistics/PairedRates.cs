using ClipEngine.Audit.Results;
using MathNet.Numerics.Distributions;

namespace ClipEngine.Audit.Statistics;

/// <summary>The interval of a difference of two rates on the same images.</summary>
internal static class PairedRates
{
    /// <summary>
    /// Tango's score interval: the differences that a two-sided score test at the level would not reject. It has a width where no image changed, and
    /// holds its coverage where few did.
    /// </summary>
    /// <param name="gained">Images that only the second gave the label; a fraction where images stand for fewer persons.</param>
    /// <param name="lost">Images that only the first gave it.</param>
    /// <param name="count">All images.</param>
    /// <param name="level">The nominal coverage.</param>
    /// <returns>The interval of (gained − lost)/count.</returns>
    /// <remarks>Tango (1998), Statistics in Medicine 17, 891-908, eq. 3 to 8.</remarks>
    public static Interval Tango(double gained, double lost, double count, double level)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        double z = Normal.InvCDF(0, 1, (1 + level) / 2), difference = (gained - lost) / count;
        return new Interval(End(-1, difference, 1), End(difference, 1, -1), level, "Tango");

        // The score falls as the difference grows: sign 1 looks for where it is +z, below the estimate, sign -1 for where it is -z.
        double End(double low, double high, double sign)
        {
            for (int step = 0; step < 100; step++)
            {
                double middle = 0.5 * (low + high);
                bool isOutside = sign > 0 ? Score(gained, lost, count, middle) > z : Score(gained, lost, count, middle) < -z;
                if (isOutside == sign > 0)
                    low = middle;
                else
                    high = middle;
            }

            return 0.5 * (low + high);
        }
    }

    private static double Score(double gained, double lost, double count, double difference)
    {
        double a = 2 * count, b = -gained - lost + (((2 * count) - gained + lost) * difference), c = -lost * difference * (1 - difference);
        double onlyLost = (Math.Sqrt(Math.Max(0, (b * b) - (4 * a * c))) - b) / (2 * a);
        double variance = count * ((2 * onlyLost) + (difference * (1 - difference)));
        double distance = gained - lost - (count * difference);
        if (variance > 0)
            return distance / Math.Sqrt(variance);
        return distance > 0 ? double.PositiveInfinity : distance < 0 ? double.NegativeInfinity : 0;
    }
}
