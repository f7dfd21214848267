using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Quality;

/// <summary>Writes what was measured: JSON, <c>tables/*.csv</c> with unrounded numbers, <c>report.html</c>.</summary>
internal static class QualityReport
{
    public static void Write(QualityResult result, QualityInputs inputs, string directory)
    {
        AtomicFile.Write(Path.Combine(directory, result.Kind + ".json"), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(result, QualityJson.Default.QualityResult)));
        var rates = new ResultTable("rates", "A measure over all images, or a part of them.", "measure", "part", "name", "value", "lower", "upper", "n", "method");
        foreach (QualityRate rate in result.Rates)
            rates.Add(rate.Measure).Add(rate.Part).Add(rate.Name).Add(rate.Rate.Value).Add(rate.Rate.Interval?.Lower).Add(rate.Rate.Interval?.Upper).Add(rate.Rate.Count).Add(rate.Rate.Interval?.Method ?? "").EndRow();
        ReportFolder.WriteTables(directory, [rates, Gaps(result.Gaps)]);
        HtmlWriter page = Begin(result.Kind == "accuracy" ? "Zero-shot accuracy by group" : "Image-text retrieval by group");
        page.BeginSection("rates", "Rates").Table("All, by group and by class", ["Measure", "part", "name", "value", "n"], result.Rates.Select(rate => (IReadOnlyList<string>)[rate.Measure, rate.Part.Length == 0 ? "all" : rate.Part, rate.Name, Cell(rate.Rate), Number(rate.Rate.Count)])).EndSection();
        GapSection(page, result.Gaps);
        End(page, inputs, directory);
    }

    public static void Write(CurationResult result, QualityInputs inputs, string directory)
    {
        AtomicFile.Write(Path.Combine(directory, "curation.json"), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(result, QualityJson.Default.CurationResult)));
        var distributions = new ResultTable("similarity", "The cosines of a group's pairs; an empty group is all pairs.", "group", "pairs", "mean", "q05", "q25", "median", "q75", "q95");
        foreach (CurationDistribution part in result.Distributions)
        {
            distributions.Add(part.Group).Add(part.Pairs).Add(part.Mean);
            foreach (double quantile in part.Quantiles)
                distributions.Add(quantile);
            distributions.EndRow();
        }

        ReportFolder.WriteTables(directory, [distributions, Kept("kept", result.Kept), Kept("curve", result.Curve), Gaps(result.Gaps)]);
        AuditFigure figure = Curve(result);
        ReportFolder.WriteFigures(directory, [figure]);
        HtmlWriter page = Begin("What filtering by similarity keeps of each group");
        page.BeginSection("kept", "Share kept").Table("Pairs whose cosine reaches the threshold", ["Group", "threshold", "share kept", "pairs"], result.Kept.Select(share => (IReadOnlyList<string>)[share.Group.Length == 0 ? "(all)" : share.Group, Number(share.Threshold), Cell(share.Kept), Number(share.Kept.Count)])).Figure(figure).EndSection();
        page.BeginSection("similarity", "Similarity").Table("Cosines of the pairs", ["Group", "pairs", "mean", "5 %", "25 %", "median", "75 %", "95 %"], result.Distributions.Select(part => (IReadOnlyList<string>)[part.Group.Length == 0 ? "(all)" : part.Group, Number(part.Pairs), Number(part.Mean), .. part.Quantiles.Select(quantile => Number(quantile))])).EndSection();
        GapSection(page, result.Gaps);
        End(page, inputs, directory);
    }

    private static ResultTable Kept(string name, IReadOnlyList<CurationShare> shares)
    {
        var table = new ResultTable(name, "The share of pairs that a threshold keeps; an empty group is all pairs.", "threshold", "group", "kept", "lower", "upper", "pairs");
        foreach (CurationShare share in shares)
            table.Add(share.Threshold).Add(share.Group).Add(share.Kept.Value).Add(share.Kept.Interval?.Lower).Add(share.Kept.Interval?.Upper).Add(share.Kept.Count).EndRow();
        return table;
    }

    private static ResultTable Gaps(IReadOnlyList<QualityGap> gaps)
    {
        var table = new ResultTable("gaps", "The first group minus the second.", "measure", "first", "second", "gap", "lower", "upper", "n");
        foreach (QualityGap gap in gaps)
            table.Add(gap.Measure).Add(gap.First).Add(gap.Second).Add(gap.Gap.Value).Add(gap.Gap.Interval?.Lower).Add(gap.Gap.Interval?.Upper).Add(gap.Gap.Count).EndRow();
        return table;
    }

    private static AuditFigure Curve(CurationResult result)
    {
        const double left = 60, top = 70, width = 480, height = 320;
        string[] groups = [.. result.Distributions.Select(part => part.Group)];
        double[] thresholds = [.. result.Curve.Select(share => share.Threshold).Distinct()];
        Axis x = Axis.Cover(thresholds, left, left + width), y = new(0, 1, top + height, top);
        var svg = new SvgDocument(left + width + 24, top + height + 56, "Share of pairs kept", "The share of each group's pairs that a threshold of similarity keeps.");
        svg.Text(16, 24, "Share of pairs kept, by threshold", fontSize: 14, isBold: true);
        Legend.Series(svg, 16, 48, width, [.. groups.Select((group, i) => (group.Length == 0 ? "all" : group, i == 0 ? Palette.Muted : Palette.Category(i - 1)))]);
        foreach (double tick in y.Ticks())
        {
            svg.Line(left, y.Position(tick), left + width, y.Position(tick), Palette.Grid);
            svg.Text(left - 6, y.Position(tick) + 4, Number(tick), TextAnchor.End, 11, Palette.Muted);
        }

        foreach (double tick in x.Ticks())
            svg.Text(x.Position(tick), top + height + 16, Number(tick), TextAnchor.Middle, 11, Palette.Muted);
        for (int group = 0; group < groups.Length; group++)
        {
            CurationShare[] points = [.. result.Curve.Where(share => share.Group == groups[group])];
            for (int i = 1; i < points.Length; i++)
                svg.Line(x.Position(points[i - 1].Threshold), y.Position(points[i - 1].Kept.Value ?? 0), x.Position(points[i].Threshold), y.Position(points[i].Kept.Value ?? 0), group == 0 ? Palette.Muted : Palette.Category(group - 1), 2, group == 0 ? "4 3" : null);
        }

        svg.Text(left + (width / 2), top + height + 40, "threshold (cosine)", TextAnchor.Middle, 12, Palette.Muted);
        return new AuditFigure("kept-curve", FigureSection.Features, "Share of each group's pairs that a threshold keeps; numbers with intervals in tables/curve.csv.", svg.ToString());
    }

    private static HtmlWriter Begin(string title) => HtmlWriter.Page(title).Raw("<header>").Heading(1, title).Raw("</header>").Raw("<main>");

    private static void GapSection(HtmlWriter page, IReadOnlyList<QualityGap> gaps) =>
        page.BeginSection("gaps", "Gaps between groups").Table("The first group minus the second", ["Measure", "first", "second", "gap"], gaps.Select(gap => (IReadOnlyList<string>)[gap.Measure, gap.First, gap.Second, Cell(gap.Gap)])).EndSection();

    private static void End(HtmlWriter page, QualityInputs inputs, string directory)
    {
        page.BeginSection("method", "Method").Paragraph($"Intervals of level {Number(inputs.Level)}: Wilson for shares, Newcombe for gaps, on the effective number of images where a person has several (variance linearised over persons). They are not corrected for how many there are: a gap that was not named beforehand is exploratory. Scores are dot products of features of length 1 in double precision; of equal scores the earlier candidate comes first.")
            .Paragraph($"Images: {Path.GetFileName(inputs.ImageFeatures)}; texts: {Path.GetFileName(inputs.TextFeatures)}; metadata: {Path.GetFileName(inputs.Metadata)}.").EndSection();
        page.Raw("</main>").Raw("</body>").Raw("</html>");
        AtomicFile.WriteAllText(Path.Combine(directory, "report.html"), page.ToString());
    }

    private static string Cell(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : estimate.Interval is { } interval ? $"{Number(value)} ({Number(interval.Lower)} to {Number(interval.Upper)})" : Number(value);

    private static string Number(double value) => value.ToString("0.####", CultureInfo.InvariantCulture).Replace("-", "−", StringComparison.Ordinal);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(QualityResult))]
[JsonSerializable(typeof(CurationResult))]
internal sealed partial class QualityJson : JsonSerializerContext;
