using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>The first screen: what was asked, of whom, what came out and how sure that is; in a few sentences, then in detail.</summary>
internal static class SummarySection
{
    private const int FindingsPerExperiment = 6;
    private const int PrimaryFindings = 8;
    private const int WordingsShown = 3;

    /// <summary>What a corrected p-value must be below to be called clear.</summary>
    private const double Clear = 0.05;

    public static void Write(HtmlWriter page, AuditResult result)
    {
        page.BeginSection("summary", "Summary");
        WriteShort(page, result);
        WriteWhatWasAsked(page, result);
        WriteOfWhom(page, result);
        WriteByWhichModels(page, result);
        page.Heading(3, "What came out");
        WriteComparisons(page, result);
        WritePairs(page, result);
        foreach (ExperimentResult experiment in result.Experiments)
            WriteFindings(page, result, experiment, result.Experiments.Count > 1);
        WriteHowSure(page, result);
        page.EndSection();
    }

    /// <summary>The whole audit for somebody who reads nothing else.</summary>
    private static void WriteShort(HtmlWriter page, AuditResult result)
    {
        int working = result.Models.Count(model => model.Failure is null);
        string choices = string.Join(" and ", result.Experiments.Select(experiment => $"one of {experiment.Labels.Count} labels ({experiment.Title})"));
        page.Raw("<div class=\"short\">").Heading(3, "In short")
            .Paragraph($"Asked: for each of {Wording.Count(result.Probe.Images.Count, "image")} of {Wording.Count(result.Probe.PersonCount, "person")} ({result.Probe.Name}), {Wording.Count(working, "model")} chose {choices}.{(result.Probe.WeightColumn is { } weights ? $" All shares and means are weighted by '{weights}'." : "")}");
        ArmComparison[] primary = Primary(result);
        Finding? widest = result.Experiments.Where(experiment => !experiment.NamesGroups).SelectMany(Gaps).OrderByDescending(finding => Math.Abs(finding.Gap.Difference.Value!.Value)).FirstOrDefault();
        if (primary.Length > 0)
        {
            ArmComparison[] clear = [.. primary.Where(IsClear)];
            string largest = clear.Length == 0 ? "" : $" The largest: {Went(result, clear[0])}";
            page.Paragraph($"Found: of {Wording.Count(primary.Length, "comparison")} that the spec declares primary, {clear.Length} {(clear.Length == 1 ? "shows" : "show")} a difference beyond chance.{largest}");
        }
        else if (widest is not null && !HasPrimaryPairs(result))
        {
            page.Paragraph($"Found: no comparison was declared primary. The widest difference between two groups: {Chose(result, widest)}");
        }
        else if (working > 0 && !HasPrimaryPairs(result))
        {
            page.Paragraph("Found: no label was chosen more often for one group than for another beyond chance.");
        }

        if (Equity(result) is { Length: > 0 } equity)
            page.Paragraph(equity);
        if (WithinModels(result) is { Length: > 0 } within)
            page.Paragraph(within);
        page.Paragraph($"How sure: rates, means and differences stand with their n and a {Level(result)} interval over the choice of images; other wordings and other training runs are not in that interval. The numbers are about these models, not about people.");
        if (working < result.Models.Count)
            page.Paragraph($"Incomplete: {result.Models.Count - working} of {Wording.Count(result.Models.Count, "model")} failed and {(result.Models.Count - working == 1 ? "has" : "have")} no numbers here.");
        page.Raw("<p><a href=\"#provenance\">How to repeat this</a>: the command, the spec, and the hash of every file.</p>").Raw("</div>");
    }

    /// <summary>Whether the steps between arms did the same to every group, with the difference that is largest; empty where no such family is primary.</summary>
    private static string Equity(AuditResult result)
    {
        ChangeComparison[] changes = [.. result.ChangeComparisons.Where(entry => entry.RateTest is { IsPrimary: true }).OrderByDescending(entry => Math.Abs(entry.RateDifference.Value ?? 0))];
        if (changes.Length == 0)
            return "";
        ChangeComparison[] clear = [.. changes.Where(entry => IsClear(entry.RateTest))];
        ChangeComparison largest = clear.Length > 0 ? clear[0] : changes[0];
        string answer = clear.Length > 0 ? "No" : "No difference beyond chance was found, which does not show that there is none";
        return $"Equity: did the step between the arms do the same to every group? {answer}: of {changes.Length} differences between two groups in how far they changed that the spec declares primary, {clear.Length} {(clear.Length == 1 ? "is" : "are")} beyond chance after Holm's correction. " +
            $"The largest{(clear.Length > 0 ? " of these" : "")}: in {largest.Comparison}, '{largest.Label}' changed by {Wording.Points(largest.FirstChange)} for group {Wording.Group(result, largest.First)} and by {Wording.Points(largest.SecondChange)} for group {Wording.Group(result, largest.Second)}, a difference of {Wording.Points(largest.RateDifference)}.{Companions.Of(result, largest)}";
    }

    /// <summary>How many gaps between groups within one model are beyond chance, with the largest; empty where no such family is primary.</summary>
    private static string WithinModels(AuditResult result)
    {
        GroupComparison[] gaps = [.. result.GroupComparisons.Where(entry => entry.RateTest is { IsPrimary: true }).OrderByDescending(entry => Math.Abs(entry.RateDifference.Value ?? 0))];
        if (gaps.Length == 0)
            return "";
        GroupComparison[] clear = [.. gaps.Where(entry => IsClear(entry.RateTest))];
        string companions = clear.Length > 0 && result.Experiments.FirstOrDefault(entry => entry.Key == clear[0].Experiment) is { } experiment && experiment.Models.FirstOrDefault(entry => entry.Model == clear[0].Model) is { } model
            ? Companions.Of(result, experiment, model, clear[0].Label, clear[0].First, clear[0].Second) : "";
        string largest = clear.Length == 0 ? "" : $" The largest: {clear[0].Model} chose '{clear[0].Label}' for {Wording.Percent(clear[0].FirstRate)} of group {Wording.Group(result, clear[0].First)} and for {Wording.Percent(clear[0].SecondRate)} of group {Wording.Group(result, clear[0].Second)}, {Wording.Points(clear[0].RateDifference)}{(clear[0].RateRatio.Value is null ? "" : $", a ratio of {Wording.Ratio(clear[0].RateRatio)}")}.{companions}";
        return $"Within models: of {Wording.Count(gaps.Length, "gap")} between groups that the spec declares primary, {clear.Length} {(clear.Length == 1 ? "is" : "are")} beyond chance after Holm's correction.{largest}";
    }

    private static void WriteWhatWasAsked(HtmlWriter page, AuditResult result)
    {
        page.Heading(3, "What was asked");
        foreach (ExperimentResult experiment in result.Experiments)
        {
            string sentence = experiment.Labels.Select(label => label.Prompt).FirstOrDefault(prompt => prompt.Length > 0) is { } prompt
                ? $" Each label stood in a sentence such as '{prompt}'."
                : "";
            page.Paragraph($"{experiment.Title}: which of these {experiment.Labels.Count} labels fits an image best? {string.Join(", ", experiment.Labels.Select(label => $"'{label.Text}'"))}.{sentence}");
        }
    }

    private static void WriteOfWhom(HtmlWriter page, AuditResult result)
    {
        page.Heading(3, "Of whom");
        page.Paragraph($"{result.Probe.Name}: {Wording.Count(result.Probe.Images.Count, "image")} of {Wording.Count(result.Probe.PersonCount, "person")}, grouped by '{result.Probe.GroupAttribute}'. {Wording.Weighting(result)}");
        bool isWeighted = result.Probe.WeightColumn is not null;
        page.Table("Groups of the probe", ["group", "meaning", "images", "persons", .. isWeighted ? ["effective persons (Kish)"] : Array.Empty<string>()],
            result.Probe.Groups.Select(group => (string[])[group.Key, group.Description, group.ImageCount.ToString(), group.PersonCount.ToString(), .. isWeighted ? [$"{group.EffectivePersons:0.0}"] : Array.Empty<string>()]));
        foreach (string warning in result.Probe.Warnings)
            ReportWriter.WriteNote(page, new Note(NoteKind.Warning, "About the probe's data", warning));
    }

    private static void WriteByWhichModels(HtmlWriter page, AuditResult result)
    {
        page.Heading(3, "By which models");
        page.Paragraph($"{Wording.Count(result.Models.Count, "model")}: {string.Join(", ", result.Models.Select(model => model.TrainingSet.Length > 0 ? $"{model.Key} (trained on {model.TrainingSet})" : model.Key))}.");
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

        foreach (Note note in result.Notes.Where(note => note.Kind == NoteKind.Warning))
            ReportWriter.WriteNote(page, note);
    }

    private static void WriteHowSure(HtmlWriter page, AuditResult result)
    {
        page.Heading(3, "How sure this is");
        page.Paragraph($"Ranges in brackets are {Level(result)} intervals. They say how far a number would move with other images of the same kind; " +
            "they do not say what another training run would give. Small groups have wide intervals: look at n.");
        foreach (ExperimentResult experiment in result.Experiments)
        {
            ModelExperimentResult[] flips = [.. experiment.Models.Where(model => model.Flips is not null).OrderBy(model => model.Flips!.Flippable.Overall.Value ?? 0)];
            if (flips.Length > 0)
            {
                string[] shares = Array.ConvertAll(flips, model => $"{Wording.Share(model.Flips!.Flippable.Overall.Value)} ({model.Model})");
                string said = shares.Length > FindingsPerExperiment ? $"between {shares[0]} and {shares[^1]}" : string.Join(", ", shares);
                page.Paragraph($"{experiment.Title}: a numeric error of {flips[0].Flips!.CosineError:0.######} in a cosine could change the chosen label of {said} of {Wording.Count(flips[0].Flips!.Flippable.Overall.Count, "image")}.");
            }
        }

        if (result.Sensitivity.Count == 0)
        {
            page.Paragraph("This run tried one wording only. Rates are known to swing with template, synonyms and the other labels: take each as an example of what the model does, not as the rate of a concept.");
            return;
        }

        page.Paragraph("What other wordings do, where they do most:");
        page.List(result.Sensitivity.Where(statement => statement is { Lowest: not null, Highest: not null }).OrderByDescending(statement => statement.Highest - statement.Lowest).Take(WordingsShown)
            .Select(statement => $"{statement.Model} chose '{statement.Label}' for {Wording.Percent(statement.Published)} of group {Wording.Group(result, statement.Group)} as worded here; " +
                $"over {Wording.Count(statement.Cells.Count(cell => cell.Kind == WordingKind.Grid), "wording")} {statement.Lowest * 100:0.0}–{statement.Highest * 100:0.0} %."));
    }

    private static void WriteComparisons(HtmlWriter page, AuditResult result)
    {
        ArmComparison[] primary = Primary(result);
        if (primary.Length == 0)
            return;
        ArmComparison[] clear = [.. primary.Where(IsClear)];
        page.Paragraph($"The spec declares {Wording.Count(primary.Length, "comparison")} primary; {clear.Length} {(clear.Length == 1 ? "shows" : "show")} a difference that survives Holm's correction (corrected p < {Clear})" +
            (clear.Length > PrimaryFindings ? $", of which the {PrimaryFindings} largest are:" : clear.Length > 0 ? ":" : "."));
        foreach (ArmComparison comparison in clear.Take(PrimaryFindings))
        {
            WriteFinding(page, $"{comparison.Name}: {Went(result, comparison)}",
                $"Difference {Wording.Points(comparison.RateDifference)}, n = {comparison.RateDifference.Count}, {Wording.PValue(comparison.RateTest!.Holm)} after Holm's correction over {comparison.RateTest.FamilySize} tests.");
        }

        ArmComparison[] unclear = [.. primary.Where(comparison => !IsClear(comparison))];
        if (unclear.Length > 0)
        {
            page.Paragraph($"{(unclear.Length == 1 ? "The other shows" : "The others show")} no clear difference: " + string.Join("; ", unclear.Select(comparison =>
                $"{comparison.Name}, '{comparison.Label}', {Wording.Group(result, comparison.Group)}: {Wording.Points(comparison.RateDifference)}, n = {comparison.RateDifference.Count}{(comparison.RateTest is { } test ? ", " + Wording.PValue(test.Holm) : "")}")) + ".");
        }

        foreach (var confounded in primary.Where(comparison => comparison.ConfoundedWith.Length > 0).GroupBy(comparison => comparison.ConfoundedWith))
            page.Paragraph($"{string.Join("; ", confounded.Select(comparison => comparison.Name).Distinct())}: the two arms also differ in {confounded.Key}, so a difference is not the effect of data alone.");
    }

    /// <summary>The widest gaps between two groups of one model and label whose interval excludes zero.</summary>
    private static void WriteFindings(HtmlWriter page, AuditResult result, ExperimentResult experiment, bool isNamed)
    {
        if (experiment.Models.Count == 0)
            return;
        string prefix = isNamed ? experiment.Title + ": " : "";
        if (experiment.NamesGroups)
        {
            ModelExperimentResult[] models = [.. experiment.Models.Where(model => model.Confusion is not null).OrderBy(model => model.Confusion!.Misclassified.Overall.Value ?? 0)];
            if (models.Length > FindingsPerExperiment)
                page.Paragraph($"{prefix}{models.Length} models named another group than the recorded one; the least and the most often:");
            foreach (ModelExperimentResult model in models.Length > FindingsPerExperiment ? [models[0], models[^1]] : models)
            {
                Confusion confusion = model.Confusion!;
                string parts = string.Join(", ", confusion.MisclassifiedByAttribute.Select(frame => $"{frame.Subject} {Wording.Percent(frame.Overall)}"));
                WriteFinding(page, $"{prefix}{model.Model} named another group than the recorded one for {Wording.Percent(confusion.Misclassified.Overall)} of images.",
                    (parts.Length > 0 ? $"Wrong in: {parts}. " : "") + $"n = {confusion.Misclassified.Overall.Count}.");
            }

            return;
        }

        Finding[] gaps = [.. Gaps(experiment).OrderByDescending(finding => Math.Abs(finding.Gap.Difference.Value!.Value))];
        if (gaps.Length == 0)
        {
            page.Paragraph($"{prefix}no two groups differ in how often any label was chosen by more than chance allows (every interval of a difference includes zero).");
            return;
        }

        page.Paragraph($"{prefix}the widest differences between two groups, one for each model and label, at most {FindingsPerExperiment}. They were picked because they are wide, so read them as places to look, not as tests:");
        foreach (Finding finding in gaps.Take(FindingsPerExperiment))
        {
            GroupMetricFrame frame = finding.Frame;
            WriteFinding(page, Chose(result, finding),
                $"Difference {finding.High} minus {finding.Low}: {Wording.Points(Upwards(finding.Gap.Difference))}; n = {frame[finding.High].Count} and {frame[finding.Low].Count}.");
        }
    }

    private static ArmComparison[] Primary(AuditResult result) =>
        [.. result.Comparisons.Where(comparison => comparison.RateTest is { IsPrimary: true }).OrderByDescending(comparison => Math.Abs(comparison.RateDifference.Value ?? 0))];

    /// <summary>The primary families of pairs of groups, each in a paragraph and its clear members.</summary>
    private static void WritePairs(HtmlWriter page, AuditResult result)
    {
        foreach (IGrouping<string, ChangeComparison> family in result.ChangeComparisons.Where(entry => entry.RateTest is { IsPrimary: true }).GroupBy(entry => entry.Family))
        {
            page.Paragraph($"Did the step between the arms do the same to every group? The spec declares {Wording.Count(family.Count(), "difference")} of differences primary ('{family.Key}'); {CountClear(family.Count(entry => IsClear(entry.RateTest)))} beyond chance after Holm's correction:");
            foreach (ChangeComparison entry in family.OrderByDescending(entry => Math.Abs(entry.RateDifference.Value ?? 0)).Take(PrimaryFindings))
            {
                WriteFinding(page, $"{entry.Comparison}: '{entry.Label}' changed by {Wording.Points(entry.FirstChange)} for group {Wording.Group(result, entry.First)} and by {Wording.Points(entry.SecondChange)} for group {Wording.Group(result, entry.Second)}.",
                    $"Difference of the two changes {Wording.Points(entry.RateDifference)}, n = {entry.RateDifference.Count}{After(entry.RateTest)}.");
            }
        }

        foreach (IGrouping<string, GroupComparison> family in result.GroupComparisons.Where(entry => entry.RateTest is { IsPrimary: true }).GroupBy(entry => entry.Family))
        {
            GroupComparison[] clear = [.. family.Where(entry => IsClear(entry.RateTest)).OrderByDescending(entry => Math.Abs(entry.RateDifference.Value ?? 0))];
            page.Paragraph($"Within models the spec declares {Wording.Count(family.Count(), "gap")} between groups primary ('{family.Key}'); {CountClear(clear.Length)} beyond chance after Holm's correction{(clear.Length > PrimaryFindings ? $", of which the {PrimaryFindings} largest are:" : clear.Length > 0 ? ":" : ".")}");
            foreach (GroupComparison entry in clear.Take(PrimaryFindings))
            {
                string companions = result.Experiments.FirstOrDefault(experiment => experiment.Key == entry.Experiment) is { } experiment && experiment.Models.FirstOrDefault(model => model.Model == entry.Model) is { } model
                    ? Companions.Of(result, experiment, model, entry.Label, entry.First, entry.Second) : "";
                WriteFinding(page, $"{entry.Model} chose '{entry.Label}' for {Wording.Percent(entry.FirstRate)} of group {Wording.Group(result, entry.First)}, and for {Wording.Percent(entry.SecondRate)} of group {Wording.Group(result, entry.Second)}.{companions}",
                    $"Difference {Wording.Points(entry.RateDifference)}, ratio {Wording.Ratio(entry.RateRatio)}, n = {entry.RateDifference.Count}{After(entry.RateTest)}.");
            }
        }

        static string CountClear(int count) => $"{count} {(count == 1 ? "is" : "are")}";
        static string After(TestResult? test) => test is null ? "" : $", {Wording.PValue(test.Holm)} after Holm's correction over {test.FamilySize} tests";
    }

    private static bool HasPrimaryPairs(AuditResult result) =>
        result.ChangeComparisons.Any(entry => entry.RateTest is { IsPrimary: true }) || result.GroupComparisons.Any(entry => entry.RateTest is { IsPrimary: true });

    private static bool IsClear(TestResult? test) => test is { } made && made.Holm < Clear;

    private static bool IsClear(ArmComparison comparison) => comparison.RateTest!.Holm < Clear;

    private static string Went(AuditResult result, ArmComparison comparison) =>
        $"'{comparison.Label}' was chosen for {Wording.Percent(comparison.FirstRate)} of group {Wording.Group(result, comparison.Group)} in the {comparison.First.Name} arm and for {Wording.Percent(comparison.SecondRate)} in the {comparison.Second.Name} arm.{Companions.Of(result, comparison)}";

    private static string Chose(AuditResult result, Finding finding) => $"{ChoseAlone(result, finding)}{Companions.Of(result, finding.Experiment, finding.Model, finding.Frame.Subject, finding.High, finding.Low)}";

    private static string ChoseAlone(AuditResult result, Finding finding) =>
        $"{finding.Model.Model} chose '{finding.Frame.Subject}' for {Wording.Percent(finding.Frame[finding.High])} of group {Wording.Group(result, finding.High)}, and for {Wording.Percent(finding.Frame[finding.Low])} of group {Wording.Group(result, finding.Low)}.";

    private static IEnumerable<Finding> Gaps(ExperimentResult experiment) =>
        experiment.Models.SelectMany(model => model.ArgmaxFrequency.SelectMany(frame => frame.Gaps
                .Where(gap => gap.Difference is { Value: not null, Interval: not null } && (gap.Difference.Interval.Lower > 0 || gap.Difference.Interval.Upper < 0))
                .Select(gap => new Finding(experiment, model, frame, gap))))
            .GroupBy(finding => (finding.Model.Model, finding.Frame.Subject))
            .Select(label => label.MaxBy(finding => Math.Abs(finding.Gap.Difference.Value!.Value))!);

    /// <summary>The difference the other way round where it is negative: the sentence beside it names the higher group first.</summary>
    private static Estimate Upwards(Estimate difference) => difference is not { Value: < 0, Interval: { } interval } ? difference
        : difference with { Value = -difference.Value, Interval = interval with { Lower = -interval.Upper, Upper = -interval.Lower } };

    private static string Level(AuditResult result) => $"{result.Provenance.ConfidenceLevel * 100:0.#} %";

    private static void WriteFinding(HtmlWriter page, string what, string sure) =>
        page.Raw("<div class=\"finding\">").Paragraph(what).Paragraph(sure, "sure").Raw("</div>");

    private sealed record Finding(ExperimentResult Experiment, ModelExperimentResult Model, GroupMetricFrame Frame, GroupGap Gap)
    {
        public string High => Gap.Difference.Value > 0 ? Gap.First : Gap.Second;

        public string Low => Gap.Difference.Value > 0 ? Gap.Second : Gap.First;
    }
}
