namespace ClipEngine.Audit.Figures;

/// <summary>Maps values to pixels along one direction and knows where its ticks lie.</summary>
/// <param name="Minimum">The value at <paramref name="From"/>.</param>
/// <param name="Maximum">The value at <paramref name="To"/>.</param>
/// <param name="From">Pixel of the minimum.</param>
/// <param name="To">Pixel of the maximum; may be smaller, as on a vertical axis.</param>
internal readonly record struct Axis(double Minimum, double Maximum, double From, double To)
{
    /// <summary>The pixel of a value; values outside are held at the edge.</summary>
    public double Position(double value) =>
        From + ((To - From) * Math.Clamp((value - Minimum) / (Maximum - Minimum), 0, 1));

    /// <summary>An axis that covers all values with round ends.</summary>
    public static Axis Cover(IEnumerable<double> values, double from, double to, double atLeastMinimum = double.NaN, double atLeastMaximum = double.NaN)
    {
        double minimum = double.IsNaN(atLeastMinimum) ? double.PositiveInfinity : atLeastMinimum;
        double maximum = double.IsNaN(atLeastMaximum) ? double.NegativeInfinity : atLeastMaximum;
        foreach (double value in values.Where(double.IsFinite))
        {
            minimum = Math.Min(minimum, value);
            maximum = Math.Max(maximum, value);
        }

        if (!double.IsFinite(minimum) || !double.IsFinite(maximum))
            (minimum, maximum) = (0, 1);
        if (maximum - minimum < 1e-12)
            (minimum, maximum) = (minimum - 0.5, maximum + 0.5);
        double step = Step(maximum - minimum);
        return new Axis(Math.Floor((minimum / step) + 1e-9) * step, Math.Ceiling((maximum / step) - 1e-9) * step, from, to);
    }

    /// <summary>Round values inside the axis, five or so.</summary>
    public IEnumerable<double> Ticks()
    {
        double step = Step(Maximum - Minimum);
        long first = (long)Math.Ceiling((Minimum / step) - 1e-9);
        long last = (long)Math.Floor((Maximum / step) + 1e-9);
        for (long tick = first; tick <= last; tick++)
            yield return tick * step;
    }

    /// <summary>Draws the ticks of a vertical axis: a line across the plot, and the number left of it.</summary>
    /// <param name="svg">The figure.</param>
    /// <param name="left">Where the plot begins.</param>
    /// <param name="right">Where it ends.</param>
    /// <param name="format">Of the numbers.</param>
    public void DrawRows(SvgDocument svg, double left, double right, string format = "0.##")
    {
        foreach (double tick in Ticks())
        {
            double y = Position(tick);
            svg.Line(left, y, right, y, Palette.Grid);
            svg.Text(left - 6, y + 4, tick.ToString(format), TextAnchor.End, 11, Palette.Muted);
        }
    }

    private static double Step(double range)
    {
        double magnitude = Math.Pow(10, Math.Floor(Math.Log10(range / 5)));
        double ratio = range / 5 / magnitude;
        return magnitude * (ratio switch { < 1.5 => 1, < 3.5 => 2, < 7.5 => 5, _ => 10 });
    }
}
