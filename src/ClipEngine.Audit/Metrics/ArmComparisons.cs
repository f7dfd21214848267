using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Declared comparisons of checkpoints on the same images, with tests corrected within declared families.</summary>
internal sealed class ArmComparisons(Probe probe, AuditSpec spec, IReadOnlyList<LabelExperiment> experiments, IntervalOptions options)
{
    /// <summary>All comparisons whose models all have results: of labels and merged labels, in every group, on average over the groups, and in the groups of each single attribute.</summary>
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
                ArmScores first = ArmScores.Of(comparison.First.Models.Select(model => scores[(experiment.Key, model)]));
                ArmScores second = ArmScores.Of(comparison.Second.Models.Select(model => scores[(experiment.Key, model)]));
                entries.AddRange(Subject.Of(experiment).Select(subject => new Entry(comparison, experiment, subject, first, second)));
            }
        }

        var compared = new ArmComparison[entries.Count][];
        Parallel.For(0, entries.Count, index => compared[index] = [.. Compare(entries[index])]);
        return Correct([.. compared.SelectMany(part => part)]);
    }

    private IEnumerable<ArmComparison> Compare(Entry entry)
    {
        double[] before = entry.First.Rates(entry.Subject), after = entry.Second.Rates(entry.Subject);
        double[] rates = [.. after.Zip(before, (second, first) => second - first)];
        double[] means = [.. entry.Second.Probabilities(entry.Subject).Zip(entry.First.Probabilities(entry.Subject), (second, first) => second - first)];
        foreach (GroupSet set in probe.GroupSets)
        {
            Grouping grouping = set.Grouping;
            var builder = new FrameBuilder(grouping, options);
            for (int group = 0; group < grouping.Keys.Count; group++)
            {
                int[][] persons = grouping.Persons[group];
                int[] images = grouping.Images[group];
                string name = Stream(entry, grouping.Keys[group]);
                bool isPlain = entry.First.Winners.Length == 1 && entry.Second.Winners.Length == 1 && persons.Length == images.Length && images.Length > 0
                    && images.All(row => grouping.Weights[row] == grouping.Weights[images[0]]);
                yield return Result(entry, grouping.Keys[group], builder.Share(group, before)?.Estimate(options.Level), builder.Share(group, after)?.Estimate(options.Level),
                    builder.Change(group, rates)?.Estimate, builder.Resample(group, means, MetricUnit.Cosine, name).Mean(0, options),
                    FrameBuilder.Sample(persons, grouping.Weights, rates, 1), FrameBuilder.Sample(persons, grouping.Weights, means, 1)) with
                {
                    McNemar = isPlain ? Discordant(images, rates) : null,
                    Runs = Runs(entry, builder, group),
                };
            }

            if (set == probe.GroupSets[0] && grouping.Images.Count(images => images.Length > 0) > 1)
                yield return Average(entry, builder, before, after, rates, means);
        }
    }

    /// <summary>The average over the groups, each counting the same.</summary>
    private ArmComparison Average(Entry entry, FrameBuilder builder, double[] before, double[] after, double[] rates, double[] means)
    {
        Grouping grouping = builder.Grouping;
        int[] filled = [.. Enumerable.Range(0, grouping.Keys.Count).Where(group => grouping.Images[group].Length > 0)];
        // What a person adds to the average: over a group's weight, and over the number of groups.
        var weights = new double[grouping.RowCount];
        foreach (int group in filled)
        {
            double total = grouping.Images[group].Sum(row => grouping.Weights[row]);
            foreach (int row in grouping.Images[group])
                weights[row] = grouping.Weights[row] / total / filled.Length;
        }

        return Result(entry, ArmComparison.AverageOverGroups,
            PersonShare.Average(filled.Select(group => builder.Share(group, before)), options.Level), PersonShare.Average(filled.Select(group => builder.Share(group, after)), options.Level),
            PersonChange.Average(filled.Select(group => builder.Change(group, rates)), options.Level),
            Resampled.Average(filled.Select(group => builder.Resample(group, means, MetricUnit.Cosine, Stream(entry, grouping.Keys[group]))), 0, options),
            FrameBuilder.Sample(grouping.AllPersons, weights, rates, 1), FrameBuilder.Sample(grouping.AllPersons, weights, means, 1));
    }

    private ArmComparison Result(
        Entry entry, string group, Estimate? firstRate, Estimate? secondRate, Estimate? rateDifference, Estimate meanDifference, PersonSample personRates, PersonSample personMeans)
    {
        string name = Stream(entry, group);
        return new ArmComparison
        {
            Name = entry.Comparison.Name,
            Kind = entry.Comparison.Kind,
            Architecture = entry.Comparison.Architecture,
            ConfoundedWith = entry.Comparison.ConfoundedWith,
            First = Arm(entry.Comparison.First),
            Second = Arm(entry.Comparison.Second),
            Experiment = entry.Experiment.Key,
            Label = entry.Subject.Name,
            Group = group,
            FirstRate = firstRate ?? Estimate.Undefined,
            SecondRate = secondRate ?? Estimate.Undefined,
            RateDifference = rateDifference ?? Estimate.Undefined,
            McNemar = null,
            RateTest = Test(personRates, name + "|rate"),
            MeanDifference = meanDifference,
            MeanTest = Test(personMeans, name + "|mean"),
            EffectSize = HypothesisTests.PairedEffectSize(personMeans),
        };
    }

    private TestResult? Test(PersonSample differences, string stream) => differences.Persons == 0
        ? null
        : TestFamilies.Alone(HypothesisTests.PairedPermutation(differences, options.Resamples, options.Seed, stream));

    /// <summary>The rates of an arm's training runs, where they are known and one of the arms has several.</summary>
    private RunAverages? Runs(Entry entry, FrameBuilder builder, int group)
    {
        double[]? first = Of(entry.Comparison.First, entry.First), second = Of(entry.Comparison.Second, entry.Second);
        return first is null || second is null || first.Length + second.Length < 3 ? null : RunTests.Compare(first, second, options);

        double[]? Of(ArmSpec arm, ArmScores scores)
        {
            string[] runs = [.. arm.Models.Select(key => spec.Models.First(model => model.Key == key).TrainingRun)];
            if (runs.Contains("") || builder.Grouping.Images[group].Length == 0)
                return null;
            return [.. runs.Distinct().Select(run =>
            {
                int[] own = [.. Enumerable.Range(0, runs.Length).Where(index => runs[index] == run)];
                var part = new ArmScores([.. own.Select(index => scores.Scores[index])], [.. own.Select(index => scores.Winners[index])]);
                return builder.Share(group, part.Rates(entry.Subject))!.Share;
            })];
        }
    }

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

    /// <summary>Puts every test in its family and corrects within it. Rates, means and runs are families of their own with the same members.</summary>
    private ArmComparison[] Correct(ArmComparison[] compared)
    {
        (string Name, bool IsPrimary)[] families = Array.ConvertAll(compared, Family);
        var corrected = (ArmComparison[])compared.Clone();
        foreach (IGrouping<string, int> members in Enumerable.Range(0, compared.Length).GroupBy(index => families[index].Name))
        {
            bool isPrimary = families[members.First()].IsPrimary;
            TestResult?[] rates = TestFamilies.Correct([.. members.Select(index => compared[index].RateTest)], members.Key, isPrimary);
            TestResult?[] means = TestFamilies.Correct([.. members.Select(index => compared[index].MeanTest)], members.Key, isPrimary);
            TestResult?[] runs = TestFamilies.Correct([.. members.Select(index => compared[index].Runs?.Test)], members.Key, isPrimary);
            int position = 0;
            foreach (int index in members)
            {
                ArmComparison entry = compared[index];
                corrected[index] = entry with { RateTest = rates[position], MeanTest = means[position], Runs = entry.Runs is null ? null : entry.Runs with { Test = runs[position] } };
                position++;
            }
        }

        return corrected;
    }

    private (string Name, bool IsPrimary) Family(ArmComparison entry)
    {
        bool isOfGroups = probe.GroupKeys.Contains(entry.Group);
        FamilySpec? declared = spec.Families.FirstOrDefault(family => !family.IsOfGroupPairs &&
            family.Comparisons.Contains(entry.Name) && family.Experiment == entry.Experiment && family.Labels.Contains(entry.Label) && (family.Groups.Count == 0 ? isOfGroups : family.Groups.Contains(entry.Group)));
        if (declared is not null)
            return (declared.Name, declared.Primary);
        string part = isOfGroups ? "" : entry.Group == ArmComparison.AverageOverGroups ? ", average over groups" : $", by {probe.Find(entry.Group)!.Value.Set.Attribute}";
        return ($"exploratory: {entry.Name}, {entry.Experiment}{part}", false);
    }

    private static string Stream(Entry entry, string group) => $"{entry.Comparison.Name}|{entry.Experiment.Key}|{entry.Subject.Name}|{group}";

    private sealed record Entry(ComparisonSpec Comparison, LabelExperiment Experiment, Subject Subject, ArmScores First, ArmScores Second);
}
