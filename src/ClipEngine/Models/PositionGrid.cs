using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A vision transformer's positions, resized where the model runs at another image size than it was trained at: as open_clip's
/// <c>resize_pos_embed</c>, which is <c>torch.nn.functional.interpolate(mode="bicubic", antialias=True, align_corners=False)</c>.
/// </summary>
internal static class PositionGrid
{
    private const string Key = "positional_embedding";

    /// <summary>The grid of patches that the checkpoint's positions belong to: the configuration's where their number agrees, else a square, as in open_clip's <c>resize_pos_embed</c>.</summary>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    /// <param name="configured">The configuration's grid.</param>
    /// <returns>The configured one too where the positions are no such grid; reading them then reports it.</returns>
    public static (int Height, int Width) GridOf(WeightReader weights, (int Height, int Width) configured)
    {
        if (weights.DimensionsOf(Key) is not [var rows, _] || rows == (configured.Height * configured.Width) + 1 || rows is < 2 or > int.MaxValue)
            return configured;
        int side = (int)Math.Sqrt(rows - 1);
        return (long)side * side == rows - 1 ? (side, side) : configured;
    }

    /// <summary>Reads <c>positional_embedding [1 + trained grid, width]</c>: the class token's row first.</summary>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    /// <param name="trained">The grid that the checkpoint's positions belong to.</param>
    /// <param name="grid">The grid that the model runs at.</param>
    /// <param name="width">The length of a position.</param>
    /// <param name="patchSize">Pixels of a patch's side, for messages.</param>
    /// <returns><c>[1 + grid, width]</c>.</returns>
    public static Weight Read(WeightReader weights, (int Height, int Width) trained, (int Height, int Width) grid, int width, int patchSize)
    {
        (int Height, int Width) found = GridOf(weights, trained);
        if (found != trained && weights.DimensionsOf(Key) is [_, var columns] && columns == width)
            weights.Advise($"The positions of the weights are those of images of {found.Width * patchSize} pixels: run them at that size with --image-size {found.Width * patchSize}, or at another with that one's number.");
        int tokens = (trained.Height * trained.Width) + 1;
        if (trained == grid)
            return weights.Read(Key, WeightRole.Tokens, tokens, width);
        return weights.Compute($"{Key} at {grid.Height} x {grid.Width}", WeightRole.Tokens, Resized, [(Key, new Shape(tokens, width))], (grid.Height * grid.Width) + 1, width);

        float[] Resized()
        {
            float[] values = weights.ReadValues(Key, tokens, width);
            float[] resized = new float[((grid.Height * grid.Width) + 1) * width];
            values.AsSpan(0, width).CopyTo(resized);
            Resize(values.AsSpan(width), trained, resized.AsSpan(width), grid, width);
            return resized;
        }
    }

    /// <summary>Resizes a map of vectors <c>[from.Height, from.Width, width]</c> into <c>[to.Height, to.Width, width]</c>, columns first, each direction by itself.</summary>
    internal static void Resize(ReadOnlySpan<float> source, (int Height, int Width) from, Span<float> destination, (int Height, int Width) to, int width) =>
        Resize(source, from, destination, to, width, 2, Cubic);

    /// <summary>The same with triangles (<c>mode="bilinear", antialias=True</c>).</summary>
    internal static void ResizeLinear(ReadOnlySpan<float> source, (int Height, int Width) from, Span<float> destination, (int Height, int Width) to, int width) =>
        Resize(source, from, destination, to, width, 1, static x => Math.Max(0, 1 - Math.Abs(x)));

    private static void Resize(ReadOnlySpan<float> source, (int Height, int Width) from, Span<float> destination, (int Height, int Width) to, int width, int reach, Func<double, double> filter)
    {
        float[] narrowed = new float[from.Height * to.Width * width];
        ResizeMiddle(source, from.Height, from.Width, narrowed, to.Width, width, reach, filter);
        ResizeMiddle(narrowed, 1, from.Height, destination, to.Height, to.Width * width, reach, filter);
    }

    /// <summary>Resizes the middle dimension of <c>[outer, from, inner]</c>.</summary>
    private static void ResizeMiddle(ReadOnlySpan<float> source, int outer, int from, Span<float> destination, int to, int inner, int reach, Func<double, double> filter)
    {
        for (int i = 0; i < to; i++)
        {
            (int first, double[] taps) = Taps(from, to, i, reach, filter);
            for (int o = 0; o < outer; o++)
            {
                for (int c = 0; c < inner; c++)
                {
                    double sum = 0;
                    for (int tap = 0; tap < taps.Length; tap++)
                        sum += taps[tap] * source[(((o * from) + first + tap) * inner) + c];
                    destination[(((o * to) + i) * inner) + c] = (float)sum;
                }
            }
        }
    }

    /// <summary>The weights of one output sample: a filter widened by the scale where the map shrinks, cut at the border and normalised.</summary>
    private static (int First, double[] Taps) Taps(int from, int to, int index, int reach, Func<double, double> filter)
    {
        double scale = (double)from / to, stretch = Math.Max(scale, 1), support = reach * stretch;
        double centre = scale * (index + 0.5);
        int first = Math.Max((int)(centre - support + 0.5), 0);
        int end = Math.Min((int)(centre + support + 0.5), from);
        double[] taps = new double[end - first];
        double sum = 0;
        for (int tap = 0; tap < taps.Length; tap++)
            sum += taps[tap] = filter((first + tap - centre + 0.5) / stretch);
        for (int tap = 0; tap < taps.Length; tap++)
            taps[tap] /= sum;
        return (first, taps);
    }

    /// <summary>Keys' cubic with a = -0.5.</summary>
    private static double Cubic(double x)
    {
        const double A = -0.5;
        x = Math.Abs(x);
        if (x < 1)
            return ((((A + 2) * x) - (A + 3)) * x * x) + 1;
        return x < 2 ? A * ((((((x - 5) * x) + 8) * x) - 4)) : 0;
    }
}
