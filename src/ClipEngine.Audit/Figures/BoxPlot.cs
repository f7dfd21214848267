namespace ClipEngine.Audit.Figures;

/// <summary>Box plots: median, quartiles, whiskers to the last value within 1.5 interquartile ranges (Tukey), every value beyond as a point.</summary>
internal sealed record BoxPlot
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<string> Categories { get; init; }

    public required IReadOnlyList<string> Series { get; init; }

    /// <summary><c>[category, series]</c>: the raw values; empty is undefined and drawn as a gap.</summary>
    public required IReadOnlyList<double>[] Values { get; init; }

    public required string Unit { get; init; }

    public double Minimum { get; init; }

    public double Maximum { get; init; } = 1;

    /// <summary>Quantile by linear interpolation between order statistics (numpy's default, Hyndman and Fan's type 7).</summary>
    public static double Quantile(IReadOnlyList<double> sorted, double share)
    {
        double position = share * (sorted.Count - 1);
        int low = (int)Math.Floor(position);
        int high = Math.Min(low + 1, sorted.Count - 1);
        return sorted[low] + ((position - low) * (sorted[high] - sorted[low]));
    }

    public string ToSvg()
    {
        const double left = 60, plotHeight = 260;
        double slot = Math.Max(60, (Series.Count * 24) + 18);
        double width = Math.Max(left + (Categories.Count * slot) + 16, 32 + SvgDocument.TextWidth(Title, 14));
        double longest = Categories.Max(category => SvgDocument.TextWidth(category));
        bool isSlanted = longest > slot - 6;
        double footer = isSlanted ? 18 + (0.574 * longest) : 26;
        double legend = Legend.SeriesHeight(width - 32, Series);
        double top = 46 + legend, bottom = top + plotHeight;
        var svg = new SvgDocument(width, bottom + footer + 8, Title, Description);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);
        Legend.Series(svg, 16, 48, width - 32, Series.Select((name, index) => (name, Palette.Category(index))).ToList());
        var axis = new Axis(Minimum, Maximum, bottom, top);
        axis.DrawRows(svg, left, left + (Categories.Count * slot));
        svg.Text(14, (top + bottom) / 2, Unit, TextAnchor.Middle, 11, Palette.Muted, rotation: -90);
        for (int category = 0; category < Categories.Count; category++)
        {
            double x = left + (category * slot);
            for (int series = 0; series < Series.Count; series++)
            {
                DrawBox(svg, axis, x + 9 + (series * 24), bottom, Values[(category * Series.Count) + series], Palette.Category(series),
                    $"{Categories[category]}, {Series[series]}");
            }

            if (isSlanted)
                svg.Text(x + (slot / 2) + 4, bottom + 14, Categories[category], TextAnchor.End, rotation: -35);
            else
                svg.Text(x + (slot / 2), bottom + 18, Categories[category], TextAnchor.Middle);
        }

        svg.Line(left, bottom, left + (Categories.Count * slot), bottom, Palette.Ink);
        return svg.ToString();
    }

    private static void DrawBox(SvgDocument svg, Axis axis, double x, double bottom, IReadOnlyList<double> values, string fill, string name)
    {
        double[] sorted = values.Where(double.IsFinite).Order().ToArray();
        if (sorted.Length == 0)
        {
            svg.Text(x + 10, bottom - 4, "–", TextAnchor.Middle, fill: Palette.Muted);
            return;
        }

        double lower = Quantile(sorted, 0.25), median = Quantile(sorted, 0.5), upper = Quantile(sorted, 0.75), reach = 1.5 * (upper - lower);
        double lowWhisker = sorted.First(value => value >= lower - reach), highWhisker = sorted.Last(value => value <= upper + reach);
        double centre = x + 10;
        svg.Line(centre, axis.Position(lowWhisker), centre, axis.Position(highWhisker), Palette.Ink);
        svg.Line(centre - 5, axis.Position(lowWhisker), centre + 5, axis.Position(lowWhisker), Palette.Ink);
        svg.Line(centre - 5, axis.Position(highWhisker), centre + 5, axis.Position(highWhisker), Palette.Ink);
        svg.Rectangle(x, axis.Position(upper), 20, Math.Max(1, axis.Position(lower) - axis.Position(upper)), fill, Palette.Ink,
            $"{name}: median {median:0.###}, quartiles {lower:0.###} and {upper:0.###}, n = {sorted.Length}");
        svg.Line(x, axis.Position(median), x + 20, axis.Position(median), Palette.Ink, 2.5);
        foreach (double value in sorted.Where(value => value < lowWhisker || value > highWhisker))
            svg.Circle(centre, axis.Position(value), 1.6, "none", Palette.Muted);
    }
}
