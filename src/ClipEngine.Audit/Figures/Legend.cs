namespace ClipEngine.Audit.Figures;

/// <summary>The keys of figures: colour scales and series.</summary>
internal static class Legend
{
    /// <summary>A colour bar with its ends and middle written below.</summary>
    public static void Scale(SvgDocument svg, double x, double y, double width, HeatScale scale, double maximum, string unit)
    {
        const int steps = 60;
        for (int step = 0; step < steps; step++)
        {
            double share = (step + 0.5) / steps;
            var colour = scale == HeatScale.Amount ? Palette.Amount(share) : Palette.Change((2 * share) - 1);
            svg.Rectangle(x + (step * width / steps), y, (width / steps) + 0.5, 10, Palette.Hex(colour));
        }

        string suffix = unit.Length > 0 ? " " + unit : "";
        string low = scale == HeatScale.Amount ? "0" : "−" + maximum.ToString("0.##");
        string high = (scale == HeatScale.Amount ? "" : "+") + maximum.ToString("0.##") + suffix;
        svg.Text(x, y + 24, low, fontSize: 11, fill: Palette.Muted);
        if (scale == HeatScale.Change)
            svg.Text(x + (width / 2), y + 24, "0", TextAnchor.Middle, 11, Palette.Muted);
        svg.Text(x + width, y + 24, high, TextAnchor.End, 11, Palette.Muted);
    }

    /// <summary>Named swatches in one row or more; returns the height taken.</summary>
    public static double Series(SvgDocument svg, double x, double y, double width, IReadOnlyList<(string Name, string Fill)> series)
    {
        double cursor = x, line = y;
        foreach (var (name, fill) in series)
        {
            double needed = 18 + SvgDocument.TextWidth(name) + 18;
            if (cursor > x && cursor + needed > x + width)
            {
                cursor = x;
                line += 20;
            }

            svg.Rectangle(cursor, line - 10, 12, 12, fill, Palette.Ink);
            svg.Text(cursor + 18, line, name);
            cursor += needed;
        }

        return line - y + 20;
    }

    /// <summary>The height that <see cref="Series"/> will take, for layout.</summary>
    public static double SeriesHeight(double width, IEnumerable<string> names)
    {
        double cursor = 0, height = 20;
        foreach (string name in names)
        {
            double needed = 36 + SvgDocument.TextWidth(name);
            if (cursor > 0 && cursor + needed > width)
            {
                cursor = 0;
                height += 20;
            }

            cursor += needed;
        }

        return height;
    }
}
