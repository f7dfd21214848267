using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>Groups against the groups that the winning labels name.</summary>
internal static class ConfusionAnalysis
{
    public static Confusion Analyse(LabelExperiment experiment, Probe probe, int[] winners, FrameBuilder builder)
    {
        string[] named = NamedGroups(experiment, probe);
        Grouping grouping = probe.Grouping;
        var shares = new double?[grouping.Keys.Count][];
        for (int group = 0; group < shares.Length; group++)
        {
            int[] rows = grouping.Images[group];
            shares[group] = new double?[named.Length];
            for (int column = 0; column < named.Length && rows.Length > 0; column++)
                shares[group][column] = rows.Where(row => winners[row] == column).Sum(row => grouping.Weights[row]) / rows.Sum(row => grouping.Weights[row]);
        }

        bool[] wrong = Array.ConvertAll([.. Enumerable.Range(0, winners.Length)], row => named[winners[row]] != probe.Images[row].Group);
        return new Confusion
        {
            Shares = shares,
            Misclassified = builder.Share(Metric.MisclassificationRate, "", wrong),
            MisclassifiedByAttribute = [.. experiment.FactorAttributes.Where(attribute => Undecided(attribute, named, probe) is null).Select(attribute =>
            {
                IReadOnlyList<string> own = probe.Attribute(attribute);
                string[] said = Array.ConvertAll(named, group => probe.AttributeOf(group, attribute)[0]);
                bool[] wrongHere = Array.ConvertAll([.. Enumerable.Range(0, winners.Length)], row => said[winners[row]] != own[row]);
                return builder.Share(Metric.MisclassificationRate, attribute, wrongHere);
            })],
            AttributesLeftOut = [.. experiment.FactorAttributes.Select(attribute => Undecided(attribute, named, probe)).OfType<string>()],
        };
    }

    /// <summary>Why nothing can be said about an attribute, or null: the name of a group says nothing about what its members differ in.</summary>
    private static string? Undecided(string attribute, string[] named, Probe probe)
    {
        string? divided = named.Distinct().FirstOrDefault(group => probe.AttributeOf(group, attribute).Length > 1);
        return divided is null ? null
            : $"No rate of names that are wrong in '{BadInputException.Escape(attribute)}': the images of group '{BadInputException.Escape(divided)}' have {probe.AttributeOf(divided, attribute).Length} values of it, so a group's name does not decide it.";
    }

    /// <summary>The group that each label names; all labels must name one that the probe has.</summary>
    internal static string[] NamedGroups(LabelExperiment experiment, Probe probe)
    {
        var named = new string[experiment.Labels.Count];
        for (int column = 0; column < named.Length; column++)
        {
            LabelSummary label = experiment.Labels[column];
            named[column] = label.Group is { } group && probe.GroupKeys.Contains(group)
                ? group
                : throw new BadInputException(experiment.Source,
                    $"label '{BadInputException.Escape(label.Text)}' of experiment '{experiment.Key}' names {(label.Group is null ? "no group" : $"group '{BadInputException.Escape(label.Group)}'")}; the probe's groups are {string.Join(", ", probe.GroupKeys.Take(30))}.",
                    "In an experiment that names groups every label must name one of the probe's.");
        }

        return named;
    }
}
