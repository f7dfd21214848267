using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>
/// Figures that a phone shows whole: rates of one model by group with intervals, gaps against the reference group, labels of both arms stacked,
/// ranges over wordings, and scatters of correlations. Beyond <see cref="GroupMetricFrame.MostGroupsInPairs"/> groups the tables stand alone.
/// </summary>
internal static class GroupFigures
{
    public static IEnumerable<AuditFigure> Make(AuditResult result)
    {
        bool isShown = result.Probe.Groups.Count is > 1 and <= GroupMetricFrame.MostGroupsInPairs;
        foreach (ExperimentResult experiment in result.Experiments.Where(experiment => isShown && !experiment.NamesGroups))
        {
            foreach (ModelExperimentResult model in experiment.Models)
            {
                yield return Rates(result, experiment, model);
                if (Gaps(result, experiment, model) is { } gaps)
                    yield return gaps;
            }
        }

        foreach (var named in result.Comparisons.Where(_ => isShown).GroupBy(comparison => (comparison.Name, comparison.Experiment)))
        {
            if (result.Experiments.FirstOrDefault(experiment => experiment.Key == named.Key.Experiment) is { } experiment)
                yield return Stacked(result, experiment, [.. named]);
        }

        foreach (var statements in result.Sensitivity.GroupBy(statement => statement.Model))
            yield return Wordings(statements.Key, [.. statements]);
        foreach (AttributeCorrelation correlation in result.Correlations.Where(entry => entry.Group.Length == 0))
        {
            if (Scatter(result, correlation) is { } scatter)
                yield return scatter;
        }
    }

    private static AuditFigure Rates(AuditResult result, ExperimentResult experiment, ModelExperimentResult model)
    {
        var rows = new List<IntervalRow>();
        GroupMetricFrame[] frames = [.. model.ArgmaxFrequency.Concat(model.MergedArgmaxFrequency).Where(frame => frame.Groups.Any(group => group.Estimate.Value > 0))];
        string[] never = [.. model.ArgmaxFrequency.Where(frame => !frames.Contains(frame)).Select(frame => $"'{frame.Subject}'")];
        foreach (GroupMetricFrame frame in frames)
        {
            rows.Add(IntervalRow.Heading($"'{frame.Subject}'"));
            rows.AddRange(frame.Groups.Select(group => Row(result.Probe.Groups.First(entry => entry.Key == group.Group).Key + $" (n = {group.Estimate.Count})", group.Estimate, isSigned: false)));
        }

        return AuditFigure.Of(FigureKinds.GroupRates, [experiment.Key, model.Model], FigureSection.Choices,
            $"{experiment.Title}, {model.Model}: share of each group's images given each label, with intervals.{(never.Length > 0 ? $" Chosen for nobody: {string.Join(", ", never)}." : "")}",
            new IntervalRows
            {
                Title = $"{model.Model}: label given, by group",
                Description = Words(rows),
                Rows = rows,
                Unit = "% of the group's images, with interval",
                Minimum = 0,
                Maximum = 0,
            }.ToSvg()) with
        { Experiment = experiment.Key, Model = model.Model };
    }

    /// <summary>Each group minus the reference group, label by label.</summary>
    private static AuditFigure? Gaps(AuditResult result, ExperimentResult experiment, ModelExperimentResult model)
    {
        if (result.Probe.ReferenceGroup is not { } reference)
            return null;
        var rows = new List<IntervalRow>();
        foreach (GroupMetricFrame frame in model.ArgmaxFrequency.Concat(model.MergedArgmaxFrequency).Where(frame => frame.Groups.Any(group => group.Estimate.Value > 0)))
        {
            rows.Add(IntervalRow.Heading($"'{frame.Subject}'"));
            foreach (GroupGap gap in frame.Gaps.Where(gap => gap.First == reference || gap.Second == reference))
            {
                Estimate difference = gap.Second == reference ? gap.Difference : Turned(gap.Difference);
                bool isClear = difference.Interval is { } interval && (interval.Lower > 0 || interval.Upper < 0);
                rows.Add(Row(gap.Second == reference ? gap.First : gap.Second, difference, isSigned: true) with { IsFilled = isClear });
            }
        }

        return rows.All(row => row.IsHeading) ? null : AuditFigure.Of(FigureKinds.Gaps, [experiment.Key, model.Model], FigureSection.Choices,
            $"{experiment.Title}, {model.Model}: how much more often each group is given a label than the reference group {Wording.Group(result, reference)}, with intervals. Filled points: the interval leaves zero out; intervals are not corrected for how many there are.",
            new IntervalRows
            {
                Title = $"{model.Model}: each group minus {reference}",
                Description = Words(rows),
                Rows = rows,
                Unit = "difference in percentage points, with interval",
                HasZeroLine = true,
            }.ToSvg()) with
        { Experiment = experiment.Key, Model = model.Model };
    }

    private static AuditFigure Stacked(AuditResult result, ExperimentResult experiment, ArmComparison[] comparisons)
    {
        string[] groups = [.. result.Probe.Groups.Select(group => group.Key)], labels = [.. experiment.Labels.Select(label => label.Text)], arms = [comparisons[0].First.Name, comparisons[0].Second.Name];
        double[] values = [.. groups.SelectMany(group => new[] { true, false }.SelectMany(isFirst => labels.Select(label =>
        {
            ArmComparison? own = comparisons.FirstOrDefault(entry => entry.Group == group && entry.Label == label);
            return (isFirst ? own?.FirstRate.Value : own?.SecondRate.Value) ?? double.NaN;
        })))];
        return AuditFigure.Of(FigureKinds.Stacked, [comparisons[0].Name, experiment.Key], FigureSection.Comparisons,
            $"{experiment.Title}, {comparisons[0].Name}: all labels of each group, {arms[0]} above {arms[1]}: what one label gained, another lost. Intervals stand in the table.",
            new StackedRows
            {
                Title = $"{comparisons[0].Name}: labels by group and arm",
                Description = string.Join("; ", groups.SelectMany((group, index) => arms.Select((arm, series) =>
                {
                    double[] own = values[(((index * 2) + series) * labels.Length)..(((index * 2) + series + 1) * labels.Length)];
                    return double.IsNaN(own[0]) ? $"{group}, {arm}: undefined" : $"{group}, {arm}: most often '{labels[Array.IndexOf(own, own.Max())]}', {100 * own.Max():0.0} %";
                }))) + ".",
                Groups = groups,
                Series = arms,
                Parts = labels,
                Values = values,
            }.ToSvg());
    }

    private static AuditFigure Wordings(string model, SensitivityStatement[] statements)
    {
        var rows = new List<IntervalRow>();
        foreach (IGrouping<string, SensitivityStatement> label in statements.GroupBy(statement => statement.Label))
        {
            rows.Add(IntervalRow.Heading($"'{label.Key}'"));
            rows.AddRange(label.Select(statement => statement is { Lowest: double low, Highest: double high, Median: double median, Published.Value: double own }
                ? new IntervalRow(statement.Group, $"{100 * own:0.0} %; {100 * low:0.0} to {100 * high:0.0} %", 100 * own, 100 * low, 100 * high, IsFilled: true, Tick: 100 * median)
                : new IntervalRow(statement.Group, "undefined", double.NaN, double.NaN, double.NaN)));
        }

        return AuditFigure.Of(FigureKinds.Wordings, [model], FigureSection.Wordings,
            $"{model}: rate with the spec's own wording (point), and from the lowest to the highest over the grid of wordings (line) with their median (stroke). The lines are no confidence intervals.",
            new IntervalRows
            {
                Title = $"{model}: what wording does",
                Description = Words(rows),
                Rows = rows,
                Unit = "% of the group's images",
                Minimum = 0,
                Maximum = 0,
            }.ToSvg()) with
        { Model = model };
    }

    private static AuditFigure? Scatter(AuditResult result, AttributeCorrelation correlation)
    {
        ExperimentResult? experiment = result.Experiments.FirstOrDefault(entry => entry.Key == correlation.Experiment);
        if (!result.NumericColumns.TryGetValue(correlation.Attribute, out IReadOnlyList<double?>? column) || experiment?.Models.FirstOrDefault(entry => entry.Model == correlation.Model)?.Probabilities is not { } scores)
            return null;
        int[] columns = experiment.MergedLabels.FirstOrDefault(merged => merged.Name == correlation.Label) is { } merged
            ? [.. merged.Labels.Distinct().Select(label => Index(experiment, label))] : [Index(experiment, correlation.Label)];
        string[] groups = [.. result.Probe.Groups.Select(group => group.Key)];
        bool isByGroup = groups.Length is > 1 and <= 8;
        var points = new List<(double X, double Y, int Series)>();
        foreach (var person in Enumerable.Range(0, column.Count).Where(row => column[row] is not null).GroupBy(row => result.Probe.Images[row].Person))
            points.Add((person.Average(row => column[row]!.Value), person.Average(row => columns.Sum(index => (double)scores[row, index])), isByGroup ? Array.IndexOf(groups, result.Probe.Images[person.First()].Group) : 0));
        if (points.Count < 3)
            return null;
        string thinned = points.Count > ScatterPlot.MostPoints ? $" {points.Count} persons; some of them are drawn." : "";
        return AuditFigure.Of(FigureKinds.Scatter, [correlation.Experiment, correlation.Model, correlation.Label, correlation.Attribute], FigureSection.Correlations,
            $"{correlation.Model}: probability of '{correlation.Label}' against '{correlation.Attribute}', a point a person, the mean of its images. Spearman's rho over all persons {Wording.Plain(correlation.Spearman)}, Pearson's r {Wording.Plain(correlation.Pearson)}.{thinned}",
            new ScatterPlot
            {
                Title = $"{correlation.Model}: '{correlation.Label}' against '{correlation.Attribute}'",
                Description = $"{points.Count} persons; Spearman's rho {Wording.Plain(correlation.Spearman)}.",
                Series = isByGroup ? groups : [""],
                Points = points,
                HorizontalUnit = correlation.Attribute,
                VerticalUnit = $"probability of '{correlation.Label}'",
            }.ToSvg()) with
        { Experiment = correlation.Experiment, Model = correlation.Model };
    }

    private static int Index(ExperimentResult experiment, string label) => experiment.Labels.Select(entry => entry.Text).ToList().IndexOf(label);

    private static Estimate Turned(Estimate difference) => difference with
    {
        Value = -difference.Value,
        Interval = difference.Interval is { } interval ? interval with { Lower = -interval.Upper, Upper = -interval.Lower } : null,
    };

    private static IntervalRow Row(string label, Estimate estimate, bool isSigned)
    {
        if (estimate.Value is not { } value)
            return new IntervalRow(label, "undefined", double.NaN, double.NaN, double.NaN);
        string Text(double share) => (isSigned && share > 0 ? "+" : "") + (100 * share).ToString("0.0").Replace('-', '−');
        return new IntervalRow(label, estimate.Interval is { } interval ? $"{Text(value)} ({Text(interval.Lower)} to {Text(interval.Upper)})" : Text(value),
            100 * value, 100 * (estimate.Interval?.Lower ?? double.NaN), 100 * (estimate.Interval?.Upper ?? double.NaN));
    }

    private static string Words(List<IntervalRow> rows)
    {
        var words = new List<string>();
        string heading = "";
        foreach (IntervalRow row in rows)
        {
            if (row.IsHeading)
                heading = row.Label;
            else
                words.Add($"{heading}, {row.Label}: {row.Value}");
        }

        return string.Join("; ", words) + ".";
    }
}
