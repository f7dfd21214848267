namespace ClipEngine.Audit.Figures;

/// <summary>Shares that add up to one, as bars of the same length: for each group one bar a series.</summary>
internal sealed record StackedRows
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<string> Groups { get; init; }

    public required IReadOnlyList<string> Series { get; init; }

    public required IReadOnlyList<string> Parts { get; init; }

    /// <summary><c>[group, series, part]</c>; NaN is undefined.</summary>
    public required double[] Values { get; init; }

    public string ToSvg()
    {
        const double margin = 12, width = IntervalRows.Width, barHeight = 16;
        string[] title = SvgDocument.Wrap(Title, (width - (2 * margin)) * SvgDocument.BoldShare, 14);
        (string Name, string Fill)[] parts = [.. Parts.Select((part, index) => (part, ""))];
        double name = Math.Min(110, Series.Max(series => SvgDocument.TextWidth(series, 11)) + 8), left = margin + name, plot = width - margin - left;
        double legend = 20 * Parts.Sum(part => SvgDocument.Wrap(part, width - (2 * margin) - 22, SvgDocument.FontSize).Length), top = 16 + (18 * title.Length) + legend;
        double blockHeight = 22 + (Series.Count * (barHeight + 3)) + 8;
        var svg = new SvgDocument(width, top + (Groups.Count * blockHeight) + 30, Title, Description);
        for (int line = 0; line < title.Length; line++)
            svg.Text(margin, 22 + (18 * line), title[line], fontSize: 14, isBold: true);
        double y = 30 + (18 * title.Length);
        for (int part = 0; part < parts.Length; part++)
        {
            parts[part].Fill = part % 2 == 0 ? Palette.Category(part) : svg.Hatch(Palette.Category(part));
            svg.Rectangle(margin, y - 10, 12, 12, parts[part].Fill, Palette.Ink);
            foreach (string line in SvgDocument.Wrap(parts[part].Name, width - (2 * margin) - 22, SvgDocument.FontSize))
            {
                svg.Text(margin + 18, y, line);
                y += 20;
            }
        }

        for (int group = 0; group < Groups.Count; group++)
        {
            double block = top + (group * blockHeight);
            svg.Text(margin, block + 16, SvgDocument.Wrap(Groups[group], width - (2 * margin), SvgDocument.FontSize)[0], isBold: true);
            for (int series = 0; series < Series.Count; series++)
            {
                double bar = block + 22 + (series * (barHeight + 3)), x = left;
                svg.Text(margin, bar + 12, SvgDocument.Shorten(Series[series], name - 4, 11), fontSize: 11, fill: Palette.Muted);
                for (int part = 0; part < Parts.Count; part++)
                {
                    double value = Values[(((group * Series.Count) + series) * Parts.Count) + part];
                    if (!double.IsFinite(value))
                    {
                        svg.Text(left, bar + 12, "undefined", fontSize: 11, fill: Palette.Muted);
                        break;
                    }

                    if (value <= 0)
                        continue;
                    svg.Rectangle(x, bar, value * plot, barHeight, parts[part].Fill, Palette.Ink, $"{Groups[group]}, {Series[series]}, {Parts[part]}: {100 * value:0.0} %");
                    x += value * plot;
                }
            }
        }

        double end = top + (Groups.Count * blockHeight) + 16;
        svg.Text(left, end, "0 %", fontSize: 11, fill: Palette.Muted);
        svg.Text(width - margin, end, "100 % of the group's images", TextAnchor.End, 11, Palette.Muted);
        return svg.ToString();
    }
}
