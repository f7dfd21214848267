namespace ClipEngine.Audit.Figures;

/// <summary>Points of several series, as narrow as a phone.</summary>
internal sealed record ScatterPlot
{
    /// <summary>More points are thinned out: a drawing of many thousand would be larger than the rest of a page.</summary>
    public const int MostPoints = 1500;

    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<string> Series { get; init; }

    /// <summary>Points with the index of their series.</summary>
    public required IReadOnlyList<(double X, double Y, int Series)> Points { get; init; }

    public required string HorizontalUnit { get; init; }

    public required string VerticalUnit { get; init; }

    public string ToSvg()
    {
        const double margin = 12, width = IntervalRows.Width, left = 48, plot = width - left - margin;
        string[] title = SvgDocument.Wrap(Title, (width - (2 * margin)) * SvgDocument.BoldShare, 14);
        double legend = Series.Count > 1 ? Legend.SeriesHeight(width - (2 * margin), Series.Select(name => SvgDocument.Shorten(name, width - 64, SvgDocument.FontSize))) : 0;
        double top = 38 + (18 * title.Length) + legend, bottom = top + 260;
        var svg = new SvgDocument(width, bottom + 44, Title, Description);
        for (int line = 0; line < title.Length; line++)
            svg.Text(margin, 22 + (18 * line), title[line], fontSize: 14, isBold: true);
        if (Series.Count > 1)
            Legend.Series(svg, margin, 28 + (18 * title.Length), width - (2 * margin), [.. Series.Select((name, index) => (SvgDocument.Shorten(name, width - 64, SvgDocument.FontSize), Palette.Category(index)))]);
        Axis x = Axis.Cover(Points.Select(point => point.X), left, left + plot), y = Axis.Cover(Points.Select(point => point.Y), bottom, top);
        svg.Text(margin, top - 10, SvgDocument.Shorten(VerticalUnit, width - (2 * margin), 11), fontSize: 11, fill: Palette.Muted);
        y.DrawRows(svg, left, left + plot, "0.###");
        double[] ticks = [.. x.Ticks()];
        // Numbers with many digits stand at every other line.
        int step = ticks.Length > 0 && ticks.Max(tick => SvgDocument.TextWidth(tick.ToString("0.###"), 11)) + 6 > plot / ticks.Length ? 2 : 1;
        for (int index = 0; index < ticks.Length; index++)
        {
            svg.Line(x.Position(ticks[index]), top, x.Position(ticks[index]), bottom, Palette.Grid);
            string text = ticks[index].ToString("0.###").Replace('-', '−');
            double half = SvgDocument.TextWidth(text, 11) / 2;
            if (index % step == 0)
                svg.Text(Math.Clamp(x.Position(ticks[index]), half + 1, width - half - 1), bottom + 16, text, TextAnchor.Middle, 11, Palette.Muted);
        }

        svg.Text(left + (plot / 2), bottom + 34, SvgDocument.Shorten(HorizontalUnit, plot, 11), TextAnchor.Middle, 11, Palette.Muted);
        int every = Math.Max(1, (Points.Count + MostPoints - 1) / MostPoints);
        for (int index = 0; index < Points.Count; index += every)
            svg.Circle(x.Position(Points[index].X), y.Position(Points[index].Y), 2.6, Palette.Category(Points[index].Series), null);
        return svg.ToString();
    }
}
