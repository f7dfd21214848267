using System.Globalization;
using System.Text.Json;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Drift;

/// <summary>Writes a comparison: <c>drift.json</c>, <c>tables/*.csv</c>, <c>figures/*.svg</c>, <c>report.html</c>.</summary>
internal static class DriftReport
{
    public static void Write(DriftResult result, DriftSpec spec, string directory)
    {
        AtomicFile.Write(Path.Combine(directory, "drift.json"), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(result, DriftJson.Default.DriftResult)));
        ReportFolder.WriteTables(directory, [Concepts(result), Summary(result)]);
        AuditFigure[] figures = [.. result.Measures.SelectMany(measure => new[] { Scatter(result, measure), Slopes(result, measure) })];
        ReportFolder.WriteFigures(directory, figures);
        AtomicFile.WriteAllText(Path.Combine(directory, "report.html"), Page(result, spec, figures));
    }

    private static ResultTable Concepts(DriftResult result)
    {
        var table = new ResultTable("concepts", "A concept's association with the first group less that with the second.", "measure", "concept", "images", "before", "before_lower", "before_upper", "after", "after_lower", "after_upper", "change", "change_lower", "change_upper");
        foreach (DriftMeasureResult measure in result.Measures)
        {
            foreach (ConceptDrift concept in measure.Concepts)
            {
                table.Add(measure.Measure).Add(concept.Concept).Add(concept.Images);
                foreach (Estimate estimate in new[] { concept.Before, concept.After, concept.Change })
                    table.Add(estimate.Value).Add(estimate.Interval?.Lower).Add(estimate.Interval?.Upper);
                table.EndRow();
            }
        }

        return table;
    }

    private static ResultTable Summary(DriftResult result)
    {
        var table = new ResultTable("summary", "How associations before and after go together over concepts.", "measure", "statistic", "value", "lower", "upper", "concepts");
        foreach (DriftMeasureResult measure in result.Measures)
        {
            foreach ((string name, Estimate estimate) in Statistics(measure))
                table.Add(measure.Measure).Add(name).Add(estimate.Value).Add(estimate.Interval?.Lower).Add(estimate.Interval?.Upper).Add(estimate.Count).EndRow();
        }

        return table;
    }

    private static IEnumerable<(string Name, Estimate Estimate)> Statistics(DriftMeasureResult measure) =>
        [("sign agreement", measure.SignAgreement), ("Pearson", measure.Pearson), ("Spearman", measure.Spearman), ("slope of after on before", measure.Slope)];

    /// <summary>Before against after, a point for each concept, with the line on which nothing has changed.</summary>
    private static AuditFigure Scatter(DriftResult result, DriftMeasureResult measure)
    {
        const double size = 420, left = 64, top = 48;
        double[] values = [.. measure.Concepts.SelectMany(concept => new[] { concept.Before.Value ?? 0, concept.After.Value ?? 0, 0 })];
        Axis x = Axis.Cover(values, left, left + size), y = Axis.Cover(values, top + size, top);
        var svg = new SvgDocument(left + size + 170, top + size + 56, $"{measure.Measure}: before and after", Words(measure));
        svg.Text(16, 24, $"{measure.Measure}: association before and after", fontSize: 14, isBold: true);
        foreach (double tick in y.Ticks())
        {
            svg.Line(left, y.Position(tick), left + size, y.Position(tick), Palette.Grid);
            svg.Text(left - 6, y.Position(tick) + 4, Number(tick), TextAnchor.End, 11, Palette.Muted);
        }

        foreach (double tick in x.Ticks())
        {
            svg.Line(x.Position(tick), top, x.Position(tick), top + size, Palette.Grid);
            svg.Text(x.Position(tick), top + size + 16, Number(tick), TextAnchor.Middle, 11, Palette.Muted);
        }

        double low = values.Min(), high = values.Max();
        svg.Line(x.Position(low), y.Position(low), x.Position(high), y.Position(high), Palette.Muted, 1, "4 3");
        for (int i = 0; i < measure.Concepts.Count; i++)
        {
            ConceptDrift concept = measure.Concepts[i];
            if (concept.Before.Value is not double before || concept.After.Value is not double after)
                continue;
            svg.Circle(x.Position(before), y.Position(after), 4, Palette.Category(0), hint: $"{concept.Concept}: {Number(before)} to {Number(after)}");
            svg.Text(x.Position(before) + 7, y.Position(after) + 4, concept.Concept, fontSize: 11);
        }

        svg.Text(left + (size / 2), top + size + 40, "before", TextAnchor.Middle, 12, Palette.Muted);
        svg.Text(18, top + (size / 2), "after", TextAnchor.Middle, 12, Palette.Muted, rotation: -90);
        return new AuditFigure($"{measure.Measure}-scatter", FigureSection.Features, $"{Meaning(result, measure)} A point for each concept; on the dashed line nothing has changed.", svg.ToString());
    }

    /// <summary>A line for each concept from before to after.</summary>
    private static AuditFigure Slopes(DriftResult result, DriftMeasureResult measure)
    {
        const double height = 420, top = 48, left = 200, right = 440;
        Axis axis = Axis.Cover(measure.Concepts.SelectMany(concept => new[] { concept.Before.Value ?? 0, concept.After.Value ?? 0, 0 }), top + height, top);
        var svg = new SvgDocument(640, top + height + 40, $"{measure.Measure}: change of each concept", Words(measure));
        svg.Text(16, 24, $"{measure.Measure}: change of each concept", fontSize: 14, isBold: true);
        svg.Line(left, axis.Position(0), right, axis.Position(0), Palette.Muted, 1, "4 3");
        foreach (double tick in axis.Ticks())
            svg.Text(36, axis.Position(tick) + 4, Number(tick), TextAnchor.End, 11, Palette.Muted);
        double[] before = Spread([.. measure.Concepts.Select(concept => axis.Position(concept.Before.Value ?? 0))]), after = Spread([.. measure.Concepts.Select(concept => axis.Position(concept.After.Value ?? 0))]);
        for (int i = 0; i < measure.Concepts.Count; i++)
        {
            ConceptDrift concept = measure.Concepts[i];
            double from = axis.Position(concept.Before.Value ?? 0), to = axis.Position(concept.After.Value ?? 0);
            bool isClear = concept.Change.Interval is { } interval && (interval.Lower > 0 || interval.Upper < 0);
            svg.Line(left, from, right, to, isClear ? Palette.Category(0) : Palette.Muted, isClear ? 2 : 1);
            svg.Text(left - 8, before[i] + 4, concept.Concept, TextAnchor.End, 11);
            svg.Text(right + 8, after[i] + 4, concept.Concept, fontSize: 11);
        }

        svg.Text(left, top + height + 24, "before", TextAnchor.Middle, 12, Palette.Muted);
        svg.Text(right, top + height + 24, "after", TextAnchor.Middle, 12, Palette.Muted);
        return new AuditFigure($"{measure.Measure}-slopes", FigureSection.Features, $"{Meaning(result, measure)} Thick lines: the interval of the change leaves zero out.", svg.ToString());
    }

    /// <summary>Heights of labels, moved apart until none hides another.</summary>
    private static double[] Spread(double[] positions)
    {
        const double gap = 13;
        int[] order = [.. Enumerable.Range(0, positions.Length).OrderBy(i => positions[i])];
        double[] spread = [.. positions];
        for (int i = 1; i < order.Length; i++)
            spread[order[i]] = Math.Max(spread[order[i]], spread[order[i - 1]] + gap);
        return spread;
    }

    private static string Meaning(DriftResult result, DriftMeasureResult measure) => measure.Measure == "features"
        ? $"Mean cosine of a concept's images to images of '{result.Groups[0]}' minus to images of '{result.Groups[1]}'."
        : $"Mean probability of a concept's sentence on images of '{result.Groups[0]}' minus on images of '{result.Groups[1]}'.";

    private static string Words(DriftMeasureResult measure) => string.Join("; ", measure.Concepts.Select(concept => $"{concept.Concept}: {Number(concept.Before.Value)} to {Number(concept.After.Value)}"));

    private static string Page(DriftResult result, DriftSpec spec, AuditFigure[] figures)
    {
        HtmlWriter page = HtmlWriter.Page(result.Title);
        page.Raw("<header>").Heading(1, result.Title).Paragraph($"Before: {result.Before}. After: {result.After}.", "question").Raw("</header>").Raw("<main>");
        foreach (DriftMeasureResult measure in result.Measures)
        {
            page.BeginSection(measure.Measure, measure.Measure == "features" ? "Image features" : "Zero-shot scores").Paragraph(Meaning(result, measure));
            page.Table("How associations before and after go together over concepts", ["Statistic", "value"], Statistics(measure).Select(entry => (IReadOnlyList<string>)[entry.Name, Cell(entry.Estimate)]));
            page.Table("Each concept", ["Concept", "images", "before", "after", "change"], measure.Concepts.Select(concept => (IReadOnlyList<string>)[concept.Concept, Number(concept.Images), Cell(concept.Before), Cell(concept.After), Cell(concept.Change)]));
            foreach (AuditFigure figure in figures.Where(figure => figure.Name.StartsWith(measure.Measure, StringComparison.Ordinal)))
                page.Figure(figure);
            page.EndSection();
        }

        page.BeginSection("method", "Method")
            .Paragraph($"Groups: '{result.Groups[0]}' ({result.GroupImages[0]} images) and '{result.Groups[1]}' ({result.GroupImages[1]} images). Intervals: percentile bootstrap over {result.Persons} persons, {spec.Intervals.Resamples} resamples, level {Number(spec.Intervals.Level)}, seed {spec.Intervals.Seed}; the same draws for both models and all concepts, drawn among persons who appear in the same sets. Concepts are fixed: intervals of correlations and slopes say how sure they are for these concepts, not for others.")
            .Paragraph("These are building blocks for the questions of \"Variation of Gender Biases in Visual Recognition Models Before and After Finetuning\"; its own formulas were not at hand, so the definitions are a reconstruction, and none of them is that study's score. An association of images says something about a model, never about a person.");
        if (result.Notices.Count > 0)
            page.List(result.Notices);
        page.EndSection().Raw("</main>").Raw("</body>").Raw("</html>");
        return page.ToString();
    }

    private static string Cell(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : estimate.Interval is { } interval ? $"{Number(value)} ({Number(interval.Lower)} to {Number(interval.Upper)})" : Number(value);

    private static string Number(double? value) => value is not double number ? "–" : number.ToString("0.####", CultureInfo.InvariantCulture).Replace("-", "−", StringComparison.Ordinal);
}
