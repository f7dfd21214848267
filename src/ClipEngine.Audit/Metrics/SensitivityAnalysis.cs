using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;

namespace ClipEngine.Audit.Metrics;

/// <summary>One wording: a label set under a template, with one of its labels perhaps said in another word.</summary>
/// <param name="Concept">The label that statements are made of.</param>
/// <param name="Template">The template.</param>
/// <param name="Synonym">What stands for the concept.</param>
/// <param name="LabelSet">The label set's name.</param>
/// <param name="Kind">Part of the grid, or a control.</param>
/// <param name="IsPublished">Whether this is the published wording.</param>
/// <param name="Prompts">The sentences, in the label set's order.</param>
/// <param name="Labels">The label set's labels, the concept not yet replaced.</param>
/// <param name="Column">The concept's place among them.</param>
internal sealed record Wording(
    string Concept, string Template, string Synonym, string LabelSet, WordingKind Kind, bool IsPublished, IReadOnlyList<string> Prompts, IReadOnlyList<string> Labels, int Column);

/// <summary>The grid of wordings, and what comes out of it.</summary>
internal static class SensitivityAnalysis
{
    /// <summary>The published label set's name in tables.</summary>
    public const string PublishedSet = "published";

    /// <summary>Every wording of a spec, the published one of each concept first.</summary>
    public static IReadOnlyList<Wording> Wordings(SensitivitySpec grid, ExperimentSpec experiment)
    {
        var wordings = new List<Wording>();
        var published = new LabelSetSpec { Name = PublishedSet, Labels = [.. experiment.Labels.Select(label => label.Text)] };
        foreach ((string concept, IReadOnlyList<string> synonyms) in grid.Synonyms)
        {
            foreach (LabelSetSpec set in grid.LabelSets.Prepend(published).Where(set => set.Labels.Contains(concept)))
            {
                foreach (string template in grid.Templates.Prepend(experiment.Template))
                {
                    foreach (string synonym in synonyms.Prepend(concept))
                    {
                        bool isPublished = set == published && template == experiment.Template && synonym == concept;
                        wordings.Add(Create(concept, template, synonym, set, WordingKind.Grid, isPublished));
                    }
                }
            }

            wordings.AddRange(grid.NeutralSets.Where(set => set.Labels.Contains(concept))
                .Select(set => Create(concept, experiment.Template, concept, set, WordingKind.Neutral, isPublished: false)));
            if (grid.BagOfWords)
            {
                Wording ordered = Create(concept, experiment.Template, concept, published, WordingKind.BagOfWords, isPublished: false);
                wordings.Add(ordered with { Prompts = [.. ordered.Prompts.Select(Reversed)] });
            }
        }

        return wordings;
    }

    /// <summary>
    /// Statements of one model: for each concept and group the published rate, and the range over the grid. A merged label has a statement where one of
    /// its labels has, over the wordings of all of them in the label sets that have all of them.
    /// </summary>
    /// <param name="model">The model's key.</param>
    /// <param name="wordings">The wordings.</param>
    /// <param name="merged">The experiment's merged labels.</param>
    /// <param name="scores">The probabilities of each wording's prompts.</param>
    /// <param name="builder">Makes the intervals.</param>
    public static IEnumerable<SensitivityStatement> Statements(
        string model, IReadOnlyList<Wording> wordings, IReadOnlyList<MergedLabel> merged, IReadOnlyList<ScoreMatrix> scores, FrameBuilder builder)
    {
        foreach (string concept in wordings.Select(wording => wording.Concept).Distinct())
        {
            (int, string, int[])[] members = [.. Enumerable.Range(0, wordings.Count).Where(index => wordings[index].Concept == concept)
                .Select(index => (index, wordings[index].Synonym, new[] { wordings[index].Column }))];
            foreach (SensitivityStatement statement in Of(concept, members))
                yield return statement;
        }

        foreach (MergedLabel label in merged)
        {
            // What was not replaced is the same wording for each of the labels.
            (int, string, int[])[] members = [.. Enumerable.Range(0, wordings.Count)
                .Where(index => label.Labels.Contains(wordings[index].Concept) && label.Labels.All(wordings[index].Labels.Contains))
                .DistinctBy(index => (wordings[index].Kind, wordings[index].LabelSet, string.Join('\n', wordings[index].Prompts)))
                .Select(index => (index, string.Join(", ", label.Labels.Select(part => part == wordings[index].Concept ? wordings[index].Synonym : part)),
                    label.Labels.Select(part => wordings[index].Labels.ToList().IndexOf(part)).ToArray()))];
            if (members.Length == 0)
                continue;
            foreach (SensitivityStatement statement in Of(label.Name, members))
                yield return statement;
        }

        IEnumerable<SensitivityStatement> Of(string label, (int Index, string Words, int[] Columns)[] members)
        {
            (GroupMetricFrame Rate, GroupMetricFrame Mean)[] frames = [.. members.Select(member => Frames(member.Words, member.Columns, scores[member.Index], builder))];
            foreach (string group in builder.Grouping.Keys)
            {
                SensitivityCell[] cells = [.. members.Select((member, place) => new SensitivityCell(
                    wordings[member.Index].Template, member.Words, wordings[member.Index].LabelSet, wordings[member.Index].Kind, wordings[member.Index].IsPublished,
                    frames[place].Rate[group], frames[place].Mean[group]))];
                double[] rates = [.. cells.Where(cell => cell is { Kind: WordingKind.Grid, Rate.Value: not null }).Select(cell => cell.Rate.Value!.Value).Order()];
                yield return new SensitivityStatement
                {
                    Statement = $"{label}, {group}, {model}",
                    Model = model,
                    Group = group,
                    Label = label,
                    Published = cells.First(cell => cell.IsPublished).Rate,
                    Lowest = rates.Length == 0 ? null : rates[0],
                    Median = rates.Length == 0 ? null : Audit.Statistics.Bootstrap.Quantile(rates, 0.5),
                    Highest = rates.Length == 0 ? null : rates[^1],
                    Cells = cells,
                };
            }
        }
    }

    private static (GroupMetricFrame Rate, GroupMetricFrame Mean) Frames(string words, int[] columns, ScoreMatrix scores, FrameBuilder builder)
    {
        var wins = new bool[scores.Rows];
        var values = new double[scores.Rows];
        for (int row = 0; row < scores.Rows; row++)
        {
            wins[row] = columns.Contains(scores.Argmax(row));
            foreach (int column in columns)
                values[row] += scores[row, column];
        }

        return (builder.Share(Metric.ArgmaxFrequency, words, wins, withGaps: false),
            builder.Means(Metric.MeanProbability, MetricUnit.Proportion, [words], values, withGaps: false)[0]);
    }

    private static Wording Create(string concept, string template, string synonym, LabelSetSpec set, WordingKind kind, bool isPublished)
    {
        string[] labels = [.. set.Labels.Select(label => label == concept ? synonym : label)];
        return new Wording(concept, template, synonym, set.Name, kind, isPublished,
            [.. labels.Select(label => PromptTemplate.Fill(template, label))], set.Labels, set.Labels.ToList().IndexOf(concept));
    }

    private static string Reversed(string prompt) => string.Join(' ', prompt.Split(' ').Reverse());
}
