using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>The first screen: what was asked, of whom, what came out and how sure that is.</summary>
internal static class SummarySection
{
    private const int FindingsPerExperiment = 6;

    public static void Write(HtmlWriter page, AuditResult result)
    {
        page.BeginSection("summary", "Summary");
        page.Heading(3, "What was asked");
        foreach (ExperimentResult experiment in result.Experiments)
        {
            string sentence = experiment.Labels.Select(label => label.Prompt).FirstOrDefault(prompt => prompt.Length > 0) is { } prompt
                ? $" Each label stood in a sentence such as '{prompt}'."
                : "";
            page.Paragraph($"{experiment.Title}: which of these {experiment.Labels.Count} labels fits an image best? {string.Join(", ", experiment.Labels.Select(label => $"'{label.Text}'"))}.{sentence}");
        }

        page.Heading(3, "Of whom");
        page.Paragraph($"{result.Probe.Name}: {result.Probe.Images.Count} images of {result.Probe.PersonCount} {(result.Probe.PersonCount == 1 ? "person" : "persons")}, grouped by '{result.Probe.GroupAttribute}'.");
        page.Table("Groups of the probe", ["group", "meaning", "images", "persons"],
            result.Probe.Groups.Select(group => new[] { group.Key, group.Description, group.ImageCount.ToString(), group.PersonCount.ToString() }));
        foreach (string warning in result.Probe.Warnings)
            ReportWriter.WriteNote(page, new Note(NoteKind.Warning, "About the probe's data", warning));

        page.Heading(3, "By which models");
        int failed = result.Models.Count(model => model.Failure is not null);
        page.Paragraph($"{result.Models.Count} {(result.Models.Count == 1 ? "model" : "models")}: {string.Join(", ", result.Models.Select(model => model.Key))}.");
        foreach (ModelSummary model in result.Models.Where(model => model.Failure is not null))
            ReportWriter.WriteNote(page, new Note(NoteKind.Warning, $"{model.Key} has no results", model.Failure!));
        foreach (ModelSummary model in result.Models.Where(model => model.Remarks.Count > 0))
            ReportWriter.WriteNote(page, new Note(NoteKind.Warning, $"About {model.Key}", string.Join(" ", model.Remarks)));
        var repeated = result.Models.Where(model => model.TrainingRun.Length > 0).GroupBy(model => model.TrainingRun).Where(run => run.Count() > 1).ToArray();
        if (repeated.Length > 0)
        {
            ReportWriter.WriteNote(page, new Note(NoteKind.Warning, "Models that are not independent",
                "Checkpoints of one training run count as one: " + string.Join("; ", repeated.Select(run => string.Join(" and ", run.Select(model => model.Key)))) + "."));
        }

        page.Heading(3, "What came out");
        WriteComparisons(page, result);
        foreach (ExperimentResult experiment in result.Experiments)
            WriteFindings(page, experiment, result.Experiments.Count > 1);

        page.Heading(3, "How sure this is");
        double level = result.Provenance.ConfidenceLevel * 100;
        page.Paragraph($"Ranges in brackets are {level:0.#} % intervals. They say how far a number would move with other faces of the same kind; " +
            "they do not say what another training run would give. Small groups have wide intervals: look at n.");
        if (failed > 0)
            page.Paragraph($"{failed} of {result.Models.Count} models failed and have no numbers here.");
        foreach (ExperimentResult experiment in result.Experiments)
        {
            foreach (ModelExperimentResult model in experiment.Models.Where(model => model.Flips is not null))
            {
                Estimate share = model.Flips!.Flippable.Overall;
                page.Paragraph($"{experiment.Title}, {model.Model}: a numeric error of {model.Flips.CosineError:0.######} in a cosine could change the chosen label of {Wording.Share(share.Value)} of {share.Count} images.");
            }
        }

        page.EndSection();
    }

    private static void WriteComparisons(HtmlWriter page, AuditResult result)
    {
        var primary = result.Comparisons.Where(comparison => comparison.RateTest is { IsPrimary: true }).ToArray();
        if (primary.Length == 0)
            return;
        int clear = primary.Count(comparison => comparison.RateTest!.Holm < 0.05);
        page.Paragraph($"Declared beforehand: {primary.Length} primary comparisons. {clear} of them show a difference that survives Holm's correction (corrected p < 0.05).");
        foreach (ArmComparison comparison in primary.Where(comparison => comparison.RateTest!.Holm < 0.05).OrderByDescending(comparison => Math.Abs(comparison.RateDifference.Value ?? 0)).Take(FindingsPerExperiment))
        {
            WriteFinding(page,
                $"{comparison.Name}, group {comparison.Group}: '{comparison.Label}' went from {Wording.Percent(comparison.FirstRate)} to {Wording.Percent(comparison.SecondRate)} of faces.",
                $"Difference {Wording.Points(comparison.RateDifference)}, n = {comparison.RateDifference.Count}, {Wording.PValue(comparison.RateTest!.Holm)} after Holm's correction over {comparison.RateTest.FamilySize} tests."
                + (comparison.ConfoundedWith.Length > 0 ? $" Confounded with {comparison.ConfoundedWith}." : ""));
        }
    }

    /// <summary>The widest gaps between two groups of one model and label whose interval excludes zero.</summary>
    private static void WriteFindings(HtmlWriter page, ExperimentResult experiment, bool isNamed)
    {
        string prefix = isNamed ? experiment.Title + ", " : "";
        if (experiment.NamesGroups)
        {
            foreach (ModelExperimentResult model in experiment.Models.Where(model => model.Confusion is not null))
            {
                Confusion confusion = model.Confusion!;
                string parts = string.Join(", ", confusion.MisclassifiedByAttribute.Select(frame => $"{frame.Subject} {Wording.Percent(frame.Overall)}"));
                WriteFinding(page, $"{prefix}{model.Model}: named another group than the recorded one for {Wording.Percent(confusion.Misclassified.Overall)} of images.",
                    (parts.Length > 0 ? $"Wrong in: {parts}. " : "") + $"n = {confusion.Misclassified.Overall.Count}.");
            }

            return;
        }

        var gaps = experiment.Models.SelectMany(model => model.ArgmaxFrequency.SelectMany(frame => frame.Gaps
                .Where(gap => gap.Difference is { Value: not null, Interval: not null } && (gap.Difference.Interval.Lower > 0 || gap.Difference.Interval.Upper < 0))
                .Select(gap => (Model: model, Frame: frame, Gap: gap))))
            .GroupBy(entry => (entry.Model.Model, entry.Frame.Subject))
            .Select(label => label.MaxBy(entry => Math.Abs(entry.Gap.Difference.Value!.Value)))
            .OrderByDescending(entry => Math.Abs(entry.Gap.Difference.Value!.Value)).ToArray();
        if (gaps.Length == 0)
        {
            page.Paragraph($"{prefix}no two groups differ in how often any label was chosen by more than chance allows (every interval of a difference includes zero).");
            return;
        }

        page.Paragraph($"{prefix}the widest differences between two groups, one for each model and label, at most {FindingsPerExperiment}. They were picked because they are wide, so read them as places to look, not as tests:");
        foreach (var (model, frame, gap) in gaps.Take(FindingsPerExperiment))
        {
            bool isFirstHigher = gap.Difference.Value > 0;
            var (high, low) = isFirstHigher ? (gap.First, gap.Second) : (gap.Second, gap.First);
            WriteFinding(page, $"{model.Model} chose '{frame.Subject}' for {Wording.Percent(frame[high])} of group {high}, and for {Wording.Percent(frame[low])} of group {low}.",
                $"Difference {gap.First} minus {gap.Second}: {Wording.Points(gap.Difference)}; n = {frame[high].Count} and {frame[low].Count}.");
        }
    }

    private static void WriteFinding(HtmlWriter page, string what, string sure) =>
        page.Raw("<div class=\"finding\">").Paragraph(what).Paragraph(sure, "sure").Raw("</div>");
}
