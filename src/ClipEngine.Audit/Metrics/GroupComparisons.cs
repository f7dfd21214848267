using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Declared families of pairs of groups: their gaps within one model, and how much more one group changed than the other between two arms.</summary>
internal sealed class GroupComparisons(Probe probe, IReadOnlyList<FamilySpec> families, IReadOnlyList<LabelExperiment> experiments, IntervalOptions options)
{
    /// <summary>The gaps of the families that name no comparison.</summary>
    /// <param name="models">The models in the run's order.</param>
    /// <param name="scores">Probabilities by experiment and model.</param>
    public IReadOnlyList<GroupComparison> WithinModels(IReadOnlyList<string> models, IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        var results = new List<GroupComparison>();
        foreach (FamilySpec family in families.Where(family => family.IsOfGroupPairs && family.Comparisons.Count == 0))
        {
            LabelExperiment experiment = experiments.First(entry => entry.Key == family.Experiment);
            var work = new List<(string Model, Subject Subject, ArmScores Scores, Pair Pair)>();
            foreach (string model in models.Where(model => (family.Models.Count == 0 || family.Models.Contains(model)) && scores.ContainsKey((family.Experiment, model))))
            {
                ArmScores own = ArmScores.Of([scores[(family.Experiment, model)]]);
                work.AddRange(from subject in Subjects(family, experiment) from pair in Pairs(family) select (model, subject, own, pair));
            }

            var members = new GroupComparison[work.Count];
            Parallel.For(0, work.Count, index => members[index] = Compare(experiment, work[index].Model, work[index].Subject, work[index].Scores, work[index].Pair));
            TestResult?[] rates = TestFamilies.Correct([.. members.Select(member => member.RateTest)], family.Name, family.Primary);
            TestResult?[] means = TestFamilies.Correct([.. members.Select(member => member.MeanTest)], family.Name, family.Primary);
            results.AddRange(members.Select((member, index) => member with { Family = family.Name, RateTest = rates[index], MeanTest = means[index] }));
        }

        return results;
    }

    /// <summary>The differences of differences of the families that name comparisons.</summary>
    /// <param name="comparisons">The declared comparisons.</param>
    /// <param name="scores">Probabilities by experiment and model.</param>
    public IReadOnlyList<ChangeComparison> BetweenArms(IReadOnlyList<ComparisonSpec> comparisons, IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        var results = new List<ChangeComparison>();
        foreach (FamilySpec family in families.Where(family => family.IsOfGroupPairs && family.Comparisons.Count > 0))
        {
            LabelExperiment experiment = experiments.First(entry => entry.Key == family.Experiment);
            var work = new List<(ComparisonSpec Comparison, Subject Subject, ArmScores First, ArmScores Second, Pair Pair)>();
            foreach (ComparisonSpec comparison in family.Comparisons.Select(name => comparisons.First(entry => entry.Name == name)))
            {
                if (comparison.First.Models.Concat(comparison.Second.Models).Any(model => !scores.ContainsKey((family.Experiment, model))))
                    continue;
                ArmScores first = ArmScores.Of(comparison.First.Models.Select(model => scores[(family.Experiment, model)]));
                ArmScores second = ArmScores.Of(comparison.Second.Models.Select(model => scores[(family.Experiment, model)]));
                work.AddRange(from subject in Subjects(family, experiment) from pair in Pairs(family) select (comparison, subject, first, second, pair));
            }

            var members = new ChangeComparison[work.Count];
            Parallel.For(0, work.Count, index => members[index] = Compare(experiment, work[index].Comparison, work[index].Subject, work[index].First, work[index].Second, work[index].Pair));
            TestResult?[] rates = TestFamilies.Correct([.. members.Select(member => member.RateTest)], family.Name, family.Primary);
            TestResult?[] means = TestFamilies.Correct([.. members.Select(member => member.MeanTest)], family.Name, family.Primary);
            results.AddRange(members.Select((member, index) => member with { Family = family.Name, RateTest = rates[index], MeanTest = means[index] }));
        }

        return results;
    }

    /// <summary>Refuses families that name groups that the probe does not have.</summary>
    /// <param name="families">The declared families.</param>
    /// <param name="probe">The probe.</param>
    /// <exception cref="BadInputException">A group is unknown, a pair crosses attributes, or a reference leaves no other group.</exception>
    public static void Check(IEnumerable<FamilySpec> families, Probe probe)
    {
        foreach (FamilySpec family in families)
        {
            string source = $"family '{family.Name}'";
            string[] named = [.. family.Groups, .. family.Pairs.SelectMany(pair => new[] { pair.First, pair.Second }), .. family.Reference is { } reference ? [reference] : Array.Empty<string>()];
            foreach (string group in named.Where(group => probe.Find(group) is null && !(group == ArmComparison.AverageOverGroups && !family.IsOfGroupPairs)))
            {
                throw new BadInputException(source, $"there is no group '{BadInputException.Escape(group)}'; there are {string.Join(", ", probe.GroupSets.SelectMany(set => set.Grouping.Keys).Take(40))}.",
                    "Groups are named by their keys, those of a single attribute as attribute=value.");
            }

            if (family.Pairs.FirstOrDefault(pair => pair.First == pair.Second || probe.Find(pair.First)!.Value.Set != probe.Find(pair.Second)!.Value.Set) is { } crossed)
                throw new BadInputException(source, $"the pair '{BadInputException.Escape(crossed.First)}' and '{BadInputException.Escape(crossed.Second)}' is no pair of two groups of one attribute.", "Pair groups that have no image in common.");
            if (family.Reference is { } one && family.Groups.FirstOrDefault(group => probe.Find(group)!.Value.Set != probe.Find(one)!.Value.Set) is { } other)
                throw new BadInputException(source, $"group '{BadInputException.Escape(other)}' and the reference '{BadInputException.Escape(one)}' are groups of different attributes.", "Compare groups that have no image in common.");
            if (family.Reference is { } alone && Pairs(family, probe).Length == 0)
                throw new BadInputException(source, $"there is no other group than the reference '{BadInputException.Escape(alone)}'.", "A gap needs two groups.");
        }
    }

    private GroupComparison Compare(LabelExperiment experiment, string model, Subject subject, ArmScores scores, Pair pair)
    {
        (FrameBuilder builder, int first, int second) = Find(pair);
        Grouping grouping = builder.Grouping;
        double[] rates = scores.Rates(subject), means = scores.Probabilities(subject);
        PersonShare? one = builder.Share(first, rates), two = builder.Share(second, rates);
        string stream = $"gap|{model}|{experiment.Key}|{subject.Name}|{pair.First}|{pair.Second}";
        return new GroupComparison
        {
            Family = "",
            Model = model,
            Experiment = experiment.Key,
            Label = subject.Name,
            First = pair.First,
            Second = pair.Second,
            FirstRate = one?.Estimate(options.Level) ?? Estimate.Undefined,
            SecondRate = two?.Estimate(options.Level) ?? Estimate.Undefined,
            RateDifference = PersonShare.Gap(one, two, options.Level),
            RateRatio = PersonShare.Ratio(one, two, options.Level),
            RateTest = one is null || two is null ? null
                : one is { IsPlain: true } && two is { IsPlain: true } && !LinearCombination.Correlation(one.Influence, two.Influence).IsPaired
                    ? TestFamilies.Alone(HypothesisTests.FisherExact((int)Math.Round(one.Share * one.Images), one.Images, (int)Math.Round(two.Share * two.Images), two.Images))
                    : Test(grouping, first, second, rates, stream + "|rate"),
            MeanDifference = Resampled.Gap(
                builder.Resample(first, means, MetricUnit.Proportion, grouping.Keys[first]), builder.Resample(second, means, MetricUnit.Proportion, grouping.Keys[second]), 0, options),
            MeanTest = one is null || two is null ? null : Test(grouping, first, second, means, stream + "|mean"),
        };
    }

    private ChangeComparison Compare(LabelExperiment experiment, ComparisonSpec comparison, Subject subject, ArmScores before, ArmScores after, Pair pair)
    {
        (FrameBuilder builder, int first, int second) = Find(pair);
        Grouping grouping = builder.Grouping;
        double[] rates = [.. after.Rates(subject).Zip(before.Rates(subject), (now, was) => now - was)];
        double[] means = [.. after.Probabilities(subject).Zip(before.Probabilities(subject), (now, was) => now - was)];
        PersonChange? one = builder.Change(first, rates), two = builder.Change(second, rates);
        string stream = $"{comparison.Name}|{experiment.Key}|{subject.Name}";
        return new ChangeComparison
        {
            Family = "",
            Comparison = comparison.Name,
            FirstArm = comparison.First.Name,
            SecondArm = comparison.Second.Name,
            ConfoundedWith = comparison.ConfoundedWith,
            Experiment = experiment.Key,
            Label = subject.Name,
            First = pair.First,
            Second = pair.Second,
            FirstChange = one?.Estimate ?? Estimate.Undefined,
            SecondChange = two?.Estimate ?? Estimate.Undefined,
            RateDifference = PersonChange.Difference(one, two, options.Level),
            RateTest = one is null || two is null ? null : Test(grouping, first, second, rates, $"{stream}|{pair.First}|{pair.Second}|rate"),
            MeanDifference = Resampled.Gap(
                builder.Resample(first, means, MetricUnit.Cosine, $"{stream}|{pair.First}"), builder.Resample(second, means, MetricUnit.Cosine, $"{stream}|{pair.Second}"), 0, options),
            MeanTest = one is null || two is null ? null : Test(grouping, first, second, means, $"{stream}|{pair.First}|{pair.Second}|mean"),
        };
    }

    private TestResult Test(Grouping grouping, int first, int second, double[] values, string stream) => TestFamilies.Alone(HypothesisTests.TwoGroups(
        FrameBuilder.Sample(grouping.Persons[first], grouping.Weights, values, 1), Numbers(grouping, first),
        FrameBuilder.Sample(grouping.Persons[second], grouping.Weights, values, 1), Numbers(grouping, second), options.Resamples, options.Seed, stream));

    private static int[] Numbers(Grouping grouping, int group) => [.. grouping.Persons[group].Select(rows => grouping.PersonOf[rows[0]])];

    private (FrameBuilder Builder, int First, int Second) Find(Pair pair)
    {
        (GroupSet set, int first) = probe.Find(pair.First)!.Value;
        return (new FrameBuilder(set.Grouping, options), first, probe.Find(pair.Second)!.Value.Group);
    }

    private static IEnumerable<Subject> Subjects(FamilySpec family, LabelExperiment experiment) =>
        Subject.Of(experiment).Where(subject => family.Labels.Contains(subject.Name));

    private Pair[] Pairs(FamilySpec family) => Pairs(family, probe);

    private static Pair[] Pairs(FamilySpec family, Probe probe)
    {
        IEnumerable<Pair> declared = family.Pairs.Select(pair => new Pair(pair.First, pair.Second));
        if (family.Reference is not { } reference)
            return [.. declared];
        IEnumerable<string> others = family.Groups.Count > 0 ? family.Groups : probe.Find(reference)!.Value.Set.Grouping.Keys;
        return [.. declared, .. others.Where(group => group != reference).Select(group => new Pair(group, reference))];
    }

    private sealed record Pair(string First, string Second);
}
