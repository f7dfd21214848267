namespace ClipEngine.Audit.Figures;

/// <summary>One bar: an estimate with its interval, or undefined (NaN), which is drawn as a gap and said in words.</summary>
internal readonly record struct IntervalBar(double Estimate, double Low, double High);

/// <summary>Bars by category and series with intervals, one panel below another.</summary>
internal sealed record IntervalBars
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<string> Panels { get; init; }

    public required IReadOnlyList<string> Categories { get; init; }

    public required IReadOnlyList<string> Series { get; init; }

    /// <summary><c>[panel, category, series]</c>.</summary>
    public required IntervalBar[] Values { get; init; }

    public required string Unit { get; init; }

    /// <summary>The top of the axis; 100 for percentages. NaN fits it to the data.</summary>
    public double Maximum { get; init; } = 100;

    public string ToSvg()
    {
        const double left = 56, panelHeight = 190, gap = 34;
        double slot = Math.Max(46, (Series.Count * 17) + 14);
        double width = Math.Max(left + (Categories.Count * slot) + 16, 32 + SvgDocument.TextWidth(Title, 14));
        double longest = Categories.Max(category => SvgDocument.TextWidth(category));
        bool isSlanted = longest > slot - 6;
        double footer = isSlanted ? 16 + (0.574 * longest) : 22;
        double legend = Legend.SeriesHeight(width - 32, Series);
        double blockHeight = panelHeight + footer + gap;
        double height = 36 + legend + (Panels.Count * blockHeight);
        var svg = new SvgDocument(width, height, Title, Description);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);
        var fills = new string[Series.Count];
        for (int series = 0; series < Series.Count; series++)
            fills[series] = series % 2 == 0 ? Palette.Category(series) : svg.Hatch(Palette.Category(series));
        Legend.Series(svg, 16, 48, width - 32, Series.Select((name, index) => (name, fills[index])).ToList());
        for (int panel = 0; panel < Panels.Count; panel++)
        {
            double top = 36 + legend + (panel * blockHeight) + gap - 8, bottom = top + panelHeight;
            var all = Values.AsSpan(panel * Categories.Count * Series.Count, Categories.Count * Series.Count).ToArray();
            Axis axis = double.IsNaN(Maximum)
                ? Axis.Cover(all.SelectMany(bar => new[] { bar.Low, bar.High, bar.Estimate }), bottom, top, 0)
                : new Axis(0, Maximum, bottom, top);
            svg.Text(left, top - 10, Panels[panel], isBold: true);
            axis.DrawRows(svg, left, left + (Categories.Count * slot));
            svg.Text(14, (top + bottom) / 2, Unit, TextAnchor.Middle, 11, Palette.Muted, rotation: -90);
            for (int category = 0; category < Categories.Count; category++)
            {
                double x = left + (category * slot);
                for (int series = 0; series < Series.Count; series++)
                    DrawBar(svg, axis, x + 7 + (series * 17), bottom, all[(category * Series.Count) + series], fills[series], $"{Panels[panel]}, {Categories[category]}, {Series[series]}");
                if (isSlanted)
                    svg.Text(x + (slot / 2) + 4, bottom + 14, Categories[category], TextAnchor.End, rotation: -35);
                else
                    svg.Text(x + (slot / 2), bottom + 16, Categories[category], TextAnchor.Middle);
            }

            svg.Line(left, bottom, left + (Categories.Count * slot), bottom, Palette.Ink);
        }

        return svg.ToString();
    }

    private static void DrawBar(SvgDocument svg, Axis axis, double x, double bottom, IntervalBar bar, string fill, string name)
    {
        if (!double.IsFinite(bar.Estimate))
        {
            svg.Text(x + 7, bottom - 4, "–", TextAnchor.Middle, fill: Palette.Muted);
            return;
        }

        double y = axis.Position(bar.Estimate);
        svg.Rectangle(x, y, 14, bottom - y, fill, Palette.Ink, $"{name}: {bar.Estimate:0.0} ({bar.Low:0.0} to {bar.High:0.0})");
        if (!double.IsFinite(bar.Low) || !double.IsFinite(bar.High))
            return;
        double low = axis.Position(bar.Low), high = axis.Position(bar.High);
        svg.Line(x + 7, low, x + 7, high, Palette.Ink, 1.5);
        svg.Line(x + 3, low, x + 11, low, Palette.Ink, 1.5);
        svg.Line(x + 3, high, x + 11, high, Palette.Ink, 1.5);
    }
}
