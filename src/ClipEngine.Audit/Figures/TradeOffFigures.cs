using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>Bias against accuracy and against retrieval, a point for each model.</summary>
internal static class TradeOffFigures
{
    public static IEnumerable<AuditFigure> Make(AuditResult result)
    {
        (string Name, Func<ModelBias, Estimate?> Of)[] qualities =
        [
            ("zero-shot top-1 accuracy", bias => Rate(bias.Accuracy, "top-1")),
            ("recall@1, image to text", bias => Rate(bias.Retrieval, "image to text, recall@1")),
            ("recall@1, text to image", bias => Rate(bias.Retrieval, "text to image, recall@1")),
        ];
        foreach ((string bias, string meaning, Func<ModelBias, Estimate?> biasOf) in Biases(result))
        {
            foreach ((string quality, Func<ModelBias, Estimate?> qualityOf) in qualities)
            {
                (string Model, Estimate Bias, Estimate Quality)[] points = [.. result.Bias.Where(model => biasOf(model)?.Value is not null && qualityOf(model)?.Value is not null).Select(model => (model.Model, biasOf(model)!, qualityOf(model)!))];
                if (points.Length > 0)
                    yield return Draw(bias, meaning, quality, points);
            }
        }
    }

    private static IEnumerable<(string Name, string Meaning, Func<ModelBias, Estimate?> Of)> Biases(AuditResult result)
    {
        if (result.Bias.FirstOrDefault(bias => bias.Representation is not null)?.Representation is { } representation)
        {
            yield return ($"'{representation.First}' preferred", $"the share of images of nobody in particular for which '{representation.First}' is preferred over '{representation.Second}'; one half is no preference",
                bias => bias.Representation?.Preferred.Overall);
        }

        foreach (AssociationBias entry in (result.Bias.FirstOrDefault(bias => bias.Association.Count > 0)?.Association ?? []).Where(static entry => entry.Overall is not null))
        {
            string between = entry.Summaries is [var two] ? $"{two.FirstGroup} and {two.SecondGroup}" : $"groups of {entry.Attribute}";
            yield return ($"mean gap of {between}", $"the mean size of the gaps between {between} over the pairs of words{(entry.Summaries.Count > 1 ? " and every two groups" : "")}",
                bias => bias.Association.FirstOrDefault(own => own.Attribute == entry.Attribute)?.Overall?.MeanGap);
        }
    }

    private static Estimate? Rate(QualityResult? result, string measure) => result?.Rates.FirstOrDefault(rate => rate.Measure == measure && rate.Part.Length == 0)?.Rate;

    private static AuditFigure Draw(string bias, string meaning, string quality, (string Model, Estimate Bias, Estimate Quality)[] points)
    {
        const double size = 380, left = 64, top = 48;
        static IEnumerable<double> Ends(Estimate estimate) => [100 * estimate.Value!.Value, 100 * (estimate.Interval?.Lower ?? estimate.Value.Value), 100 * (estimate.Interval?.Upper ?? estimate.Value.Value)];
        Axis x = Axis.Cover(points.SelectMany(point => Ends(point.Quality)), left, left + size), y = Axis.Cover(points.SelectMany(point => Ends(point.Bias)), top + size, top);
        string words = string.Join("; ", points.Select(point => $"{point.Model}: {quality} {100 * point.Quality.Value:0.0} %, {bias} {100 * point.Bias.Value:0.0} %"));
        var svg = new SvgDocument(left + size + 200, top + size + 56, $"{bias} against {quality}", words);
        svg.Text(16, 24, $"{bias} (%) against {quality} (%)", fontSize: 14, isBold: true);
        y.DrawRows(svg, left, left + size);
        foreach (double tick in x.Ticks())
        {
            svg.Line(x.Position(tick), top, x.Position(tick), top + size, Palette.Grid);
            svg.Text(x.Position(tick), top + size + 16, $"{tick:0.##}", TextAnchor.Middle, 11, Palette.Muted);
        }

        for (int i = 0; i < points.Length; i++)
        {
            (string model, Estimate own, Estimate reached) = points[i];
            double px = x.Position(100 * reached.Value!.Value), py = y.Position(100 * own.Value!.Value);
            if (reached.Interval is { } across)
                svg.Line(x.Position(100 * across.Lower), py, x.Position(100 * across.Upper), py, Palette.Category(i), 1.5);
            if (own.Interval is { } along)
                svg.Line(px, y.Position(100 * along.Lower), px, y.Position(100 * along.Upper), Palette.Category(i), 1.5);
            svg.Circle(px, py, 4, Palette.Category(i), hint: $"{model}: {100 * reached.Value:0.0} %, {100 * own.Value:0.0} %");
            svg.Text(px + 7, py - 6, model, fontSize: 11);
        }

        svg.Text(left + (size / 2), top + size + 40, $"{quality} (%)", TextAnchor.Middle, 12, Palette.Muted);
        svg.Text(18, top + (size / 2), $"{bias} (%)", TextAnchor.Middle, 12, Palette.Muted, rotation: -90);
        return AuditFigure.Of(FigureKinds.Bias, [bias, quality], FigureSection.Bias, $"Bias against quality: {meaning}, against {quality}. Lines are both intervals.", svg.ToString());
    }
}
