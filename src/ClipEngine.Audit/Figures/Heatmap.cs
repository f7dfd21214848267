namespace ClipEngine.Audit.Figures;

/// <summary>What a heat map's colours stand for.</summary>
internal enum HeatScale
{
    /// <summary>From nothing to the maximum; one hue.</summary>
    Amount,

    /// <summary>A signed change around zero; two hues.</summary>
    Change,
}

/// <summary>A matrix drawn as coloured cells with their values written in them.</summary>
internal sealed record Heatmap
{
    public required string Title { get; init; }

    /// <summary>The text alternative: what the matrix shows, with its most important numbers.</summary>
    public required string Description { get; init; }

    public required IReadOnlyList<string> Rows { get; init; }

    public required IReadOnlyList<string> Columns { get; init; }

    /// <summary>Row-major <c>[rows, columns]</c>; NaN is drawn as undefined, never as zero.</summary>
    public required double[] Values { get; init; }

    public HeatScale Scale { get; init; } = HeatScale.Amount;

    /// <summary>The value of the darkest colour.</summary>
    public required double Maximum { get; init; }

    /// <summary>How values are written, e.g. <c>0.0</c>.</summary>
    public string Format { get; init; } = "0.0";

    /// <summary>What the rows and the columns are, e.g. <c>self-reported group</c>.</summary>
    public string RowCaption { get; init; } = "";

    public string ColumnCaption { get; init; } = "";

    /// <summary>The unit in the legend.</summary>
    public string Unit { get; init; } = "";

    public string ToSvg()
    {
        const double cellWidth = 62, cellHeight = 30, top = 44;
        double left = 16 + Rows.Max(row => SvgDocument.TextWidth(row)) + (RowCaption.Length > 0 ? 20 : 0);
        // Column names stand at 35 degrees: they need height in proportion to their length.
        double header = 14 + (0.574 * Columns.Max(column => SvgDocument.TextWidth(column)));
        double overhang = 0.82 * Columns.Max(column => SvgDocument.TextWidth(column));
        double captionHeight = ColumnCaption.Length > 0 ? 18 : 0;
        double width = Math.Max(left + (Columns.Count * cellWidth) + Math.Max(16, overhang - (cellWidth / 2)), 32 + SvgDocument.TextWidth(Title, 14));
        double gridTop = top + header + captionHeight;
        double height = gridTop + (Rows.Count * cellHeight) + 52;
        var svg = new SvgDocument(width, height, Title, Description);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);
        if (ColumnCaption.Length > 0)
            svg.Text(left, top + 8, ColumnCaption, fill: Palette.Muted, fontSize: 11);
        if (RowCaption.Length > 0)
            svg.Text(14, gridTop + (Rows.Count * cellHeight / 2), RowCaption, TextAnchor.Middle, 11, Palette.Muted, rotation: -90);
        for (int column = 0; column < Columns.Count; column++)
            svg.Text(left + ((column + 0.4) * cellWidth), gridTop - 6, Columns[column], rotation: -35);
        for (int row = 0; row < Rows.Count; row++)
        {
            double y = gridTop + (row * cellHeight);
            svg.Text(left - 8, y + (cellHeight / 2) + 4, Rows[row], TextAnchor.End);
            for (int column = 0; column < Columns.Count; column++)
            {
                double value = Values[(row * Columns.Count) + column];
                double x = left + (column * cellWidth);
                if (!double.IsFinite(value))
                {
                    svg.Rectangle(x, y, cellWidth - 1, cellHeight - 1, Palette.Undefined, hint: $"{Rows[row]}, {Columns[column]}: undefined");
                    svg.Text(x + ((cellWidth - 1) / 2), y + (cellHeight / 2) + 4, "–", TextAnchor.Middle, fill: Palette.Muted);
                    continue;
                }

                var colour = Colour(value);
                svg.Rectangle(x, y, cellWidth - 1, cellHeight - 1, Palette.Hex(colour), hint: $"{Rows[row]}, {Columns[column]}: {Write(value)} {Unit}".TrimEnd());
                svg.Text(x + ((cellWidth - 1) / 2), y + (cellHeight / 2) + 4, Write(value), TextAnchor.Middle, fill: Palette.InkOn(colour));
            }
        }

        Legend.Scale(svg, left, height - 40, Math.Min(240, Math.Max(120, width - left - 16)), Scale, Maximum, Unit);
        return svg.ToString();
    }

    private (byte Red, byte Green, byte Blue) Colour(double value) =>
        Scale == HeatScale.Amount ? Palette.Amount(value / Maximum) : Palette.Change(value / Maximum);

    private string Write(double value)
    {
        string text = value.ToString(Format);
        // A rounded zero has no sign.
        if (text.StartsWith('-') && text.AsSpan(1).IndexOfAnyExcept('0', '.') < 0)
            text = text[1..];
        return Scale == HeatScale.Change && value > 0 && text.AsSpan().IndexOfAnyExcept('0', '.') >= 0 ? "+" + text : text.Replace('-', '−');
    }
}
