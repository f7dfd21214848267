using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Specs;

/// <summary>Label sets as the command line names them.</summary>
public static class LabelSets
{
    /// <summary>
    /// A label set by name or by its labels: an experiment of the shipped spec (<c>human</c>, <c>racegender</c>), a text file with
    /// a label in each line, or labels with commas between them.
    /// </summary>
    /// <param name="text">One of the three.</param>
    /// <exception cref="BadInputException">Fewer than two labels, or one twice.</exception>
    public static LabelExperiment Resolve(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        ExperimentSpec[] shipped = [.. SpecReader.Paper().Experiments];
        if (Array.Find(shipped, experiment => experiment.Key == text) is { } known)
            return SpecReader.Experiment(known, text);
        bool isFile = !text.Contains(',', StringComparison.Ordinal) && File.Exists(text);
        string[] labels = [.. (isFile ? File.ReadAllLines(text) : text.Split(',')).Select(label => label.Trim()).Where(label => label.Length > 0)];
        string names = string.Join(", ", shipped.Select(experiment => experiment.Key));
        if (labels.Length < 2)
            throw new BadInputException(text, "two labels or more were expected.", $"Give a shipped label set ({names}), a text file with a label in each line, or labels with commas between them.");
        string? twice = labels.GroupBy(label => label).FirstOrDefault(group => group.Count() > 1)?.Key;
        if (twice is not null)
            throw new BadInputException(text, $"the label '{BadInputException.Escape(twice)}' is there more than once.", "Name each column's label once.");
        return new LabelExperiment
        {
            Key = "labels",
            Title = "Labels",
            Labels = [.. labels.Select(label => new LabelSummary(label, "", null))],
            Source = text,
        };
    }

    /// <summary>The same labels, each naming a group.</summary>
    /// <param name="experiment">The labels.</param>
    /// <param name="pairs"><c>GROUP=label</c>, one for each label.</param>
    /// <exception cref="BadInputException">A pair is malformed or names no label, or a label is left without a group.</exception>
    public static LabelExperiment WithGroups(LabelExperiment experiment, IReadOnlyList<string> pairs)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(pairs);
        var groups = new Dictionary<string, string>();
        foreach (string pair in pairs)
        {
            int split = pair.IndexOf('=', StringComparison.Ordinal);
            if (split <= 0 || !groups.TryAdd(pair[(split + 1)..].Trim(), pair[..split].Trim()))
                throw new BadInputException($"--expect {pair}", "GROUP=label was expected, each label once.", "Write for example: --expect \"BM=black man\"");
        }

        foreach (string label in groups.Keys)
            experiment.Column(label);
        return experiment with
        {
            Labels = [.. experiment.Labels.Select(label => label with
            {
                Group = groups.TryGetValue(label.Text, out string? group)
                    ? group
                    : throw new BadInputException("--expect", $"label '{label.Text}' is given to no group.", "Name a group for every label."),
            })],
        };
    }
}
