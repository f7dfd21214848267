namespace ClipEngine.Audit.Figures;

/// <summary>One thin row a person, sorted into groups: the softmax or self-similarity matrix of everybody at once.</summary>
internal sealed record PersonHeatmap
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    /// <summary>Group names with their number of consecutive rows, from the top.</summary>
    public required IReadOnlyList<(string Name, int Count)> RowGroups { get; init; }

    /// <summary>Column groups the same way; one column each for labels.</summary>
    public required IReadOnlyList<(string Name, int Count)> ColumnGroups { get; init; }

    /// <summary>Row-major <c>[persons, columns]</c>.</summary>
    public required float[] Values { get; init; }

    /// <summary>The value of the lightest and of the darkest colour.</summary>
    public double Minimum { get; init; }

    public double Maximum { get; init; } = 1;

    public string Unit { get; init; } = "";

    public string ToSvg()
    {
        int rows = RowGroups.Sum(group => group.Count), columns = ColumnGroups.Sum(group => group.Count);
        double left = 24 + RowGroups.Max(group => SvgDocument.TextWidth($"{group.Name} ({group.Count})"));
        double longest = ColumnGroups.Max(group => SvgDocument.TextWidth(group.Name));
        double header = 14 + (0.574 * longest);
        double plotWidth = Math.Max(360, ColumnGroups.Count * 48), plotHeight = Math.Max(16 * RowGroups.Count, Math.Min(rows * 1.1, 640));
        double width = Math.Max(left + plotWidth + Math.Max(16, (0.82 * longest) - 20), 32 + SvgDocument.TextWidth(Title, 14));
        double top = 40 + header;
        var svg = new SvgDocument(width, top + plotHeight + 52, Title, Description);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);

        var rgb = new byte[rows * columns * 3];
        for (int i = 0; i < rows * columns; i++)
        {
            double share = (Values[i] - Minimum) / (Maximum - Minimum);
            (rgb[i * 3], rgb[(i * 3) + 1], rgb[(i * 3) + 2]) = float.IsFinite(Values[i]) ? Palette.Amount(share) : ((byte)236, (byte)239, (byte)242);
        }

        svg.Raster(left, top, plotWidth, plotHeight, rgb, columns, rows);
        double y = top;
        foreach (var (name, count) in RowGroups)
        {
            double bandHeight = plotHeight * count / rows;
            svg.Text(left - 8, y + (bandHeight / 2) + 4, $"{name} ({count})", TextAnchor.End);
            y += bandHeight;
            svg.Line(left - 4, y, left + plotWidth, y, Palette.Ink, 0.8);
        }

        double x = left;
        foreach (var (name, count) in ColumnGroups)
        {
            double bandWidth = plotWidth * count / columns;
            svg.Text(x + (bandWidth * 0.45), top - 6, name, rotation: -35);
            svg.Line(x, top - 3, x, top + plotHeight, Palette.Ink, 0.5);
            x += bandWidth;
        }

        svg.Line(left, top, left + plotWidth, top, Palette.Ink, 0.8);
        svg.Line(left + plotWidth, top, left + plotWidth, top + plotHeight, Palette.Ink, 0.5);
        string unit = Minimum == 0 ? Unit : $"{Unit} (lightest {Minimum:0.##})";
        Legend.Scale(svg, left, top + plotHeight + 12, Math.Min(240, plotWidth), HeatScale.Amount, Maximum, unit);
        return svg.ToString();
    }
}
