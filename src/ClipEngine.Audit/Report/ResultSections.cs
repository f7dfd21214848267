using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>The body: comparisons, label choices, wording, correlations, each with its figures and its tables.</summary>
internal static class ResultSections
{
    public static void WriteComparisons(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        if (result.Comparisons.Count == 0)
            return;
        page.BeginSection("comparisons", "Comparisons of models");
        page.Paragraph("The spec declares which checkpoints are compared with which. The difference is taken image by image: second arm minus first, in percentage points of the share of images given the label. " +
            "An interval may leave zero out where a test does not call the difference clear: with few images that changed, an exact test cannot reach a small p. The test decides.");
        WriteGroups(page, result);
        page.Table("The declared comparisons", ["comparison", "first arm", "checkpoints", "second arm", "checkpoints", "training runs", "confounded with"],
            result.Comparisons.DistinctBy(comparison => comparison.Name).Select(comparison => new[]
            {
                comparison.Name, comparison.First.Name, string.Join(", ", comparison.First.Models), comparison.Second.Name, string.Join(", ", comparison.Second.Models),
                $"{comparison.First.TrainingRuns?.ToString() ?? "unknown"} against {comparison.Second.TrainingRuns?.ToString() ?? "unknown"}", comparison.ConfoundedWith,
            }));
        WriteFiguresOf(page, FigureSection.Comparisons, figures);
        foreach (var family in result.Comparisons.GroupBy(comparison => comparison.RateTest?.Family ?? "").OrderByDescending(family => family.Any(comparison => comparison.RateTest?.IsPrimary == true)))
        {
            bool isPrimary = family.Any(comparison => comparison.RateTest?.IsPrimary == true);
            string title = family.Key.Length == 0 ? "Comparisons without tests"
                : family.Key.StartsWith("exploratory: ", StringComparison.Ordinal) ? $"Exploratory tests, {family.Key["exploratory: ".Length..]}"
                : $"Family of tests '{family.Key}'{(isPrimary ? ", declared primary" : ", exploratory")}";
            string[] names = [.. family.Select(comparison => comparison.Name).Distinct()];
            if (!isPrimary)
                page.BeginDetails($"{title}: {Wording.Count(family.Count(), "comparison")}", isForScreen: true);
            // Where it is the same in every row, the comparison's name takes the caption and not a column.
            page.Table(names.Length == 1 && !title.Contains(names[0], StringComparison.Ordinal) ? $"{title}: {names[0]}" : title, [.. names.Length == 1 ? Array.Empty<string>() : ["comparison"], "label", "group", "n", "first arm", "second arm", "difference", "p", "Holm", "Benjamini-Hochberg", "McNemar (lost / gained)", "difference of mean probability"],
                family.Select(comparison => (string[])
                [
                    .. names.Length == 1 ? Array.Empty<string>() : [comparison.Name], comparison.Label, comparison.Group, comparison.RateDifference.Count.ToString(), Wording.Percent2(comparison.FirstRate), Wording.Percent2(comparison.SecondRate),
                    Wording.Points(comparison.RateDifference), Probability(comparison.RateTest?.PValue), Probability(comparison.RateTest?.Holm), Probability(comparison.RateTest?.BenjaminiHochberg),
                    comparison.McNemar is { } counts ? $"{counts.OnlyFirst} / {counts.OnlySecond} ({Wording.PValue(counts.PValue)})" : "–", Wording.Points(comparison.MeanDifference),
                ]));
            if (!isPrimary)
                page.EndDetails();
        }

        WriteAverages(page, result);
        WriteRuns(page, result);
        WriteChanges(page, result);
        page.EndSection();
    }

    /// <summary>Each comparison over all groups, each group counting the same.</summary>
    private static void WriteAverages(HtmlWriter page, AuditResult result)
    {
        ArmComparison[] averages = [.. result.Comparisons.Where(comparison => comparison.Group == ArmComparison.AverageOverGroups)];
        if (averages.Length == 0)
            return;
        string[] names = [.. averages.Select(comparison => comparison.Name).Distinct()];
        page.Table($"On average over the groups, each group counting the same{(names.Length == 1 ? $": {names[0]}" : "")}", [.. names.Length == 1 ? Array.Empty<string>() : ["comparison"], "label", "experiment", "first arm", "second arm", "difference", "Holm"],
            averages.Select(comparison => (string[])[.. names.Length == 1 ? Array.Empty<string>() : [comparison.Name], comparison.Label, comparison.Experiment, Wording.Percent(comparison.FirstRate), Wording.Percent(comparison.SecondRate), Wording.Points(comparison.RateDifference), Probability(comparison.RateTest?.Holm)]));
    }

    /// <summary>Arms over their training runs: another run is what no interval over images speaks of.</summary>
    private static void WriteRuns(HtmlWriter page, AuditResult result)
    {
        ArmComparison[] several = [.. result.Comparisons.Where(comparison => comparison.Runs is not null)];
        if (several.Length == 0)
            return;
        page.BeginDetails($"Over training runs: {Wording.Count(several.Length, "comparison")}", isForScreen: true)
            .Paragraph("The rate of each training run, averaged over its checkpoints, and the difference of the arms' means over runs. A test over runs speaks of other runs, not only of other images; it needs 4 runs an arm, or 3 and 5. Where there are fewer, the runs are shown and nothing is tested.")
            .Table("Arms over training runs", ["comparison", "label", "group", "runs of the first arm", "runs of the second arm", "difference of means", "p", "Holm"],
                several.Select(comparison => new[]
                {
                    comparison.Name, comparison.Label, comparison.Group, Rates(comparison.Runs!.First), Rates(comparison.Runs.Second), Wording.Points(comparison.Runs.Difference),
                    Probability(comparison.Runs.Test?.PValue), Probability(comparison.Runs.Test?.Holm),
                }))
            .EndDetails();

        static string Rates(IReadOnlyList<double> rates) => string.Join(", ", rates.Select(rate => Wording.Share(rate)));
    }

    private static void WriteChanges(HtmlWriter page, AuditResult result)
    {
        if (result.ChangeComparisons.Count == 0)
            return;
        page.Heading(3, "Does the step do the same to every group?", "changes");
        page.Paragraph("A difference of differences: what the step from the first arm to the second did to one group, minus what it did to another. Zero means that both changed alike, whatever their rates.");
        foreach (IGrouping<string, ChangeComparison> family in result.ChangeComparisons.GroupBy(entry => entry.Family))
        {
            string[] names = [.. family.Select(entry => entry.Comparison).Distinct()];
            page.Table($"Family of tests '{family.Key}'{(family.Any(entry => entry.RateTest is { IsPrimary: true }) ? ", declared primary" : ", exploratory")}{(names.Length == 1 ? $": {names[0]}" : "")}",
                [.. names.Length == 1 ? Array.Empty<string>() : ["comparison"], "label", "group", "against", "n", "change of the group", "change of the other", "difference of changes", "p", "Holm", "Benjamini-Hochberg", "in mean probability"],
                family.Select(entry => (string[])
                [
                    .. names.Length == 1 ? Array.Empty<string>() : [entry.Comparison], entry.Label, entry.First, entry.Second, entry.RateDifference.Count.ToString(), Wording.Points(entry.FirstChange), Wording.Points(entry.SecondChange), Wording.Points(entry.RateDifference),
                    Probability(entry.RateTest?.PValue), Probability(entry.RateTest?.Holm), Probability(entry.RateTest?.BenjaminiHochberg), Wording.Points(entry.MeanDifference),
                ]));
        }
    }

    /// <summary>The declared gaps within one model, as differences and as ratios.</summary>
    public static void WriteGroupComparisons(HtmlWriter page, AuditResult result)
    {
        if (result.GroupComparisons.Count == 0)
            return;
        page.BeginSection("groups", "Groups within one model");
        page.Paragraph("Each group against the one that the spec declares it is compared with. The ratio is the group's rate over the other's; the four-fifths rule asks whether it lies between 0.8 and 1.25. " +
            "\"outside\" means that the whole interval lies beyond that range, \"inside\" that the whole interval lies within; else the data do not decide.");
        WriteGroups(page, result);
        foreach (IGrouping<string, GroupComparison> family in result.GroupComparisons.GroupBy(entry => entry.Family))
        {
            bool isPrimary = family.Any(entry => entry.RateTest is { IsPrimary: true });
            if (!isPrimary)
                page.BeginDetails($"Family of tests '{family.Key}', exploratory: {Wording.Count(family.Count(), "gap")}");
            string[] models = [.. family.Select(entry => entry.Model).Distinct()];
            page.Table($"Family of tests '{family.Key}'{(isPrimary ? ", declared primary" : ", exploratory")}{(models.Length == 1 ? $": {models[0]}" : "")}",
                [.. models.Length == 1 ? Array.Empty<string>() : ["model"], "label", "group", "against", "n", "rate of the group", "rate of the other", "difference", "ratio", "four-fifths rule", "p", "Holm", "Benjamini-Hochberg", "difference of mean probability"],
                family.Select(entry => (string[])
                [
                    .. models.Length == 1 ? Array.Empty<string>() : [entry.Model], entry.Label, entry.First, entry.Second, entry.RateDifference.Count.ToString(), Wording.Percent(entry.FirstRate), Wording.Percent(entry.SecondRate), Wording.Points(entry.RateDifference),
                    Wording.Ratio(entry.RateRatio), FourFifths(entry.RateRatio), Probability(entry.RateTest?.PValue), Probability(entry.RateTest?.Holm), Probability(entry.RateTest?.BenjaminiHochberg), Wording.Points(entry.MeanDifference),
                ]));
            if (!isPrimary)
                page.EndDetails();
        }

        page.EndSection();
    }

    private static string FourFifths(Estimate ratio) => ratio.Interval is not { } interval ? "–"
        : interval.Upper < 0.8 || interval.Lower > 1.25 ? "outside"
        : interval.Lower >= 0.8 && interval.Upper <= 1.25 ? "inside" : "not decided";

    public static void WriteExperiments(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        foreach (ExperimentResult experiment in result.Experiments)
        {
            page.BeginSection("experiment-" + FigureSet.Slug(experiment.Key), experiment.Title);
            page.Table("Labels and the sentences they stood in", experiment.NamesGroups ? ["label", "sentence", "names group"] : ["label", "sentence"],
                experiment.Labels.Select(label =>
                {
                    string sentence = label.Prompt.Length > 0 ? label.Prompt : "as given with the scores";
                    return experiment.NamesGroups ? new[] { label.Text, sentence, label.Group ?? "–" } : [label.Text, sentence];
                }));
            WriteGroups(page, result);
            foreach (ModelExperimentResult model in experiment.Models)
                WriteModel(page, result, experiment, model, figures);
            AuditFigure[] others = figures.Where(figure => figure.Section == FigureSection.PatchSize && figure.Experiment == experiment.Key).ToArray();
            if (others.Length > 0)
            {
                page.BeginDetails($"By patch size, which is confounded with model size: {others.Length} figures");
                foreach (AuditFigure figure in others)
                    page.Figure(figure);
                page.EndDetails();
            }

            page.EndSection();
        }
    }

    public static void WriteSensitivity(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        if (result.Sensitivity.Count == 0)
            return;
        page.BeginSection("sensitivity", "What wording does");
        page.Paragraph("The same question in other words: other templates, synonyms and label sets. A statement that holds for one wording only is a statement about that wording.");
        WriteFiguresOf(page, FigureSection.Wordings, figures);
        page.Table("Rate with the published wording, and the range over all wordings", ["statement", "published wording", "lowest", "median", "highest", "wordings"],
            result.Sensitivity.Select(statement => new[]
            {
                statement.Statement, Wording.Percent(statement.Published), Wording.Share(statement.Lowest), Wording.Share(statement.Median), Wording.Share(statement.Highest),
                statement.Cells.Count(cell => cell.Kind == WordingKind.Grid).ToString(),
            }));
        foreach (SensitivityStatement statement in result.Sensitivity)
        {
            page.BeginDetails($"Every wording: {statement.Statement}");
            page.Table(statement.Statement, ["template", "stands for the label", "label set", "kind", "share", "mean probability"],
                statement.Cells.Select(cell => new[]
                {
                    cell.Template + (cell.IsPublished ? "  (published)" : ""), cell.Synonym, cell.LabelSet,
                    cell.Kind switch { WordingKind.BagOfWords => "control: word order", WordingKind.Neutral => "control: neutral labels", _ => "grid" },
                    Wording.Percent(cell.Rate), Wording.Plain(cell.Mean),
                }));
            page.EndDetails();
        }

        page.EndSection();
    }

    /// <summary>What the section on correlations is called: by the columns, where they are few.</summary>
    public static string CorrelationsTitle(AuditResult result)
    {
        string[] columns = [.. result.Correlations.Select(entry => entry.Attribute).Distinct()];
        return columns.Length > 3 ? $"Labels against {columns.Length} numeric columns" : $"Labels against {string.Join(" and ", columns.Select(column => $"'{column}'"))}";
    }

    public static void WriteCorrelations(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        if (result.Correlations.Count == 0)
            return;
        page.BeginSection("correlations", CorrelationsTitle(result));
        page.Paragraph("How a label's probability goes with a column of the metadata, over persons, each with the means of its images. Over all persons, groups that differ in both make a correlation of their own; within groups, the distances from each group's mean are correlated, so that they do not. " +
            "It says what a model has picked up, and nothing about people. p-values are corrected over columns and models (Holm).");
        foreach (string column in result.Correlations.Select(entry => entry.Attribute).Distinct())
        {
            AttributeCorrelation[] own = [.. result.Correlations.Where(entry => entry.Attribute == column)];
            if (own[0].ImagesWithout > 0)
                page.Paragraph($"'{column}' is missing for {Wording.Count(own[0].ImagesWithout, "image")}, which are left out here.");
            bool IsSingle(AttributeCorrelation entry) => entry.Group.Length > 0 && entry.Group != AttributeCorrelation.WithinGroups;
            Correlations($"Correlation of a label's probability with '{column}'", own.Where(entry => !IsSingle(entry)));
            AttributeCorrelation[] single = [.. own.Where(IsSingle)];
            if (single.Length > 0)
            {
                page.BeginDetails($"'{column}', group by group: {Wording.Count(single.Length, "correlation")}");
                Correlations($"Correlation of a label's probability with '{column}' in each group", single);
                page.EndDetails();
            }
        }

        foreach (AuditFigure figure in figures.Where(figure => figure.Section == FigureSection.Correlations))
            page.BeginDetails(Short(figure.Caption)).Figure(figure).EndDetails();
        page.EndSection();

        void Correlations(string caption, IEnumerable<AttributeCorrelation> entries) =>
            page.Table(caption, ["model", "experiment", "label", "over", "persons", "Pearson r", "Holm", "Spearman rho", "Holm"], entries.Select(entry => new[]
            {
                entry.Model, entry.Experiment, entry.Label, entry.Group.Length == 0 ? "all persons" : entry.Group, entry.Pearson.Count.ToString(), Wording.Plain(entry.Pearson), Probability(entry.PearsonTest?.Holm),
                Wording.Plain(entry.Spearman), Probability(entry.SpearmanTest?.Holm),
            }));
    }

    public static void WriteFigures(HtmlWriter page, string id, string title, FigureSection section, IReadOnlyList<AuditFigure> figures)
    {
        AuditFigure[] own = figures.Where(figure => figure.Section == section).ToArray();
        if (own.Length == 0)
            return;
        page.BeginSection(id, title);
        if (section == FigureSection.Persons)
            page.Paragraph("For whoever wants to check a single image. Images are named by their files and never shown; all choices stand in 'tables/predictions.csv'.");
        foreach (AuditFigure figure in own)
            page.BeginDetails(Short(figure.Caption), isForScreen: section == FigureSection.Persons).Figure(figure).EndDetails();
        page.EndSection();
    }

    /// <summary>What the codes in tables and figures stand for, where there are codes.</summary>
    private static void WriteGroups(HtmlWriter page, AuditResult result)
    {
        if (result.Probe.Groups.Any(group => group.Description != group.Key))
            page.Paragraph($"Groups: {string.Join(", ", result.Probe.Groups.Select(group => Wording.Group(result, group.Key)))}.");
    }

    /// <summary>A caption's first sentence.</summary>
    private static string Short(string caption)
    {
        int end = caption.IndexOf(". ", StringComparison.Ordinal);
        return end < 0 ? caption.TrimEnd('.') : caption[..end];
    }

    private static void WriteFiguresOf(HtmlWriter page, FigureSection section, IReadOnlyList<AuditFigure> figures)
    {
        foreach (AuditFigure figure in figures.Where(figure => figure.Section == section))
            page.Figure(figure);
    }

    private static void WriteModel(HtmlWriter page, AuditResult result, ExperimentResult experiment, ModelExperimentResult model, IReadOnlyList<AuditFigure> figures)
    {
        page.Heading(3, model.Model);
        foreach (AuditFigure figure in figures.Where(figure => figure.Section == FigureSection.Choices && figure.Experiment == experiment.Key && figure.Model == model.Model))
            page.Figure(figure);
        string[] groups = result.Probe.Groups.Select(group => group.Key).ToArray();
        foreach (string reason in model.Confusion?.AttributesLeftOut ?? [])
            page.Paragraph(reason);
        if (model.ExactTies is { } ties)
        {
            int tied = ties.Sum(entry => entry.Ties);
            page.Paragraph($"Exact ties: for {tied} of {Wording.Count(ties.Sum(entry => entry.Images), "image")} two labels or more have exactly the same highest probability{(tied > 0 ? "; the first of them in the order above counts as chosen" : "")}.");
        }

        page.BeginDetails("Tables with n and intervals");
        WriteFrames(page, $"{model.Model}: share of images given each label", model.ArgmaxFrequency, groups);
        WriteFrames(page, $"{model.Model}: mean probability of each label", model.MeanProbability, groups, (label, group) => model.Distributions.Any(part => part.Label == label && part.Group == group && part.EffectiveImages < Distribution.FewImages) ? " *" : "");
        page.Table($"{model.Model}: how many images carry each mean (of equal probability), and the largest image's share; under {Distribution.FewImages} the mean is marked *", ["group", .. experiment.Labels.Select(label => label.Text)],
            groups.Select(group => (IReadOnlyList<string>)[group, .. experiment.Labels.Select(label => Carried(model.Distributions.FirstOrDefault(part => part.Label == label.Text && part.Group == group)))]));
        if (model.MergedArgmaxFrequency.Count > 0)
        {
            foreach (MergedLabel merged in experiment.MergedLabels)
                page.Paragraph($"'{merged.Name}' is any of: {string.Join(", ", merged.Labels)}.");
            WriteFrames(page, $"{model.Model}: share of images given any label of a merged set", model.MergedArgmaxFrequency, groups);
            WriteFrames(page, $"{model.Model}: mean summed probability of a merged set", model.MergedMeanProbability, groups);
        }

        foreach (MarginalResult marginal in model.Marginals)
        {
            string[] values = [.. marginal.ArgmaxFrequency[0].Groups.Select(entry => entry.Group)];
            WriteFrames(page, $"{model.Model}: share of images given each label, by {marginal.Attribute} alone", marginal.ArgmaxFrequency, values, isWhole: false);
            WriteFrames(page, $"{model.Model}: mean probability of each label, by {marginal.Attribute} alone", marginal.MeanProbability, values, isWhole: false);
        }

        if (model.Confusion is { } confusion)
            WriteFrames(page, $"{model.Model}: named another group than the recorded one", [confusion.Misclassified, .. confusion.MisclassifiedByAttribute], groups);
        page.Table($"{model.Model}: how decided the choices are (exact ties: images whose highest probability is that of two labels or more, to the last bit)",
            ["group", "n", "entropy in nats", .. model.Margin is null ? Array.Empty<string>() : ["top-2 margin, cosine"], "exact ties"],
            groups.Select(group => (string[])[group, model.Entropy[group].Count.ToString(), Wording.Plain(model.Entropy[group]), .. model.Margin is null ? Array.Empty<string>() : [Wording.Plain(model.Margin[group])],
                model.ExactTies?.FirstOrDefault(entry => entry.Group == group)?.Ties.ToString() ?? "–"]));
        if (model.Flips is { } flips)
        {
            page.Table($"{model.Model}: range of each rate if every choice within a cosine error of {flips.CosineError:0.######} changed", ["group", "label", "lowest", "measured", "highest"],
                flips.Rates.Where(rate => rate.Lowest != rate.Highest).Select(rate => new[] { rate.Group, rate.Label, Wording.Share(rate.Lowest), Wording.Share(rate.Measured), Wording.Share(rate.Highest) }));
        }

        page.EndDetails();
        if (model.LeaveOneLabelOut.Count > 0)
        {
            page.BeginDetails("Each label left out in turn", isForScreen: true);
            foreach (LeaveOneOut without in model.LeaveOneLabelOut)
                WriteFrames(page, $"{model.Model}: share of images given each label when '{without.LeftOut}' is not offered", without.ArgmaxFrequency, groups);
            page.EndDetails();
        }
    }

    private static string Carried(Distribution? part) => part is { EffectiveImages: double images, LargestShare: double share }
        ? FormattableString.Invariant($"{images:0.0} ({100 * share:0} %)")
        : "–";

    private static void WriteFrames(HtmlWriter page, string caption, IReadOnlyList<GroupMetricFrame> frames, string[] groups, Func<string, string, string>? mark = null, bool isWhole = true)
    {
        string[] columns = ["group", "n", .. frames.Select(frame => frame.Subject.Length > 0 ? frame.Subject : "all")];
        var rows = groups.Select(group => (string[])[group, frames[0][group].Count.ToString(), .. frames.Select(frame => Wording.Percent2(frame[group]) + mark?.Invoke(frame.Subject, group))]).ToList();
        if (isWhole && frames[0].Average is not null)
            rows.Add(["average of the groups", frames[0].Overall.Count.ToString(), .. frames.Select(frame => frame.Average is { } average ? Wording.Percent2(average) : "–")]);
        if (isWhole)
            rows.Add(["all", frames[0].Overall.Count.ToString(), .. frames.Select(frame => Wording.Percent2(frame.Overall))]);
        page.Table(caption, columns, rows);
    }

    private static string Probability(double? value) => value is { } number ? Wording.PValue(number)[2..].Replace("= ", "", StringComparison.Ordinal) : "–";
}
