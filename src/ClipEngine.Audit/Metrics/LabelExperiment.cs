using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Metrics;

/// <summary>What an experiment asks: labels that compete in one softmax, and what is made of them.</summary>
internal sealed record LabelExperiment
{
    /// <summary>Short name for files and tables.</summary>
    public required string Key { get; init; }

    /// <summary>What a reader calls it.</summary>
    public required string Title { get; init; }

    /// <summary>The labels in the columns' order.</summary>
    public required IReadOnlyList<LabelSummary> Labels { get; init; }

    /// <summary>Whether labels insult or dehumanise people.</summary>
    public bool IsOffensive { get; init; }

    /// <summary>Merged labels to report.</summary>
    public IReadOnlyList<MergedLabel> MergedLabels { get; init; } = [];

    /// <summary>In an experiment that names groups: the attributes by which a wrong label can be wrong (race, gender).</summary>
    public IReadOnlyList<string> FactorAttributes { get; init; } = [];

    /// <summary>Where the experiment was declared, for messages.</summary>
    public required string Source { get; init; }

    internal int Column(string label)
    {
        for (int column = 0; column < Labels.Count; column++)
        {
            if (Labels[column].Text == label)
                return column;
        }

        throw new BadInputException(Source, $"experiment '{Key}' has no label '{BadInputException.Escape(label)}'; its labels are {string.Join(", ", Labels.Select(entry => entry.Text))}.", "Name one of them.");
    }
}
