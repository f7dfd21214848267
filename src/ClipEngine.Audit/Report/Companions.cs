using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Report;

/// <summary>
/// What must stand beside a statement of one label: labels compete, so that one may gain only what a kindred one lost. The merged labels that it belongs
/// to, the smallest first and each number once, and the label that moved most the other way.
/// </summary>
internal static class Companions
{
    /// <summary>A share of the move from which on another label's opposite move is said.</summary>
    private const double Notable = 0.5;

    /// <summary>For a label's change between two arms; with a leading space, or empty.</summary>
    public static string Of(AuditResult result, ArmComparison comparison)
    {
        ExperimentResult? experiment = result.Experiments.FirstOrDefault(entry => entry.Key == comparison.Experiment);
        ArmComparison[] beside = [.. result.Comparisons.Where(entry => entry.Name == comparison.Name && entry.Experiment == comparison.Experiment && entry.Group == comparison.Group && entry.Label != comparison.Label)];
        IEnumerable<string> merged = Merged(experiment, comparison.Label).SelectMany(kin => beside.Where(entry => entry.Label == kin)).DistinctBy(entry => (entry.FirstRate.Value, entry.SecondRate.Value)).Select(entry => Sentence(entry.Label, entry.FirstRate, entry.SecondRate, "went from", "to"));
        ArmComparison? other = beside.Where(entry => IsLabel(experiment, entry.Label) && IsOpposite(entry.RateDifference.Value, comparison.RateDifference.Value)).MaxBy(entry => Math.Abs(entry.RateDifference.Value!.Value));
        return string.Concat(merged) + (other is null ? "" : Sentence(other.Label, other.FirstRate, other.SecondRate, "moved the other way, from", "to"));
    }

    /// <summary>For a label's difference of changes between two groups: the merged labels that it belongs to, where a family has them; with a leading space, or empty.</summary>
    public static string Of(AuditResult result, ChangeComparison change)
    {
        ExperimentResult? experiment = result.Experiments.FirstOrDefault(entry => entry.Key == change.Experiment);
        return string.Concat(Merged(experiment, change.Label)
            .SelectMany(kin => result.ChangeComparisons.Where(entry => entry.Label == kin && entry.Comparison == change.Comparison && entry.Experiment == change.Experiment && entry.First == change.First && entry.Second == change.Second).Take(1))
            .Select(kin => $" '{kin.Label}' changed by {Wording.Points(kin.FirstChange)} and by {Wording.Points(kin.SecondChange)}, a difference of {Wording.Points(kin.RateDifference)}."));
    }

    /// <summary>For a label's gap between two groups of one model; with a leading space, or empty.</summary>
    public static string Of(AuditResult result, ExperimentResult experiment, ModelExperimentResult model, string label, string first, string second)
    {
        IEnumerable<string> merged = Merged(experiment, label).SelectMany(kin => model.MergedArgmaxFrequency.Where(frame => frame.Subject == kin)).Where(Has)
            .DistinctBy(frame => (frame[first].Value, frame[second].Value)).Select(frame => Sentence(frame.Subject, frame[first], frame[second], "was chosen for", "and"));
        GroupMetricFrame? own = model.ArgmaxFrequency.FirstOrDefault(frame => frame.Subject == label);
        double? move = own is not null && Has(own) ? own[second].Value - own[first].Value : null;
        GroupMetricFrame? other = model.ArgmaxFrequency.Where(frame => frame.Subject != label && Has(frame) && IsOpposite(frame[second].Value - frame[first].Value, move)).MaxBy(frame => Math.Abs(frame[second].Value!.Value - frame[first].Value!.Value));
        return string.Concat(merged) + (other is null ? "" : Sentence(other.Subject, other[first], other[second], "lies the other way, with", "and"));

        bool Has(GroupMetricFrame frame) => frame.Groups.Any(entry => entry.Group == first) && frame.Groups.Any(entry => entry.Group == second);
    }

    private static IEnumerable<string> Merged(ExperimentResult? experiment, string label) =>
        experiment?.MergedLabels.Where(merged => merged.Labels.Contains(label)).OrderBy(merged => merged.Labels.Count).Select(merged => merged.Name) ?? [];

    private static bool IsLabel(ExperimentResult? experiment, string label) => experiment?.Labels.Any(entry => entry.Text == label) ?? false;

    private static bool IsOpposite(double? move, double? of) => move is double own && of is double main && own * main < 0 && Math.Abs(own) >= Notable * Math.Abs(main);

    private static string Sentence(string label, Estimate first, Estimate second, string verb, string and) => $" '{label}' {verb} {Wording.Percent(first)} {and} {Wording.Percent(second)}.";
}
