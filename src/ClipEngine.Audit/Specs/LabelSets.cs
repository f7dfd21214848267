using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Specs;

/// <summary>Label sets as the command line names them.</summary>
internal static class LabelSets
{
    /// <summary>
    /// A label set by name or by its labels: an experiment of the shipped spec (<c>human</c>, <c>racegender</c>), a file with
    /// a label in each line, or labels with commas between them, in quotes where a comma belongs to a label.
    /// </summary>
    /// <param name="text">One of the three.</param>
    /// <exception cref="BadInputException">Fewer than two labels, or one twice.</exception>
    public static LabelExperiment Resolve(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        ExperimentSpec[] shipped = [.. SpecReader.Paper().Experiments];
        if (Array.Find(shipped, experiment => experiment.Key == text) is { } known)
            return SpecReader.Experiment(known, $"the shipped label set {text}");
        string names = string.Join(", ", shipped.Select(experiment => experiment.Key));
        LabelList list = LabelList.Read(text);
        if (list.Labels.Count < 2)
            throw new BadInputException(text, "two labels or more were expected.", $"Give a shipped label set ({names}), a file with a label in each line, or labels with commas between them.");
        return new LabelExperiment
        {
            Key = "labels",
            Title = "Labels",
            Labels = [.. list.Labels.Select(label => new LabelSummary(label, "", null))],
            Source = list.Origin,
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

    /// <summary>The same labels with merged labels beside those they have.</summary>
    /// <param name="experiment">The labels.</param>
    /// <param name="merged"><c>NAME=label,label</c>; quotes keep a comma inside a label.</param>
    /// <exception cref="BadInputException">One is malformed, names no label of the set, or has a name that is taken.</exception>
    public static LabelExperiment WithMerged(LabelExperiment experiment, IReadOnlyList<string> merged)
    {
        var all = new List<MergedLabel>(experiment.MergedLabels);
        foreach (string text in merged)
        {
            string option = $"--merge {BadInputException.Escape(text, 100)}";
            int split = text.IndexOf('=', StringComparison.Ordinal);
            string name = split > 0 ? text[..split].Trim() : "";
            if (name.Length == 0 || name.Any(char.IsControl) || string.IsNullOrWhiteSpace(text[(split + 1)..]))
                throw new BadInputException(option, "NAME=label,label was expected.", "Write for example: --merge \"any crime label=thief,criminal\"");
            string[] labels = LabelList.Split(text[(split + 1)..]);
            foreach (string label in labels)
                experiment.Column(label);
            if (all.Any(entry => entry.Name == name) || experiment.Labels.Any(label => label.Text == name))
                throw new BadInputException(option, $"'{BadInputException.Escape(name, 60)}' is a label or merged label already.", "Give it another name.");
            all.Add(new MergedLabel(name, [.. labels.Distinct()]));
        }

        return experiment with { MergedLabels = all };
    }
}
