using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Declared comparisons of checkpoints on the same faces, with tests corrected within declared families.</summary>
internal sealed class ArmComparisons(Probe probe, AuditSpec spec, IReadOnlyList<LabelExperiment> experiments, IntervalOptions options)
{
    /// <summary>All comparisons whose models all have results.</summary>
    /// <param name="scores">Probabilities by experiment and model.</param>
    public IReadOnlyList<ArmComparison> All(IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        var entries = new List<Entry>();
        foreach (ComparisonSpec comparison in spec.Comparisons)
        {
            foreach (LabelExperiment experiment in experiments)
            {
                if (comparison.First.Models.Concat(comparison.Second.Models).Any(model => !scores.ContainsKey((experiment.Key, model))))
                    continue;
                ScoreMatrix[] first = [.. comparison.First.Models.Select(model => scores[(experiment.Key, model)])];
                ScoreMatrix[] second = [.. comparison.Second.Models.Select(model => scores[(experiment.Key, model)])];
                for (int column = 0; column < experiment.Labels.Count; column++)
                {
                    for (int group = 0; group < probe.GroupKeys.Count; group++)
                        entries.Add(new Entry(comparison, experiment, column, group, first, second));
                }
            }
        }

        var compared = new ArmComparison[entries.Count];
        Parallel.For(0, entries.Count, index => compared[index] = Compare(entries[index]));
        return Correct(compared);
    }

    private ArmComparison Compare(Entry entry)
    {
        (ComparisonSpec comparison, LabelExperiment experiment, int column, int group, ScoreMatrix[] first, ScoreMatrix[] second) = entry;
        Grouping grouping = probe.Grouping;
        int[][] persons = grouping.Persons[group];
        int count = grouping.Images[group].Length;
        var rates = new double[grouping.RowCount];
        var means = new double[grouping.RowCount];
        var before = new double[grouping.RowCount];
        var after = new double[grouping.RowCount];
        foreach (int row in grouping.Images[group])
        {
            before[row] = Rate(first, row, column);
            after[row] = Rate(second, row, column);
            rates[row] = after[row] - before[row];
            means[row] = Mean(second, row, column) - Mean(first, row, column);
        }

        string name = $"{comparison.Name}|{experiment.Key}|{experiment.Labels[column].Text}|{probe.GroupKeys[group]}";
        var builder = new FrameBuilder(grouping, options);
        PersonSample personRates = FrameBuilder.Sample(persons, grouping.Weights, rates, 1), personMeans = FrameBuilder.Sample(persons, grouping.Weights, means, 1);
        return new ArmComparison
        {
            Name = comparison.Name,
            Kind = comparison.Kind,
            Architecture = comparison.Architecture,
            ConfoundedWith = comparison.ConfoundedWith,
            First = Arm(comparison.First),
            Second = Arm(comparison.Second),
            Experiment = experiment.Key,
            Label = experiment.Labels[column].Text,
            Group = probe.GroupKeys[group],
            FirstRate = builder.Share(group, before)?.Estimate(options.Level) ?? Estimate.Undefined,
            SecondRate = builder.Share(group, after)?.Estimate(options.Level) ?? Estimate.Undefined,
            RateDifference = builder.Change(group, rates)?.Estimate ?? Estimate.Undefined,
            McNemar = first.Length == 1 && second.Length == 1 && persons.Length == count && count > 0 ? Discordant(grouping.Images[group], rates) : null,
            RateTest = Uncorrected(personRates, name + "|rate"),
            MeanDifference = builder.Resample(group, means, MetricUnit.Cosine, name).Mean(0, options),
            MeanTest = Uncorrected(personMeans, name + "|mean"),
            EffectSize = HypothesisTests.PairedEffectSize(personMeans),
        };
    }

    private TestResult? Uncorrected(PersonSample differences, string stream) => differences.Persons == 0
        ? null
        : new TestResult("", false, 0, HypothesisTests.PairedPermutation(differences, options.Resamples, options.Seed, stream), 0, 0);

    private static McNemarCounts Discordant(int[] rows, double[] rates)
    {
        int onlyFirst = rows.Count(row => rates[row] < 0);
        int onlySecond = rows.Count(row => rates[row] > 0);
        return new McNemarCounts(onlyFirst, onlySecond, HypothesisTests.McNemar(onlyFirst, onlySecond));
    }

    private Arm Arm(ArmSpec arm)
    {
        string[] runs = [.. arm.Models.Select(key => spec.Models.First(model => model.Key == key).TrainingRun)];
        return new Arm(arm.Name, arm.Models, runs.Contains("") ? null : runs.Distinct().Count());
    }

    /// <summary>Puts every test in its family and corrects within it. Rates and means are two families of the same members.</summary>
    private ArmComparison[] Correct(ArmComparison[] compared)
    {
        (string Name, bool IsPrimary)[] families = Array.ConvertAll(compared, Family);
        var corrected = (ArmComparison[])compared.Clone();
        foreach (IGrouping<string, int> members in Enumerable.Range(0, compared.Length).GroupBy(index => families[index].Name))
        {
            TestResult?[] rates = Adjust([.. members.Select(index => compared[index].RateTest)], members.Key, families[members.First()].IsPrimary);
            TestResult?[] means = Adjust([.. members.Select(index => compared[index].MeanTest)], members.Key, families[members.First()].IsPrimary);
            int position = 0;
            foreach (int index in members)
            {
                corrected[index] = compared[index] with { RateTest = rates[position], MeanTest = means[position] };
                position++;
            }
        }

        return corrected;
    }

    private (string Name, bool IsPrimary) Family(ArmComparison entry)
    {
        FamilySpec? declared = spec.Families.FirstOrDefault(family =>
            family.Comparisons.Contains(entry.Name) && family.Experiment == entry.Experiment && family.Labels.Contains(entry.Label));
        return declared is null ? ($"exploratory: {entry.Name}, {entry.Experiment}", false) : (declared.Name, declared.Primary);
    }

    private static TestResult?[] Adjust(TestResult?[] tests, string family, bool isPrimary)
    {
        double[] pValues = [.. tests.Where(test => test is not null).Select(test => test!.PValue)];
        double[] holm = MultipleTesting.Holm(pValues);
        double[] benjaminiHochberg = MultipleTesting.BenjaminiHochberg(pValues);
        int next = 0;
        return Array.ConvertAll(tests, test =>
        {
            if (test is null)
                return null;
            TestResult adjusted = new(family, isPrimary, pValues.Length, test.PValue, holm[next], benjaminiHochberg[next]);
            next++;
            return adjusted;
        });
    }

    private static double Rate(ScoreMatrix[] arm, int row, int column) => (double)arm.Count(matrix => matrix.Argmax(row) == column) / arm.Length;

    private static double Mean(ScoreMatrix[] arm, int row, int column)
    {
        double sum = 0;
        foreach (ScoreMatrix matrix in arm)
            sum += matrix[row, column];
        return sum / arm.Length;
    }

    private sealed record Entry(ComparisonSpec Comparison, LabelExperiment Experiment, int Column, int Group, ScoreMatrix[] First, ScoreMatrix[] Second);
}
