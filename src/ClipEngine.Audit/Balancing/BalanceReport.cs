using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>Writes what balancing did: <c>balance.json</c>, <c>tables/*.csv</c> with unrounded numbers, and <c>report.html</c>.</summary>
internal static class BalanceReport
{
    public static void Write(BalanceRequest request, BalanceResult result, string directory)
    {
        AtomicFile.Write(Path.Combine(directory, "balance.json"), stream =>
            stream.Write(JsonSerializer.SerializeToUtf8Bytes(new BalanceRecord(request, result), BalanceJson.Default.BalanceRecord)));
        ReportFolder.WriteTables(directory, [Representation(result), Association(result), Constraints(result)]);
        AtomicFile.WriteAllText(Path.Combine(directory, "report.html"), Page(request, result));
    }

    private static ResultTable Representation(BalanceResult result)
    {
        var table = new ResultTable("representation", "A sensitive attribute's share before and after.", "attribute", "target", "before", "before_lower", "before_upper", "after", "after_lower", "after_upper", "rows");
        foreach ((RepresentationCell before, RepresentationCell after) in result.Before.Representation.Zip(result.After.Representation))
        {
            table.Add(before.Attribute).Add(before.Target).Add(before.Share.Value).Add(before.Share.Interval?.Lower).Add(before.Share.Interval?.Upper)
                .Add(after.Share.Value).Add(after.Share.Interval?.Lower).Add(after.Share.Interval?.Upper).Add(before.Share.Count).EndRow();
        }

        return table;
    }

    private static ResultTable Association(BalanceResult result)
    {
        var table = new ResultTable("association", "How a label goes with a sensitive attribute, before and after.", "attribute", "label", "before_with", "before_without", "before_gap", "before_lower", "before_upper", "after_gap", "after_lower", "after_upper", "rows");
        foreach ((AssociationCell before, AssociationCell after) in result.Before.Association.Zip(result.After.Association))
        {
            table.Add(before.Attribute).Add(before.Label).Add(before.With.Value).Add(before.Without.Value).Add(before.Gap.Value).Add(before.Gap.Interval?.Lower).Add(before.Gap.Interval?.Upper)
                .Add(after.Gap.Value).Add(after.Gap.Interval?.Lower).Add(after.Gap.Interval?.Upper).Add(before.Gap.Count).EndRow();
        }

        return table;
    }

    private static ResultTable Constraints(BalanceResult result)
    {
        var table = new ResultTable("constraints", "What became of each constraint; the label is empty for the share of the attribute itself.", "attribute", "label", "value", "tolerance", "price", "state");
        foreach (ConstraintResult constraint in result.Constraints)
            table.Add(constraint.Attribute).Add(constraint.Label ?? "").Add(constraint.Value).Add(constraint.Tolerance).Add(constraint.Price).Add(constraint.State).EndRow();
        return table;
    }

    private static string Page(BalanceRequest request, BalanceResult result)
    {
        const string Title = "Balancing report";
        HtmlWriter page = HtmlWriter.Page(Title);
        page.Raw("<header>").Heading(1, Title).Paragraph(result.Verdict, "question").Raw("</header>").Raw("<main>");
        page.BeginSection("summary", "Summary").Table(
            "Bias of the table, without and with the weights", ["", "before", "after"],
            [
                ["Representation bias (largest distance of a share from its target)", Cell(result.Before.RepresentationBias), Cell(result.After.RepresentationBias)],
                ["Association bias (largest gap of a label's share with and without an attribute)", Cell(result.Before.AssociationBias), Cell(result.After.AssociationBias)],
                ["Rows", Number(result.Rows), Number(result.Rows)],
                ["Effective rows", Number(result.Before.EffectiveRows), Number(result.After.EffectiveRows)],
                ["Mean weight", "1", Number(result.Solution.MeanWeight)],
            ]).EndSection();
        page.BeginSection("representation", "Who is there").Table(
            "Share of each sensitive attribute", ["Attribute", "target", "before", "after", "rows with a value"],
            result.Before.Representation.Zip(result.After.Representation, (before, after) => (IReadOnlyList<string>)[before.Attribute, Number(before.Target), Cell(before.Share), Cell(after.Share), Number(before.Share.Count)])).EndSection();
        page.BeginSection("association", "Who goes with what").Table(
            "Share of each label with the attribute minus without it", ["Attribute", "Label", "before", "after"],
            result.Before.Association.Zip(result.After.Association, (before, after) => (IReadOnlyList<string>)[before.Attribute, before.Label, Cell(before.Gap), Cell(after.Gap)])).EndSection();
        page.BeginSection("constraints", "Constraints").Table(
            "What became of each constraint", ["Attribute", "Label", "value", "tolerance", "price", "state"],
            result.Constraints.Select(constraint => (IReadOnlyList<string>)[constraint.Attribute, constraint.Label ?? "(its share)", Number(constraint.Value), Number(constraint.Tolerance), Number(constraint.Price), constraint.State])).EndSection();
        page.BeginSection("method", "Method").Paragraph(
            $"Weights q between 0 and 1 with mean {Number(request.Problem.Rate)} that stay as near to it as the constraints allow: multi-modal moment matching (M4) of \"CLIP the Bias\", " +
            $"with tolerances {Number(request.Problem.AssociationTolerance)} (association) and {Number(request.Problem.RepresentationTolerance)} (representation) and enforcement {Number(request.Problem.Enforcement)}. " +
            "The study names the ingredients; the closed forms are a reconstruction. The dual was solved by an interior point method in " + $"{result.Solution.Passes} passes over {Number(result.DistinctRows)} distinct rows.")
            .Paragraph($"Intervals have level {Number(request.Level)}: Wilson for shares and Newcombe for gaps, on the effective number of rows; those of the two maxima are envelopes of simultaneous intervals (Bonferroni). " +
            "They treat rows as independent draws and the weights as given.")
            .Paragraph("Weights change what a training run sees. They do not show that a model trained with them is less biased, and they can cost accuracy and retrieval: audit the trained model.").EndSection();
        page.Raw("</main>").Raw("</body>").Raw("</html>");
        return page.ToString();
    }

    private static string Cell(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : estimate.Interval is { } interval ? $"{Number(value)} ({Number(interval.Lower)} to {Number(interval.Upper)})" : Number(value);

    private static string Number(double? value) => value is not double number ? "–"
        : Math.Abs(number) >= 1000 ? number.ToString("#,0", CultureInfo.InvariantCulture)
        : number.ToString("0.####", CultureInfo.InvariantCulture).Replace("-", "−", StringComparison.Ordinal);
}

/// <summary>What <c>balance.json</c> holds.</summary>
internal sealed record BalanceRecord(BalanceRequest Request, BalanceResult Result);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(BalanceRecord))]
internal sealed partial class BalanceJson : JsonSerializerContext;
