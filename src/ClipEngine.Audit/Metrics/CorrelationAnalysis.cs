using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Labels' probabilities against numeric columns: over all persons, within groups, and in each group, corrected over columns and models.</summary>
internal static class CorrelationAnalysis
{
    public static IReadOnlyList<AttributeCorrelation> Analyse(
        Probe probe, AuditSpec spec, IReadOnlyList<LabelExperiment> experiments, IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores, IntervalOptions options)
    {
        var correlations = new List<AttributeCorrelation>();
        Grouping grouping = probe.Grouping;
        foreach (CorrelationSpec wanted in spec.Correlations)
        {
            IReadOnlyList<double?> attribute = probe.NumericAttribute(wanted.Attribute);
            LabelExperiment experiment = experiments.First(entry => entry.Key == wanted.Experiment);
            Subject subject = Subject.Of(experiment).First(entry => entry.Name == wanted.Label);
            int[] rows = [.. Enumerable.Range(0, attribute.Count).Where(row => attribute[row] is not null)];
            foreach (string model in spec.Models.Select(model => model.Key).Where(model => scores.ContainsKey((wanted.Experiment, model))))
            {
                double[] probabilities = ArmScores.Of([scores[(wanted.Experiment, model)]]).Probabilities(subject);
                PersonCorrelation Of(IEnumerable<int> of, int[]? strata) => PersonCorrelation.Of(of, grouping.PersonOf, strata, probe.Weighting, row => attribute[row]!.Value, row => probabilities[row], grouping.CaseWeights);
                void Add(string group, PersonCorrelation correlation)
                {
                    string stream = $"correlation|{wanted.Attribute}|{group}";
                    (Estimate pearson, TestResult? pearsonTest) = correlation.Estimate(isOfRanks: false, options, stream);
                    (Estimate spearman, TestResult? spearmanTest) = correlation.Estimate(isOfRanks: true, options, stream);
                    correlations.Add(new AttributeCorrelation(model, wanted.Experiment, wanted.Label, wanted.Attribute, pearson, spearman)
                    {
                        Group = group,
                        ImagesWithout = attribute.Count - rows.Length,
                        PearsonTest = pearsonTest,
                        SpearmanTest = spearmanTest,
                    });
                }

                Add("", Of(rows, null));
                if (grouping.Keys.Count < 2)
                    continue;
                Add(AttributeCorrelation.WithinGroups, Of(rows, grouping.GroupOf));
                for (int group = 0; group < grouping.Keys.Count; group++)
                    Add(grouping.Keys[group], Of(rows.Where(row => grouping.GroupOf[row] == group), null));
            }
        }

        return Correct(correlations);
    }

    /// <summary>A family for each label and experiment over columns and models: of the correlations over all persons, of those within groups, and of those in single groups.</summary>
    private static AttributeCorrelation[] Correct(List<AttributeCorrelation> correlations)
    {
        AttributeCorrelation[] corrected = [.. correlations];
        string Family(AttributeCorrelation entry) =>
            $"'{entry.Label}', {entry.Experiment}, {(entry.Group.Length == 0 ? "over all persons" : entry.Group == AttributeCorrelation.WithinGroups ? "within groups" : "in single groups")}";
        foreach (IGrouping<string, int> members in Enumerable.Range(0, corrected.Length).GroupBy(index => Family(corrected[index])))
        {
            TestResult?[] pearson = TestFamilies.Correct([.. members.Select(index => corrected[index].PearsonTest)], members.Key, isPrimary: false);
            TestResult?[] spearman = TestFamilies.Correct([.. members.Select(index => corrected[index].SpearmanTest)], members.Key, isPrimary: false);
            int position = 0;
            foreach (int index in members)
            {
                corrected[index] = corrected[index] with { PearsonTest = pearson[position], SpearmanTest = spearman[position] };
                position++;
            }
        }

        return corrected;
    }
}
