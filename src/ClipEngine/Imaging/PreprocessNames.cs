using System.Globalization;

namespace ClipEngine.Imaging;

/// <summary>What options, specs and run records call the choices of <see cref="PreprocessOptions"/>.</summary>
internal static class PreprocessNames
{
    internal static readonly IReadOnlyList<(Resampler Value, string Name)> Resamplers =
        [(Resampler.Pillow13, "pillow-13"), (Resampler.Pillow12, "pillow-12"), (Resampler.Torchvision, "torchvision")];

    internal static readonly IReadOnlyList<(RgbOrder Value, string Name)> RgbOrders = [(RgbOrder.Last, "last"), (RgbOrder.First, "first")];

    internal static readonly IReadOnlyList<(AlphaHandling Value, string Name)> Alphas = [(AlphaHandling.Drop, "drop"), (AlphaHandling.White, "white")];

    /// <summary>pillow-13, pillow-12 or torchvision.</summary>
    public static string NameOf(Resampler resampler) => Find(Resamplers, resampler);

    /// <summary>last or first.</summary>
    public static string NameOf(RgbOrder order) => Find(RgbOrders, order);

    /// <summary>drop or white.</summary>
    public static string NameOf(AlphaHandling alpha) => Find(Alphas, alpha);

    /// <summary>shortest or squash.</summary>
    public static string NameOf(ResizeMode mode) => mode == ResizeMode.Squash ? "squash" : "shortest";

    /// <summary>bicubic or bilinear.</summary>
    public static string NameOf(Interpolation interpolation) => interpolation == Interpolation.Bilinear ? "bilinear" : "bicubic";

    /// <summary>half-even or down.</summary>
    public static string NameOf(CropStart start) => start == CropStart.Down ? "down" : "half-even";

    /// <summary>Every choice in a line, as run records state it: <c>224 x 224, shortest, bicubic, resampler pillow-13, RGB last, alpha drop, crop half-even, normalised in two steps, mean 0.5 0.5 0.5, deviation 0.5 0.5 0.5</c>.</summary>
    /// <param name="options">The preprocessing.</param>
    public static string Describe(PreprocessOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        string crop = options.ResizeMode == ResizeMode.Squash ? "no crop" : $"crop {NameOf(options.CropStart)}";
        string steps = options.Normalization == Normalization.InOneStep ? "one step" : "two steps";
        return $"{options.Width} x {options.Height}, {NameOf(options.ResizeMode)}, {NameOf(options.Interpolation)}, resampler {NameOf(options.Resampler)}, RGB {NameOf(options.RgbOrder)}, "
            + $"alpha {NameOf(options.Alpha)}, {crop}, normalised in {steps}, mean {Numbers(options.Mean)}, deviation {Numbers(options.StandardDeviation)}";
    }

    private static string Numbers(IEnumerable<float> values) => string.Join(' ', values.Select(static value => value.ToString("R", CultureInfo.InvariantCulture)));

    private static string Find<T>(IReadOnlyList<(T Value, string Name)> names, T value) =>
        names.First(entry => EqualityComparer<T>.Default.Equals(entry.Value, value)).Name;
}
