using System.Diagnostics;

namespace ClipEngine.Cli.Bench;

/// <summary>One line of the table.</summary>
/// <param name="Section">What it belongs to: <c>ceilings</c>, <c>operations</c>, <c>end to end</c> or a tower's stages.</param>
/// <param name="Name">What was measured.</param>
/// <param name="Samples">Seconds of one execution, as often as it was timed; empty for a ceiling.</param>
internal sealed record BenchResult(string Section, string Name, IReadOnlyList<double> Samples)
{
    /// <summary>What was too little time to run, too little memory or not there; the figures are then null.</summary>
    public string? Note { get; init; }

    /// <summary>Operations of one execution, a multiply-add counted as two; null where arithmetic is not the point.</summary>
    public double? Operations { get; init; }

    /// <summary>Operations or bytes a second, of a ceiling.</summary>
    public double? Rate { get; init; }

    /// <summary>Bytes that one execution reads from memory; null where they stay in a cache.</summary>
    public double? Bytes { get; init; }

    /// <summary>How many of <see cref="Unit"/> one execution makes.</summary>
    public double Items { get; init; }

    /// <summary>What is made, in the plural: images.</summary>
    public string? Unit { get; init; }

    /// <summary>The ceiling that this is a share of, in operations or bytes a second, as measured in the same run.</summary>
    public double? Ceiling { get; init; }

    /// <summary>Seconds of one execution, the median.</summary>
    public double? Median => Samples.Count > 0 ? Samples.Order().ElementAt(Samples.Count / 2) : null;

    /// <summary>Operations or bytes a second.</summary>
    public double? PerSecond => Rate ?? (Median is { } median ? (Operations ?? Bytes) / median : null);

    /// <summary>The share of the ceiling, 0 to 1 (a little above where the clock rose meanwhile).</summary>
    public double? Share => PerSecond / Ceiling;

    /// <summary>Whether it is counted in bytes.</summary>
    public bool IsMemory { get; init; }

    /// <summary>Runs an action that says how long it took: once or twice to warm up, then for a while.</summary>
    /// <param name="action">What is timed; its result is the sample.</param>
    /// <param name="seconds">About how long, of the clock on the wall.</param>
    /// <param name="fewest">Samples that are taken at least.</param>
    /// <param name="cancellation">Looked at between samples.</param>
    public static IReadOnlyList<T> Collect<T>(Func<T> action, double seconds, int fewest, CancellationToken cancellation)
    {
        action();
        action();
        var samples = new List<T>();
        long start = Stopwatch.GetTimestamp();
        while (samples.Count < fewest || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            cancellation.ThrowIfCancellationRequested();
            samples.Add(action());
        }

        return samples;
    }

    /// <summary>Times an action: once or twice to warm up, then for a while.</summary>
    /// <param name="action">What is timed.</param>
    /// <param name="seconds">About how long.</param>
    /// <param name="fewest">Samples that are taken at least.</param>
    /// <param name="cancellation">Looked at between samples.</param>
    public static IReadOnlyList<double> Time(Action action, double seconds, int fewest, CancellationToken cancellation)
    {
        const double ShortestSample = 2e-3;
        action();
        long start = Stopwatch.GetTimestamp();
        action();
        double once = Stopwatch.GetElapsedTime(start).TotalSeconds;
        int repeats = Math.Clamp((int)(ShortestSample / Math.Max(once, 1e-7)), 1, 10_000);
        var samples = new List<double>();
        start = Stopwatch.GetTimestamp();
        while (samples.Count < fewest || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            cancellation.ThrowIfCancellationRequested();
            long from = Stopwatch.GetTimestamp();
            for (int i = 0; i < repeats; i++)
                action();
            samples.Add(Stopwatch.GetElapsedTime(from).TotalSeconds / repeats);
        }

        return samples;
    }
}
