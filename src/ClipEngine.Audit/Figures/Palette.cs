namespace ClipEngine.Audit.Figures;

/// <summary>
/// Colours that survive colour blindness and a grey print. Categories: Okabe and Ito's set. Scales: one hue with falling
/// lightness for amounts, blue to orange through white for changes.
/// </summary>
internal static class Palette
{
    public const string Ink = "#1b1f24";
    public const string Muted = "#57606a";
    public const string Grid = "#d8dee4";
    public const string Undefined = "#eceff2";

    /// <summary>Okabe and Ito (2008), black left out, ordered so that neighbours differ in lightness too.</summary>
    private static readonly string[] Categories = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a800"];

    private static readonly (double At, byte Red, byte Green, byte Blue)[] Amounts =
    [
        (0.00, 247, 251, 255), (0.25, 198, 219, 239), (0.50, 107, 174, 214), (0.75, 33, 113, 181), (1.00, 8, 48, 107),
    ];

    private static readonly (double At, byte Red, byte Green, byte Blue)[] Changes =
    [
        (-1.0, 5, 73, 130), (-0.5, 103, 169, 207), (0.0, 250, 250, 250), (0.5, 244, 165, 80), (1.0, 158, 64, 4),
    ];

    /// <summary>The colour of the n-th category; repeats beyond eight, where a figure must label directly.</summary>
    public static string Category(int index) => Categories[index % Categories.Length];

    /// <summary>A colour for an amount in [0, 1].</summary>
    public static (byte Red, byte Green, byte Blue) Amount(double value) => Interpolate(Amounts, Math.Clamp(value, 0, 1));

    /// <summary>A colour for a change in [-1, 1]; 0 is almost white.</summary>
    public static (byte Red, byte Green, byte Blue) Change(double value) => Interpolate(Changes, Math.Clamp(value, -1, 1));

    public static string Hex((byte Red, byte Green, byte Blue) colour) => $"#{colour.Red:x2}{colour.Green:x2}{colour.Blue:x2}";

    /// <summary>Black or white, whichever can be read on the colour (relative luminance of WCAG 2).</summary>
    public static string InkOn((byte Red, byte Green, byte Blue) colour)
    {
        double luminance = (0.2126 * Linear(colour.Red)) + (0.7152 * Linear(colour.Green)) + (0.0722 * Linear(colour.Blue));
        return luminance > 0.25 ? Ink : "#ffffff";

        static double Linear(byte channel)
        {
            double value = channel / 255.0;
            return value <= 0.04045 ? value / 12.92 : Math.Pow((value + 0.055) / 1.055, 2.4);
        }
    }

    /// <summary>Black or white, whichever can be read on the n-th category's colour.</summary>
    public static string InkOnCategory(int index)
    {
        string colour = Category(index);
        return InkOn((Convert.ToByte(colour[1..3], 16), Convert.ToByte(colour[3..5], 16), Convert.ToByte(colour[5..7], 16)));
    }

    private static (byte Red, byte Green, byte Blue) Interpolate((double At, byte Red, byte Green, byte Blue)[] scale, double value)
    {
        int upper = 1;
        while (upper < scale.Length - 1 && value > scale[upper].At)
            upper++;
        var (low, high) = (scale[upper - 1], scale[upper]);
        double share = (value - low.At) / (high.At - low.At);
        return (Mix(low.Red, high.Red), Mix(low.Green, high.Green), Mix(low.Blue, high.Blue));

        byte Mix(byte from, byte to) => (byte)Math.Round(from + ((to - from) * share));
    }
}
