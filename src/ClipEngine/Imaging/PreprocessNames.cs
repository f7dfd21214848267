using System.Collections.Immutable;
using System.Globalization;

namespace ClipEngine.Imaging;

/// <summary>What options, specs and run records call the choices of <see cref="PreprocessOptions"/>.</summary>
internal static class PreprocessNames
{
    internal static Resampler[] Resamplers => [Resampler.Pillow13, Resampler.Pillow12, Resampler.Torchvision];

    internal static RgbOrder[] RgbOrders => [RgbOrder.Last, RgbOrder.First];

    internal static AlphaHandling[] Alphas => [AlphaHandling.Drop, AlphaHandling.White];

    /// <summary>pillow-13, pillow-12 or torchvision.</summary>
    public static string NameOf(Resampler resampler) => resampler switch { Resampler.Pillow12 => "pillow-12", Resampler.Torchvision => "torchvision", _ => "pillow-13" };

    /// <summary>last or first.</summary>
    public static string NameOf(RgbOrder order) => order == RgbOrder.First ? "first" : "last";

    /// <summary>drop or white.</summary>
    public static string NameOf(AlphaHandling alpha) => alpha == AlphaHandling.White ? "white" : "drop";

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

    private static string Numbers(ImmutableArray<float> values)
    {
        string[] texts = new string[values.Length];
        for (int i = 0; i < texts.Length; i++)
            texts[i] = values[i].ToString("R", CultureInfo.InvariantCulture);
        return string.Join(' ', texts);
    }
}
