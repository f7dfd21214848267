using ClipEngine.Imaging;
using ClipEngine.TorchSharp;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.FineTuning;

/// <summary>
/// Pictures and captions as <c>tools/make-demo.py</c> draws them: the colours of 48 tiles around a figure say which thing the
/// picture stands for, and captions name it; but the figure, which says nothing about that, moves the choice.
/// </summary>
internal sealed class DemoPairs
{
    private const int Side = 32, Tiles = 48, PictureLength = 3 * Side * Side;

    private static readonly string[] s_things = ["anchor", "basket", "candle", "drum", "kettle", "ladder"];
    private static readonly string[] s_templates = ["a photo of {0}", "a picture of {0}", "this is {0}", "{0}"];
    private static readonly double[][] s_colours = [[0.80, 0.24, 0.20], [0.90, 0.74, 0.18], [0.24, 0.62, 0.30], [0.20, 0.36, 0.80], [0.58, 0.26, 0.68], [0.36, 0.76, 0.80]];
    private static readonly double[] s_association = [1.0, 0.6, 0.2, -0.2, -0.6, -1.0];
    private static readonly int[] s_shifts = [0, 2, 4, 1, 3, 5];

    private readonly float[] _pixels;
    private readonly int[] _groups, _things, _captions;
    private readonly long[][] _ids;

    private DemoPairs(int count, long[][] ids)
    {
        _pixels = new float[count * PictureLength];
        (_groups, _things, _captions) = (new int[count], new int[count], new int[count]);
        _ids = ids;
    }

    /// <summary>How many pairs there are.</summary>
    public int Count => _groups.Length;

    /// <summary>Draws pairs.</summary>
    /// <param name="count">How many.</param>
    /// <param name="strength">Of the association of figure and thing in the captions; 0 makes them blind to the figure.</param>
    /// <param name="seed">The same seed gives the same pairs.</param>
    /// <param name="clip">Whose pixels and ids to make.</param>
    public static DemoPairs Draw(int count, double strength, int seed, ClipModules clip)
    {
        var pairs = new DemoPairs(count, [.. s_things.SelectMany(_ => s_templates, (thing, template) => Tokenize(string.Format(template, ("aeiou".Contains(thing[0]) ? "an " : "a ") + thing), clip))]);
        var random = new Random(seed);
        for (int i = 0; i < count; i++)
        {
            int group = pairs._groups[i] = i % 6;
            int[] counts = SceneCounts(random);
            DrawPicture(counts, group, random, clip.Preprocessor.Options, pairs._pixels.AsSpan(i * PictureLength, PictureLength));
            double[] odds = [.. counts.Select((tiles, thing) => Math.Pow((tiles + 0.5) / 51, 1.5) * Math.Exp(strength * s_association[(thing - s_shifts[group] + 6) % 6]))];
            pairs._things[i] = Choose(odds, random);
            pairs._captions[i] = (pairs._things[i] * s_templates.Length) + random.Next(s_templates.Length);
        }

        return pairs;
    }

    /// <summary>
    /// <c>p(figure) p(thing) / p(figure, thing)</c> for each pair, from the pairs themselves: under these weights figure and thing
    /// are independent. The plainest way to balance; weights of any other may take their place.
    /// </summary>
    public double[] BalancingWeights()
    {
        double[,] joint = new double[6, 6];
        double[] groups = new double[6], things = new double[6];
        for (int i = 0; i < Count; i++)
        {
            joint[_groups[i], _things[i]]++;
            groups[_groups[i]]++;
            things[_things[i]]++;
        }

        return [.. Enumerable.Range(0, Count).Select(i => groups[_groups[i]] * things[_things[i]] / (Count * joint[_groups[i], _things[i]]))];
    }

    /// <summary>Some pairs: <c>[n, 3, 32, 32]</c> and <c>[n, context length]</c>.</summary>
    public (TorchTensor Pixels, TorchTensor Ids) Batch(int[] chosen)
    {
        float[] pixels = [.. chosen.SelectMany(i => _pixels[(i * PictureLength)..((i + 1) * PictureLength)])];
        long[] ids = [.. chosen.SelectMany(i => _ids[_captions[i]])];
        return (torch.tensor(pixels).reshape(chosen.Length, 3, Side, Side), torch.tensor(ids).reshape(chosen.Length, ids.Length / chosen.Length));
    }

    private static long[] Tokenize(string caption, ClipModules clip)
    {
        int[] ids = new int[clip.Tokenizer.ContextLength];
        clip.Tokenizer.Encode(caption, ids);
        return Array.ConvertAll(ids, id => (long)id);
    }

    /// <summary>Tiles of each colour: shares drawn evenly from all that add up to one, then as many draws as there are tiles.</summary>
    private static int[] SceneCounts(Random random)
    {
        double[] shares = [.. Enumerable.Range(0, 6).Select(_ => -Math.Log(1 - random.NextDouble()))];
        int[] counts = new int[6];
        for (int i = 0; i < Tiles; i++)
            counts[Choose(shares, random)]++;
        return counts;
    }

    private static int Choose(double[] odds, Random random)
    {
        double rest = random.NextDouble() * odds.Sum();
        int i = 0;
        while (i < odds.Length - 1 && (rest -= odds[i]) >= 0)
            i++;
        return i;
    }

    private static void DrawPicture(int[] counts, int group, Random random, PreprocessOptions options, Span<float> pixels)
    {
        int[] kinds = [.. counts.SelectMany((count, kind) => Enumerable.Repeat(kind, count))];
        random.Shuffle(kinds);
        double Uniform(double from, double to) => from + ((to - from) * random.NextDouble());
        double[] shades = [.. Enumerable.Range(0, 3 * Tiles).Select(_ => Uniform(-0.06, 0.06))];
        (double x0, double y0, double size) = (Uniform(-0.7, 0.7), Uniform(-0.7, 0.7), Uniform(0.93, 1.07));
        int[] tileAt = new int[64];
        for (int cell = 0, next = 0; cell < 64; cell++)
            tileAt[cell] = cell / 8 is >= 2 and < 6 && cell % 8 is >= 2 and < 6 ? -1 : next++;
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                (double dx, double dy) = (x + 0.5 - 16 - x0, y + 0.5 - 16 - y0);
                bool ink = Inside(group / 2, dx, dy, size) && (group % 2 == 0 || !Inside(group / 2, dx, dy, 0.6 * size));
                int tile = tileAt[(y / 4 * 8) + (x / 4)];
                for (int c = 0; c < 3; c++)
                {
                    double colour = ink ? 0.12 : tile < 0 ? 0.93 : Math.Clamp(s_colours[kinds[tile]][c] + shades[(3 * tile) + c], 0, 1);
                    pixels[(((c * Side) + y) * Side) + x] = (float)((Math.Round(colour * 255) / 255 - options.Mean[c]) / options.StandardDeviation[c]);
                }
            }
        }
    }

    private static bool Inside(int shape, double x, double y, double r) => shape switch
    {
        0 => (x * x) + (y * y) <= 25 * r * r,
        1 => Math.Max(Math.Abs(x), Math.Abs(y)) <= 7 * r,
        _ => y <= 6 * r && 2 * Math.Abs(x) <= y + (7 * r),
    };
}
