using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>Figures of declared comparisons: bars of both arms, change heat maps, and a forest plot of the effect.</summary>
internal static class ComparisonFigures
{
    public static IEnumerable<AuditFigure> Make(AuditResult result)
    {
        string[] groups = result.Probe.Groups.Select(group => group.Key).ToArray();
        foreach (var label in result.Comparisons.Where(IsHeadline).GroupBy(comparison => (comparison.Experiment, comparison.Label)))
        {
            yield return Forest(label.Key.Experiment, label.Key.Label, [.. label], groups);
            yield return Bars(label.Key.Experiment, label.Key.Label, [.. label], groups);
        }

        foreach (IGrouping<string, ChangeComparison> family in result.ChangeComparisons.GroupBy(entry => entry.Family))
            yield return Changes(family.Key, [.. family]);

        foreach (var named in result.Comparisons.GroupBy(comparison => (comparison.Name, comparison.Experiment)))
            yield return Change(named.Key.Name, result.Experiments.FirstOrDefault(experiment => experiment.Key == named.Key.Experiment), named.Key.Experiment, [.. named], groups);
    }

    /// <summary>Differences of differences of one family around the line of equal changes.</summary>
    private static AuditFigure Changes(string family, ChangeComparison[] entries)
    {
        var rows = new List<ForestRow>();
        bool isOne = entries.DistinctBy(entry => entry.Comparison).Count() == 1;
        foreach (var named in entries.GroupBy(entry => (entry.Comparison, entry.Label)))
        {
            rows.Add(new ForestRow(isOne ? $"'{named.Key.Label}'" : $"{named.Key.Comparison}: '{named.Key.Label}'", double.NaN, double.NaN, double.NaN, "", IsClear: false, IsHeading: true));
            foreach (ChangeComparison entry in named)
            {
                IntervalBar bar = FigureSet.Bar(entry.RateDifference);
                string note = entry.RateTest is { } test ? (test.Holm < 0.001 ? "p < 0.001" : $"p = {test.Holm:0.000}") + " (Holm)" : "";
                bool isClear = entry.RateTest is { } made && made.Holm < 1 - (entry.RateDifference.Interval?.Level ?? 0.95);
                rows.Add(new ForestRow($"{entry.First} minus {entry.Second} (n = {entry.RateDifference.Count})", bar.Estimate, bar.Low, bar.High, note, isClear));
            }
        }

        return AuditFigure.Of(FigureKinds.Changes, [family], FigureSection.Comparisons,
            $"How much more one group changed than another between the arms{(isOne ? $" of {entries[0].Comparison}" : "")}, family of tests '{family}': at zero both changed alike. Filled points: the test stands after Holm's correction within its family; intervals are not corrected.",
            new ForestPlot
            {
                Title = $"Differences of differences: {family}",
                Description = string.Join("; ", rows.Where(row => !row.IsHeading && double.IsFinite(row.Estimate)).Select(row => $"{row.Label} {row.Estimate:+0.0;-0.0;0.0}")) + " points.",
                Rows = rows,
                Unit = "difference of changes in percentage points, with interval",
                LeftCaption = "the group gained less",
                RightCaption = "gained more",
            }.ToSvg());
    }

    /// <summary>What was declared primary; where nothing could be tested (published tables without faces), everything that was asked for.</summary>
    private static bool IsHeadline(ArmComparison comparison) => comparison.Kind == "scaling" && (comparison.RateTest is null || comparison.RateTest.IsPrimary);

    /// <summary>The corrected test decides; where no test could be made, the interval.</summary>
    private static bool IsClear(ArmComparison comparison) => comparison.RateTest is { } test
        ? test.Holm < 1 - (comparison.RateDifference.Interval?.Level ?? 0.95)
        : comparison.RateDifference.Interval is { } interval && (interval.Lower > 0 || interval.Upper < 0);

    private static AuditFigure Forest(string experiment, string label, ArmComparison[] comparisons, string[] groups)
    {
        var rows = new List<ForestRow>();
        foreach (var named in comparisons.GroupBy(comparison => comparison.Name))
        {
            rows.Add(new ForestRow(named.Key, double.NaN, double.NaN, double.NaN, "", IsClear: false, IsHeading: true));
            foreach (ArmComparison comparison in named.OrderBy(comparison => (uint)Array.IndexOf(groups, comparison.Group)))
            {
                IntervalBar bar = FigureSet.Bar(comparison.RateDifference);
                string note = comparison.RateTest is { } test ? (test.Holm < 0.001 ? "p < 0.001" : $"p = {test.Holm:0.000}") + " (Holm)" : "";
                rows.Add(new ForestRow($"{comparison.Group} (n = {comparison.RateDifference.Count})", bar.Estimate, bar.Low, bar.High, note, IsClear(comparison)));
            }
        }

        string words = $"{rows.Count(row => row.IsClear)} of {rows.Count(row => !row.IsHeading)} differences stand after correction. " +
            string.Join("; ", rows.Where(row => !row.IsHeading && double.IsFinite(row.Estimate)).Select(row => $"{row.Label} {row.Estimate:+0.0;-0.0;0.0}")) + " points.";
        return AuditFigure.Of(FigureKinds.Forest, [experiment, label], FigureSection.Comparisons,
            $"Scaling effect on '{label}': difference of the share of images given this label, {comparisons[0].Second.Name} minus {comparisons[0].First.Name}, the same images in both. Filled points: the test stands after Holm's correction within its family; intervals are not corrected.",
            new ForestPlot
            {
                Title = $"Scaling effect on '{label}'",
                Description = words,
                Rows = rows,
                Unit = "difference in percentage points, with interval",
                LeftCaption = "less often in the second arm",
                RightCaption = "more often",
            }.ToSvg());
    }

    private static AuditFigure Bars(string experiment, string label, ArmComparison[] comparisons, string[] groups)
    {
        string[] panels = comparisons.Select(comparison => comparison.Name).Distinct(StringComparer.Ordinal).ToArray();
        string first = comparisons[0].First.Name, second = comparisons[0].Second.Name;
        var values = new List<IntervalBar>();
        foreach (string panel in panels)
        {
            foreach (string group in groups)
            {
                ArmComparison? comparison = comparisons.FirstOrDefault(entry => entry.Name == panel && entry.Group == group);
                values.Add(FigureSet.Bar(comparison?.FirstRate));
                values.Add(FigureSet.Bar(comparison?.SecondRate));
            }
        }

        string words = string.Join("; ", comparisons.Select(comparison =>
            $"{comparison.Name}, {comparison.Group}: {FigureSet.Bar(comparison.FirstRate).Estimate:0.0} to {FigureSet.Bar(comparison.SecondRate).Estimate:0.0} %")).Replace("NaN", "undefined", StringComparison.Ordinal);
        return AuditFigure.Of(FigureKinds.Arms, [experiment, label], FigureSection.Comparisons,
            $"Share of images given the label '{label}', by group, in both arms of each comparison, with intervals.",
            new IntervalBars
            {
                Title = $"'{label}': {first} and {second}",
                Description = words,
                Panels = panels,
                Categories = groups,
                Series = [first, second],
                Values = [.. values],
                Unit = "% of images",
            }.ToSvg());
    }

    private static AuditFigure Change(string name, ExperimentResult? described, string experiment, ArmComparison[] comparisons, string[] groups)
    {
        string[] labels = comparisons.Select(comparison => comparison.Label).Distinct(StringComparer.Ordinal).ToArray();
        var values = new double[groups.Length * labels.Length];
        Array.Fill(values, double.NaN);
        foreach (ArmComparison comparison in comparisons)
        {
            int row = Array.IndexOf(groups, comparison.Group);
            if (row >= 0 && comparison.RateDifference.Value is { } difference)
                values[(row * labels.Length) + Array.IndexOf(labels, comparison.Label)] = difference * 100;
        }

        double largest = values.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty(1).Max();
        string confounder = comparisons[0].ConfoundedWith;
        string warning = confounder.Length > 0 ? $" Confounded with {confounder}." : "";
        return AuditFigure.Of(FigureKinds.Change, [name, experiment], FigureSection.Comparisons,
            $"{described?.Title ?? experiment}, {name}: change of the share of images given each label, in percentage points, {comparisons[0].Second.Name} minus {comparisons[0].First.Name}.{warning}",
            new Heatmap
            {
                Title = $"{name}: change in percentage points",
                Description = FigureSet.Largest(groups, labels, values, "points"),
                Rows = groups,
                Columns = labels,
                Values = values,
                Scale = HeatScale.Change,
                Maximum = Math.Max(1, Math.Ceiling(largest / 10) * 10),
                RowCaption = "group",
                Unit = "points",
            }.ToSvg());
    }
}
