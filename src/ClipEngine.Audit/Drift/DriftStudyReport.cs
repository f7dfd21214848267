using System.Globalization;
using System.Text.Json;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Drift;

/// <summary>Writes several pairs: <c>study.json</c>, <c>tables/*.csv</c>, <c>figures/*.svg</c> and <c>report.html</c>; each pair's own report lies in a folder of its own.</summary>
internal static class DriftStudyReport
{
    public static void Write(DriftStudyResult study, DriftSpec spec, string directory)
    {
        AtomicFile.Write(Path.Combine(directory, "study.json"), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(study, DriftJson.Default.DriftStudyResult)));
        ReportFolder.WriteTables(directory, [Pairs(study), Levels(study), Differences(study)]);
        AuditFigure[] figures = [.. study.Statistics.Select(entry => entry.Measure).Distinct().Select(measure => Figure(study, measure))];
        ReportFolder.WriteFigures(directory, figures);
        AtomicFile.WriteAllText(Path.Combine(directory, "report.html"), Page(study, spec, figures));
    }

    /// <summary>The folder of a pair's own report, below the study's.</summary>
    public static string FolderOf(string pair) => Runs.ResultDirectory.FileName(pair);

    private static string[] Factors(DriftStudyResult study) => [.. study.Pairs.SelectMany(pair => pair.Factors.Keys).Distinct()];

    private static ResultTable Pairs(DriftStudyResult study)
    {
        string[] factors = Factors(study);
        var table = new ResultTable("pairs", "A number about all concepts of one model before and after.", ["measure", "statistic", "pair", .. factors, "value", "lower", "upper", "concepts"]);
        foreach (PairStatistic entry in study.Statistics)
        {
            IReadOnlyDictionary<string, string> own = study.Pairs.First(pair => pair.Name == entry.Pair).Factors;
            table.Add(entry.Measure).Add(entry.Statistic).Add(entry.Pair);
            foreach (string factor in factors)
                table.Add(own.GetValueOrDefault(factor, ""));
            table.Add(entry.Value.Value).Add(entry.Value.Interval?.Lower).Add(entry.Value.Interval?.Upper).Add(entry.Value.Count).EndRow();
        }

        return table;
    }

    private static ResultTable Levels(DriftStudyResult study)
    {
        var table = new ResultTable("levels", "The mean of a number over the pairs that share a level of a factor.", "measure", "statistic", "factor", "level", "mean", "lower", "upper", "pairs", "of");
        foreach (LevelMean entry in study.Levels)
            table.Add(entry.Measure).Add(entry.Statistic).Add(entry.Factor).Add(entry.Level).Add(entry.Mean.Value).Add(entry.Mean.Interval?.Lower).Add(entry.Mean.Interval?.Upper).Add(entry.Mean.Count).Add(string.Join("; ", entry.Pairs)).EndRow();
        return table;
    }

    private static ResultTable Differences(DriftStudyResult study)
    {
        var table = new ResultTable("level-differences", "Two levels of a factor, the first's mean minus the second's.", "measure", "statistic", "factor", "first", "second", "difference", "lower", "upper", "pairs", "confounded_with");
        foreach (LevelDifference entry in study.Differences)
        {
            table.Add(entry.Measure).Add(entry.Statistic).Add(entry.Factor).Add(entry.First).Add(entry.Second).Add(entry.Difference.Value).Add(entry.Difference.Interval?.Lower).Add(entry.Difference.Interval?.Upper)
                .Add(entry.Difference.Count).Add(string.Join("; ", entry.ConfoundedWith)).EndRow();
        }

        return table;
    }

    /// <summary>How much larger associations became, pair by pair and by level.</summary>
    private static AuditFigure Figure(DriftStudyResult study, string measure)
    {
        string statistic = DriftStudy.Statistics[^1];
        var rows = new List<ForestRow> { Heading("each pair") };
        rows.AddRange(study.Statistics.Where(entry => entry.Measure == measure && entry.Statistic == statistic).Select(entry => Row(entry.Pair, entry.Value)));
        foreach (IGrouping<string, LevelMean> factor in study.Levels.Where(entry => entry.Measure == measure && entry.Statistic == statistic).GroupBy(entry => entry.Factor))
        {
            rows.Add(Heading(factor.Key));
            rows.AddRange(factor.Select(entry => Row($"{entry.Level} ({entry.Pairs.Count})", entry.Mean)));
        }

        return new AuditFigure(FigureSet.Slug(measure, statistic), FigureSection.Features, "How much larger associations became on average over concepts, for each pair and as a mean over the pairs of each level. Filled points: the interval leaves zero out.", new ForestPlot
        {
            Title = $"{measure}: change of the mean size of associations",
            Description = string.Join("; ", rows.Where(row => !row.IsHeading && double.IsFinite(row.Estimate)).Select(row => $"{row.Label} {row.Estimate:+0.0;-0.0;0.0}")) + " hundredths.",
            Rows = rows,
            Unit = "hundredths, with interval",
            LeftCaption = "smaller after",
            RightCaption = "larger after",
        }.ToSvg());

        static ForestRow Heading(string text) => new(text, double.NaN, double.NaN, double.NaN, "", IsClear: false, IsHeading: true);
        static ForestRow Row(string label, Estimate value) => new(
            label, 100 * (value.Value ?? double.NaN), 100 * (value.Interval?.Lower ?? double.NaN), 100 * (value.Interval?.Upper ?? double.NaN), "", value.Interval is { } interval && (interval.Lower > 0 || interval.Upper < 0));
    }

    private static string Page(DriftStudyResult study, DriftSpec spec, AuditFigure[] figures)
    {
        string[] factors = Factors(study);
        HtmlWriter page = HtmlWriter.Page(study.Title);
        page.Raw("<header>").Heading(1, study.Title).Paragraph($"{Wording.Count(study.Pairs.Count, "model")} before and after, as factors: {string.Join(", ", factors)}.", "question").Raw("</header>").Raw("<main>");
        page.BeginSection("pairs", "Models").Table("The pairs; each has a report of its own in its folder", ["pair", "before", "after", .. factors, "folder"],
            study.Pairs.Select(pair => (string[])[pair.Name, pair.Result.Before, pair.Result.After, .. factors.Select(factor => pair.Factors.GetValueOrDefault(factor, "–")), FolderOf(pair.Name)])).EndSection();
        foreach (string measure in study.Statistics.Select(entry => entry.Measure).Distinct())
        {
            page.BeginSection(measure, measure == "features" ? "Image features" : "Zero-shot scores");
            DriftPair[] present = [.. study.Pairs.Where(pair => study.Statistics.Any(entry => entry.Measure == measure && entry.Pair == pair.Name))];
            if (present.Length < study.Pairs.Count)
                page.Paragraph($"Not measured, and in no mean of this section: {string.Join(", ", study.Pairs.Except(present).Select(pair => pair.Name))}. Features of images alone were given for {(study.Pairs.Count - present.Length == 1 ? "it" : "them")}, and zero-shot scores need both models themselves.");
            foreach (AuditFigure figure in figures.Where(figure => figure.Name.StartsWith(measure, StringComparison.Ordinal)))
                page.Figure(figure);
            page.Table("Each pair, over all concepts", ["pair", .. DriftStudy.Statistics],
                present.Select(pair => (string[])[pair.Name, .. DriftStudy.Statistics.Select(statistic => Cell(study.Statistics.First(entry => entry.Measure == measure && entry.Statistic == statistic && entry.Pair == pair.Name).Value))]));
            page.Table("Means over the pairs of each level", ["factor", "level", "pairs", .. DriftStudy.Statistics],
                study.Levels.Where(entry => entry.Measure == measure).GroupBy(entry => (entry.Factor, entry.Level)).Select(level => (string[])[level.Key.Factor, level.Key.Level, level.First().Pairs.Count.ToString(CultureInfo.InvariantCulture), .. level.Select(entry => Cell(entry.Mean))]));
            page.Table("Differences of levels, first minus second", ["factor", "first", "second", "confounded with", .. DriftStudy.Statistics],
                study.Differences.Where(entry => entry.Measure == measure).GroupBy(entry => (entry.Factor, entry.First, entry.Second)).Select(level => (string[])
                    [level.Key.Factor, level.Key.First, level.Key.Second, string.Join(", ", level.First().ConfoundedWith) is { Length: > 0 } others ? others : "nothing declared", .. level.Select(entry => Cell(entry.Difference))]));
            page.EndSection();
        }

        page.BeginSection("method", "Method")
            .Paragraph($"The size of an association is its distance from zero; means are over concepts, and over the pairs of a level, each counting the same. Intervals: percentile bootstrap over persons, {spec.Intervals.Resamples} resamples, level {Number(spec.Intervals.Level)}, seed {spec.Intervals.Seed}; a draw takes the same persons in all models. They are not corrected for how many there are.")
            .Paragraph("Sizes are never below zero, so that noise alone makes them larger; changes of them much less. Models are fixed: an interval says how sure a difference of these models is, not what another model of the same level would show. Where levels differ in other factors too, the difference is not that of the factor alone.")
            .Paragraph("These are building blocks for the questions of \"Variation of Gender Biases in Visual Recognition Models Before and After Finetuning\"; its own formulas were not at hand, so the definitions are a reconstruction, and none of them is that study's score.");
        page.EndSection().Raw("</main>").Raw("</body>").Raw("</html>");
        return page.ToString();
    }

    private static string Cell(Estimate estimate) => estimate.Value is not double value ? "undefined"
        : estimate.Interval is { } interval ? $"{Number(value)} ({Number(interval.Lower)} to {Number(interval.Upper)})" : Number(value);

    private static string Number(double value) => value.ToString("0.####", CultureInfo.InvariantCulture).Replace("-", "−", StringComparison.Ordinal);
}
