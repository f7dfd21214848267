using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Quality;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// Intervals and tests as stages: a model's analysis depends on its scores, the probe's groups and the spec's statistics, and is
/// made again only where one of them changed. What is used is always what was stored, so that a resumed run cannot differ.
/// </summary>
internal sealed class AnalysisStages(
    AuditSpec spec, string directory, StageLedger ledger, Probe probe, IReadOnlyList<LabelExperiment> experiments, IReadOnlyList<Wording> wordings, IntervalOptions intervals)
{
    private readonly string _probe = StageLedger.Key(
    [
        $"{probe.Weighting}", .. probe.Images.SelectMany(image => new[] { image.Id, image.Person, image.Group }), .. probe.Images.Select(image => image.Weight).OfType<double>().Select(weight => weight.ToString("R")),
        .. probe.Marginals.SelectMany(marginal => marginal.Values.Select(entry => entry.Value).Prepend(marginal.Attribute)),
        .. experiments.SelectMany(experiment => experiment.FactorAttributes).SelectMany(attribute => probe.Attribute(attribute).Prepend(attribute)),
    ]);

    /// <summary>The file of a model's analysis, below the run's folder.</summary>
    public static string FileOf(string model) => $"analysis/model.{ResultDirectory.FileName(model)}.json";

    /// <summary>The file of what a model's bias came to.</summary>
    public static string BiasFileOf(string model) => $"analysis/bias.{ResultDirectory.FileName(model)}.json";

    /// <summary>Bias by name, and what it is weighed against.</summary>
    public ModelBias Bias(ModelSpec model, MeasureInputs inputs, MeasureScores scores)
    {
        string declared = JsonSerializer.Serialize(
            Without(spec) with
            {
                Experiments = [],
                Comparisons = [],
                Families = [],
                Sensitivity = null,
                CosineError = null,
                RepresentationBias = spec.RepresentationBias,
                AssociationBias = spec.AssociationBias,
                Ranking = spec.Ranking,
                Accuracy = spec.Accuracy,
                Retrieval = spec.Retrieval,
            },
            SpecJson.Default.AuditSpec);
        string key = StageLedger.Key(
        [
            "bias", AuditAssembly.Version, model.Key, declared, _probe,
            .. inputs.Images.Skip(1).SelectMany(set => set.Probe.Images.SelectMany(image => new[] { image.Id, image.Person, image.Group }).Prepend($"{set.Name} {set.Probe.Weighting}")),
            .. inputs.Images.Skip(1).SelectMany(set => set.Probe.Images.Select(image => image.Weight).OfType<double>().Select(weight => weight.ToString("R"))),
            .. inputs.Accuracy?.Truth ?? [], .. inputs.Retrieval?.ImageOfCaption.Select(row => $"{row}") ?? [],
            .. scores.Association.Select(Hash), scores.Representation is { } representation ? Hash(representation) : "",
            Hash(scores.Ranking), Hash(scores.Accuracy?.Images), Hash(scores.Accuracy?.Texts), Hash(scores.Retrieval?.Images), Hash(scores.Retrieval?.Texts),
        ]);
        return Stored(BiasFileOf(model.Key), key, AuditJson.Default.ModelBias, () => new ModelBias(
            model.Key,
            inputs.Representation is var (set, pair) && scores.Representation is { } preferred ? BiasAnalysis.Preference(pair, preferred, set.Probe.Grouping, intervals) : null,
            inputs.Association.Count == 0 ? [] : [.. probe.GroupSets.Select(groups => BiasAnalysis.Association(inputs.Association, scores.Association, groups, intervals))],
            scores.Ranking is { } ranks ? [.. probe.GroupSets.SelectMany(groups => RankingAnalysis.Analyse(inputs.Ranking, ranks, spec.Ranking!.Top, groups, intervals))] : [],
            inputs.Accuracy is { } accuracy && scores.Accuracy is { } classified ? Accuracy(accuracy.Images.Probe, accuracy.Classes, accuracy.ClassOfSentence, accuracy.Truth, classified) : null,
            inputs.Retrieval is { } retrieval && scores.Retrieval is { } found
                ? QualityMeasure.Retrieval(found.Images, found.Texts, found.Width, retrieval.ImageOfCaption, Groups(retrieval.Images.Probe), Persons(retrieval.Images.Probe), intervals.Level)
                : null));
    }

    private QualityResult Accuracy(Probe images, string[] classes, string[] classOfSentence, string[] truth, FeaturePair features) => QualityMeasure.Accuracy(
        features.Images, features.Width, QualityMeasure.Classifier(features.Texts, features.Width, classOfSentence, classes), classes, truth, Groups(images), Persons(images), intervals.Level);

    private static string[] Groups(Probe probe) => [.. probe.Images.Select(image => image.Group)];

    private static string[] Persons(Probe probe) => [.. probe.Images.Select(image => image.Person)];

    /// <summary>One model's analysis, without its scores.</summary>
    public ModelAnalysis Model(ModelSpec model, ScoredModel scored)
    {
        // Everything of the spec but what has its own key or does not concern one model.
        string statistics = JsonSerializer.Serialize(Without(spec) with { Comparisons = [], Families = [] }, SpecJson.Default.AuditSpec);
        string key = StageLedger.Key(
        [
            "analysis", AuditAssembly.Version, model.Key, statistics, _probe,
            .. experiments.SelectMany(experiment => Parts(scored.Experiments[experiment.Key].Scores)),
            .. scored.Wordings.Select(Hash),
        ]);
        return Stored(FileOf(model.Key), key, AuditJson.Default.ModelAnalysis, () => new ModelAnalysis(
            [.. experiments.Select(experiment => ScoreAnalysis.Analyse(model.Key, experiment, probe, scored.Experiments[experiment.Key].Scores, intervals, spec.CosineError))],
            scored.Wordings.Count == 0 ? [] : [.. SensitivityAnalysis.Statements(model.Key, wordings, experiments.First(experiment => experiment.Key == spec.Sensitivity!.Experiment).MergedLabels, scored.Wordings, new FrameBuilder(probe.Grouping, intervals))]));
    }

    /// <summary>The declared comparisons of models that have scores.</summary>
    public IReadOnlyList<ArmComparison> Comparisons(IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        if (spec.Comparisons.Count == 0)
            return [];
        return Stored("analysis/comparisons.json", Key("comparisons", scores), AuditJson.Default.IReadOnlyListArmComparison, () => new ArmComparisons(probe, spec, experiments, intervals).All(scores));
    }

    /// <summary>The declared families of pairs of groups, of models that have scores.</summary>
    public PairAnalysis Pairs(IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        if (!spec.Families.Any(family => family.IsOfGroupPairs))
            return new PairAnalysis([], []);
        string[] models = [.. spec.Models.Select(model => model.Key)];
        return Stored("analysis/pairs.json", Key("pairs", scores), AuditJson.Default.PairAnalysis, () =>
        {
            var pairs = new GroupComparisons(probe, spec.Families, experiments, intervals);
            return new PairAnalysis(pairs.WithinModels(models, scores), pairs.BetweenArms(spec.Comparisons, scores));
        });
    }

    /// <summary>The declared correlations, of models that have scores.</summary>
    public IReadOnlyList<AttributeCorrelation> Correlations(IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        if (spec.Correlations.Count == 0)
            return [];
        string[] wanted = [.. spec.Correlations.SelectMany(correlation => probe.Attribute(correlation.Attribute).Prepend($"{correlation}"))];
        return Stored("analysis/correlations.json", StageLedger.Key([Key("correlations", scores), .. wanted]), AuditJson.Default.IReadOnlyListAttributeCorrelation,
            () => CorrelationAnalysis.Analyse(probe, spec, experiments, scores, intervals));
    }

    private string Key(string what, IReadOnlyDictionary<(string Experiment, string Model), ScoreMatrix> scores)
    {
        string declared = JsonSerializer.Serialize(
            Without(spec) with
            {
                CosineError = null,
                Sensitivity = null,
                Models = [.. spec.Models.Select(model => new ModelSpec { Key = model.Key, TrainingRun = model.TrainingRun })],
            },
            SpecJson.Default.AuditSpec);
        return StageLedger.Key(
        [
            what, AuditAssembly.Version, declared, _probe,
            .. experiments.SelectMany(experiment => spec.Models.Select(model => scores.TryGetValue((experiment.Key, model.Key), out ScoreMatrix? matrix) ? Hash(matrix) : "")),
        ]);
    }

    private T Stored<T>(string name, string key, JsonTypeInfo<T> type, Func<T> make)
    {
        ledger.Ensure(name, key, path => AtomicFile.Write(path, stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(make(), type))));
        return JsonSerializer.Deserialize(File.ReadAllBytes(Path.Combine(directory, name)), type)
            ?? throw new IOException($"{Path.Combine(directory, name)}: the stage holds nothing.");
    }

    /// <summary>The spec without its titles, captions, paths, models and correlations.</summary>
    private static AuditSpec Without(AuditSpec spec) => spec with { Title = "", Question = "", Probe = new ProbeSpec(), Models = [], ElementType = "", ScorePrecision = "", Scale = "", Correlations = [], FigureNotes = new Dictionary<string, string>(), RepresentationBias = null, AssociationBias = null, Ranking = null, Accuracy = null, Retrieval = null };

    private static IEnumerable<string> Parts(ExperimentScores scores) =>
        [Hash(scores.Probabilities), scores.Cosines is { } cosines ? Hash(cosines) : "", scores.Scale is double scale ? scale.ToString("R") : ""];

    private static string Hash<T>(T[]? values)
        where T : unmanaged => values is null ? "" : Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values.AsSpan())));

    private static string Hash(ScoreMatrix matrix) =>
        $"{matrix.Rows} {matrix.Columns} {(matrix.Reading == ScoreReading.Sigmoid ? "sigmoid " : "")}{Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(matrix.Values.AsSpan())))}";
}

/// <summary>What a model's scores came to.</summary>
/// <param name="Experiments">One for each experiment of the spec, in its order.</param>
/// <param name="Sensitivity">The statements of the grid of wordings; empty where there is none.</param>
internal sealed record ModelAnalysis(IReadOnlyList<ModelExperimentResult> Experiments, IReadOnlyList<SensitivityStatement> Sensitivity);

/// <summary>What the declared families of pairs of groups came to.</summary>
/// <param name="WithinModels">Gaps within one model.</param>
/// <param name="BetweenArms">Differences of differences.</param>
internal sealed record PairAnalysis(IReadOnlyList<GroupComparison> WithinModels, IReadOnlyList<ChangeComparison> BetweenArms);
