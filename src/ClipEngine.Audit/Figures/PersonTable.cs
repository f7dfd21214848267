namespace ClipEngine.Audit.Figures;

/// <summary>Which label each person was given by each model: one row a person, by file name, never by face.</summary>
internal sealed record PersonTable
{
    public required string Title { get; init; }

    public required string Description { get; init; }

    public required IReadOnlyList<string> Persons { get; init; }

    public required IReadOnlyList<string> Models { get; init; }

    public required IReadOnlyList<string> Labels { get; init; }

    /// <summary><c>[persons, models]</c>: the index of the label, or -1 where the model has no score for the person.</summary>
    public required int[] Choices { get; init; }

    public string ToSvg()
    {
        const double cellWidth = 34, rowHeight = 16;
        double left = 24 + Persons.Max(person => SvgDocument.TextWidth(person, 11));
        double longest = Models.Max(model => SvgDocument.TextWidth(model, 11));
        double legendWidth = Math.Max(480, left + (Models.Count * cellWidth));
        var keys = Labels.Select((label, index) => $"{index + 1} {label}").ToList();
        double legend = Legend.SeriesHeight(legendWidth, keys);
        double top = 44 + legend + (0.574 * longest) + 10;
        double width = Math.Max(legendWidth + 32, Math.Max(left + (Models.Count * cellWidth) + (0.82 * longest), 32 + SvgDocument.TextWidth(Title, 14)));
        var svg = new SvgDocument(width, top + (Persons.Count * rowHeight) + 16, Title, Description);
        svg.Text(16, 24, Title, fontSize: 14, isBold: true);
        Legend.Series(svg, 16, 48, legendWidth, keys.Select((key, index) => (key, Palette.Category(index))).ToList());
        for (int model = 0; model < Models.Count; model++)
            svg.Text(left + ((model + 0.45) * cellWidth), top - 6, Models[model], fontSize: 11, rotation: -35);
        for (int person = 0; person < Persons.Count; person++)
        {
            double y = top + (person * rowHeight);
            svg.Text(left - 8, y + 12, Persons[person], TextAnchor.End, 11);
            for (int model = 0; model < Models.Count; model++)
            {
                int choice = Choices[(person * Models.Count) + model];
                string fill = choice < 0 ? Palette.Undefined : Palette.Category(choice);
                svg.Rectangle(left + (model * cellWidth), y, cellWidth - 1, rowHeight - 1, fill,
                    hint: $"{Persons[person]}, {Models[model]}: {(choice < 0 ? "no score" : Labels[choice])}");
                // The number repeats the colour for those who cannot tell colours apart and for a grey print.
                if (choice >= 0)
                    svg.Text(left + (model * cellWidth) + ((cellWidth - 1) / 2), y + 12, (choice + 1).ToString(), TextAnchor.Middle, 10, Palette.InkOnCategory(choice));
            }
        }

        return svg.ToString();
    }
}
