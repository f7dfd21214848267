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
/// <param name="Column">The concept's place among them.</param>
internal sealed record Wording(
    string Concept, string Template, string Synonym, string LabelSet, WordingKind Kind, bool IsPublished, IReadOnlyList<string> Prompts, int Column);

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

    /// <summary>Statements of one model: for each concept and group the published rate, and the range over the grid.</summary>
    /// <param name="model">The model's key.</param>
    /// <param name="wordings">The wordings.</param>
    /// <param name="scores">The probabilities of each wording's prompts.</param>
    /// <param name="builder">Makes the intervals.</param>
    public static IEnumerable<SensitivityStatement> Statements(string model, IReadOnlyList<Wording> wordings, IReadOnlyList<ScoreMatrix> scores, FrameBuilder builder)
    {
        (GroupMetricFrame Rate, GroupMetricFrame Mean)[] frames = [.. wordings.Select((wording, index) => Frames(wording, scores[index], builder))];
        foreach (string concept in wordings.Select(wording => wording.Concept).Distinct())
        {
            int[] members = [.. Enumerable.Range(0, wordings.Count).Where(index => wordings[index].Concept == concept)];
            foreach (string group in builder.Grouping.Keys)
            {
                SensitivityCell[] cells = [.. members.Select(index => new SensitivityCell(
                    wordings[index].Template, wordings[index].Synonym, wordings[index].LabelSet, wordings[index].Kind, wordings[index].IsPublished,
                    frames[index].Rate[group], frames[index].Mean[group]))];
                double[] rates = [.. cells.Where(cell => cell is { Kind: WordingKind.Grid, Rate.Value: not null }).Select(cell => cell.Rate.Value!.Value).Order()];
                yield return new SensitivityStatement
                {
                    Statement = $"{concept}, {group}, {model}",
                    Model = model,
                    Group = group,
                    Label = concept,
                    Published = cells.First(cell => cell.IsPublished).Rate,
                    Lowest = rates.Length == 0 ? null : rates[0],
                    Median = rates.Length == 0 ? null : Audit.Statistics.Bootstrap.Quantile(rates, 0.5),
                    Highest = rates.Length == 0 ? null : rates[^1],
                    Cells = cells,
                };
            }
        }
    }

    private static (GroupMetricFrame Rate, GroupMetricFrame Mean) Frames(Wording wording, ScoreMatrix scores, FrameBuilder builder)
    {
        var wins = new bool[scores.Rows];
        var values = new double[scores.Rows];
        for (int row = 0; row < scores.Rows; row++)
        {
            wins[row] = scores.Argmax(row) == wording.Column;
            values[row] = scores[row, wording.Column];
        }

        return (builder.Share(Metric.ArgmaxFrequency, wording.Synonym, wins, withGaps: false),
            builder.Means(Metric.MeanProbability, MetricUnit.Proportion, [wording.Synonym], values, withGaps: false)[0]);
    }

    private static Wording Create(string concept, string template, string synonym, LabelSetSpec set, WordingKind kind, bool isPublished)
    {
        string[] labels = [.. set.Labels.Select(label => label == concept ? synonym : label)];
        return new Wording(concept, template, synonym, set.Name, kind, isPublished,
            [.. labels.Select(label => PromptTemplate.Fill(template, label))], set.Labels.ToList().IndexOf(concept));
    }

    private static string Reversed(string prompt) => string.Join(' ', prompt.Split(' ').Reverse());
}
