using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;
using MathNet.Numerics;

namespace ClipEngine.Audit.Statistics;

/// <summary>Arms compared over training runs: what another training run would give, where there are enough runs to say it.</summary>
internal static class RunTests
{
    /// <summary>Up to this many ways to share the runs out between the arms all are tried; beyond, they are drawn.</summary>
    private const double MostExact = 100_000;

    /// <summary>
    /// The arms' means over runs. Where the runs can be shared out between the arms in enough ways for the exact permutation test to reach the level
    /// (4 and 4, 3 and 5), their difference carries Welch's interval and that test; with fewer, neither could say anything.
    /// </summary>
    /// <param name="first">A rate for each run of the first arm.</param>
    /// <param name="second">A rate for each run of the second.</param>
    /// <param name="options">Level, and draws where there are too many ways.</param>
    /// <remarks>Welch (1947), Biometrika 34, 28-35; the exact test: Fisher (1935), The Design of Experiments, section 21.</remarks>
    public static RunAverages Compare(double[] first, double[] second, IntervalOptions options)
    {
        double difference = second.Average() - first.Average();
        int runs = first.Length + second.Length;
        double ways = Math.Round(SpecialFunctions.Binomial(runs, first.Length));
        bool isEnough = Math.Min(first.Length, second.Length) > 1 && (first.Length == second.Length ? 2 : 1) / ways <= 1 - options.Level;
        if (!isEnough)
            return new RunAverages(first, second, new Estimate(runs, difference, null), null);
        double[] all = [.. first, .. second];
        double p = ways <= MostExact ? Exact(all, first.Length, Math.Abs(difference)) : Drawn(all, first.Length, Math.Abs(difference), options);
        return new RunAverages(first, second, new Estimate(runs, difference, Welch(first, second, difference, options.Level)), TestFamilies.Alone(p));
    }

    private static Interval? Welch(double[] first, double[] second, double difference, double level)
    {
        double one = Variance(first) / first.Length, two = Variance(second) / second.Length, sum = one + two;
        if (sum <= 0)
            return null;
        double freedom = sum * sum / ((one * one / (first.Length - 1)) + (two * two / (second.Length - 1)));
        double half = StudentQuantile.TwoSided(freedom, level) * Math.Sqrt(sum);
        return new Interval(difference - half, difference + half, level, "Welch, over runs");
    }

    private static double Variance(double[] values)
    {
        double mean = values.Average();
        return values.Sum(value => (value - mean) * (value - mean)) / (values.Length - 1);
    }

    private static double Exact(double[] all, int size, double observed)
    {
        int ways = 0, extreme = 0;
        Choose(0, 0, 0);
        return (double)extreme / ways;

        void Choose(int next, int chosen, double sum)
        {
            if (chosen == size)
            {
                ways++;
                extreme += IsExtreme(all, size, sum, observed) ? 1 : 0;
                return;
            }

            if (all.Length - next < size - chosen)
                return;
            Choose(next + 1, chosen + 1, sum + all[next]);
            Choose(next + 1, chosen, sum);
        }
    }

    private static double Drawn(double[] all, int size, double observed, IntervalOptions options)
    {
        int extreme = 0;
        ulong stream = SplitMix64.Stream("runs");
        double[] shuffled = [.. all];
        for (int draw = 0; draw < options.Resamples; draw++)
        {
            SplitMix64 generator = SplitMix64.For(options.Seed, stream, draw);
            double sum = 0;
            for (int index = 0; index < size; index++)
            {
                int other = index + generator.Below(shuffled.Length - index);
                (shuffled[index], shuffled[other]) = (shuffled[other], shuffled[index]);
                sum += shuffled[index];
            }

            extreme += IsExtreme(all, size, sum, observed) ? 1 : 0;
        }

        return (extreme + 1.0) / (options.Resamples + 1.0);
    }

    private static bool IsExtreme(double[] all, int size, double sum, double observed) =>
        Math.Abs((sum / size) - ((all.Sum() - sum) / (all.Length - size))) >= observed - 1e-12;
}
