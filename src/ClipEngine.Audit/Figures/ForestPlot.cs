namespace ClipEngine.Audit.Figures;

/// <summary>One row of a forest plot: an effect with its interval, its point filled where <paramref name="IsClear"/>; or a heading, where <paramref name="Estimate"/> is NaN.</summary>
internal readonly record struct ForestRow(string Label, double Estimate, double Low, double High, string Note, bool IsClear, bool IsHeading = false);

/// <summary>Effects with intervals around a line of no effect.</summary>
internal sealed record ForestPlot
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<ForestRow> Rows { get; init; }

    public required string Unit { get; init; }

    /// <summary>What lies left and right of no effect.</summary>
    public required string LeftCaption { get; init; }

    public required string RightCaption { get; init; }

    public string ToSvg()
    {
        const double rowHeight = 24, plotWidth = 360;
        // Room for the caption on the left of zero too, which may be where the axis begins.
        double left = Math.Max(32 + Rows.Max(row => SvgDocument.TextWidth(row.Label) + (row.IsHeading ? 0 : 12)), 24 + SvgDocument.TextWidth("← " + LeftCaption, 11));
        double notes = 16 + Rows.Max(row => SvgDocument.TextWidth(Value(row)) + (row.Note.Length > 0 ? SvgDocument.TextWidth(row.Note, 11) + 14 : 0));
        double width = Math.Max(left + plotWidth + notes + 16, 32 + SvgDocument.TextWidth(Title, 14));
        double top = 66, bottom = top + (Rows.Count * rowHeight);
        var svg = new SvgDocument(width, bottom + 50, Title, Description);
        var axis = Axis.Cover(Rows.Where(row => !row.IsHeading).SelectMany(row => new[] { row.Estimate, row.Low, row.High }), left, left + plotWidth, 0, 0);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);
        svg.Text(axis.Position(0) - 8, 50, "← " + LeftCaption, TextAnchor.End, 11, Palette.Muted);
        svg.Text(axis.Position(0) + 8, 50, RightCaption + " →", TextAnchor.Start, 11, Palette.Muted);
        foreach (double tick in axis.Ticks())
        {
            svg.Line(axis.Position(tick), top - 6, axis.Position(tick), bottom, tick == 0 ? Palette.Ink : Palette.Grid, tick == 0 ? 1.2 : 1);
            svg.Text(axis.Position(tick), bottom + 16, (tick > 0 ? "+" : "") + tick.ToString("0.##").Replace('-', '−'), TextAnchor.Middle, 11, Palette.Muted);
        }

        svg.Text(left + (plotWidth / 2), bottom + 36, Unit, TextAnchor.Middle, 11, Palette.Muted);
        for (int index = 0; index < Rows.Count; index++)
        {
            ForestRow row = Rows[index];
            double y = top + (index * rowHeight) + (rowHeight / 2);
            svg.Text(row.IsHeading ? 16 : 28, y + 4, row.Label, isBold: row.IsHeading);
            if (row.IsHeading)
                continue;
            string value = Value(row);
            if (double.IsFinite(row.Estimate))
            {
                if (double.IsFinite(row.Low) && double.IsFinite(row.High))
                    svg.Line(axis.Position(row.Low), y, axis.Position(row.High), y, Palette.Category(0), 2.5);
                svg.Circle(axis.Position(row.Estimate), y, 4.5, row.IsClear ? Palette.Category(0) : "#fff", Palette.Category(0), $"{row.Label}: {value}");
            }

            svg.Text(left + plotWidth + 16, y + 4, value);
            if (row.Note.Length > 0)
                svg.Text(left + plotWidth + 30 + SvgDocument.TextWidth(value), y + 4, row.Note, fontSize: 11, fill: Palette.Muted);
        }

        return svg.ToString();
    }

    private static string Value(ForestRow row)
    {
        if (row.IsHeading)
            return "";
        if (!double.IsFinite(row.Estimate))
            return "undefined";
        return double.IsFinite(row.Low) && double.IsFinite(row.High)
            ? $"{Signed(row.Estimate)} ({Signed(row.Low)} to {Signed(row.High)})"
            : Signed(row.Estimate);
    }

    private static string Signed(double value) => (value > 0 ? "+" : "") + value.ToString("0.0").Replace('-', '−');
}
