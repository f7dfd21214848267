using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>Puts the results of models and experiments together. Scores from any source go through here.</summary>
internal static class AuditAssembly
{
    /// <summary>The version that results are marked with.</summary>
    public static string Version { get; } = typeof(AuditAssembly).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>Completes a result with the texts that follow from it.</summary>
    public static AuditResult WithNotes(AuditResult result) => result with { Notes = AuditNotes.For(result) };

    /// <summary>What readers call the groups: as the spec says, or as the labels that name them.</summary>
    public static Dictionary<string, string> GroupNames(IReadOnlyDictionary<string, string> declared, IEnumerable<LabelExperiment> experiments)
    {
        var names = new Dictionary<string, string>(declared);
        foreach (LabelSummary label in experiments.SelectMany(experiment => experiment.Labels))
        {
            if (label.Group is not null)
                names.TryAdd(label.Group, label.Text);
        }

        return names;
    }

    /// <summary>An experiment's results in the shape of the contract.</summary>
    public static ExperimentResult Experiment(LabelExperiment experiment, IReadOnlyList<ModelExperimentResult> models) => new()
    {
        Key = experiment.Key,
        Title = experiment.Title,
        Labels = experiment.Labels,
        HasOffensiveLabels = experiment.IsOffensive,
        MergedLabels = experiment.MergedLabels,
        Models = models,
    };

    /// <summary>The probe in the shape of the contract.</summary>
    public static ProbeSummary Probe(Probe probe, IReadOnlyDictionary<string, string> names) => probe.Summary(names);
}
