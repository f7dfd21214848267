namespace ClipEngine.Audit.Figures;

/// <summary>A row of estimates: a name, its value in words, and where its point and its line lie; or a heading, where <paramref name="Estimate"/> is NaN and there is no value.</summary>
internal readonly record struct IntervalRow(string Label, string Value, double Estimate, double Low, double High, bool IsFilled = true, double Tick = double.NaN)
{
    /// <summary>A heading.</summary>
    public static IntervalRow Heading(string label) => new(label, "", double.NaN, double.NaN, double.NaN);

    public bool IsHeading => Value.Length == 0;
}

/// <summary>Estimates with their lines, one below the other, the name and the value above each: as narrow as a phone, however long the names are.</summary>
internal sealed record IntervalRows
{
    /// <summary>What the page of a phone of 400 px leaves, in a part that is opened and beside a bar to scroll.</summary>
    public const double Width = 320;

    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<IntervalRow> Rows { get; init; }

    public required string Unit { get; init; }

    /// <summary>Whether a line marks zero, and the axis reaches to both sides of it.</summary>
    public bool HasZeroLine { get; init; }

    /// <summary>The least that the axis ends at.</summary>
    public double Minimum { get; init; } = double.NaN;

    /// <summary>The least that the axis reaches to.</summary>
    public double Maximum { get; init; } = double.NaN;

    public string ToSvg()
    {
        const double margin = 12, rowHeight = 34, headingHeight = 30;
        string[] title = SvgDocument.Wrap(Title, (Width - (2 * margin)) * SvgDocument.BoldShare, 14);
        double top = 12 + (18 * title.Length), bottom = top + Rows.Sum(row => row.IsHeading ? headingHeight * Lines(row).Length * 0.8 : rowHeight + (16 * (Lines(row).Length - 1))) + 8;
        var svg = new SvgDocument(Width, bottom + 44, Title, Description);
        for (int line = 0; line < title.Length; line++)
            svg.Text(margin, 22 + (18 * line), title[line], fontSize: 14, isBold: true);
        Axis axis = Axis.Cover(Rows.Where(row => !row.IsHeading).SelectMany(row => new[] { row.Estimate, row.Low, row.High }), margin + 8, Width - margin - 8, HasZeroLine ? 0 : Minimum, HasZeroLine ? 0 : Maximum);
        foreach (double tick in axis.Ticks())
        {
            bool isZero = HasZeroLine && Math.Abs(tick) < 1e-9;
            svg.Line(axis.Position(tick), top, axis.Position(tick), bottom, isZero ? Palette.Ink : Palette.Grid, isZero ? 1.5 : 1);
            svg.Text(Math.Clamp(axis.Position(tick), 20, Width - 20), bottom + 14, (HasZeroLine && tick > 1e-9 ? "+" : "") + tick.ToString("0.##").Replace('-', '−'), TextAnchor.Middle, 11, Palette.Muted);
        }

        string[] unit = SvgDocument.Wrap(Unit, Width - (2 * margin), 11);
        svg.Text(Width / 2, bottom + 32, unit[0], TextAnchor.Middle, 11, Palette.Muted);
        double y = top;
        foreach (IntervalRow row in Rows)
        {
            string[] lines = Lines(row);
            if (row.IsHeading)
            {
                for (int line = 0; line < lines.Length; line++)
                    svg.Text(margin, y + 20 + (16 * line), lines[line], isBold: true, background: true);
                y += headingHeight * lines.Length * 0.8;
                continue;
            }

            for (int line = 0; line < lines.Length; line++)
                svg.Text(margin, y + 14 + (16 * line), lines[line], background: true);
            svg.Text(Width - margin, y + 14, row.Value, TextAnchor.End, 11, Palette.Muted, background: true);
            double centre = y + 24 + (16 * (lines.Length - 1));
            if (double.IsFinite(row.Estimate))
            {
                if (double.IsFinite(row.Low) && double.IsFinite(row.High))
                    svg.Line(axis.Position(row.Low), centre, axis.Position(row.High), centre, Palette.Category(0), 3);
                if (double.IsFinite(row.Tick))
                    svg.Line(axis.Position(row.Tick), centre - 6, axis.Position(row.Tick), centre + 6, Palette.Ink, 2);
                svg.Circle(axis.Position(row.Estimate), centre, 4.5, row.IsFilled ? Palette.Category(0) : "#fff", Palette.Category(0), $"{row.Label}: {row.Value}");
            }

            y += rowHeight + (16 * (lines.Length - 1));
        }

        return svg.ToString();
    }

    private static string[] Lines(IntervalRow row) =>
        SvgDocument.Wrap(row.Label, row.IsHeading ? (Width - 24) * SvgDocument.BoldShare : Width - 32 - SvgDocument.TextWidth(row.Value, 11), SvgDocument.FontSize);
}
