using System.Diagnostics;
using System.Text.Json;
using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Scores;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// Runs a spec into a folder. Every file appears whole under its final name; features and analyses are stages that are kept where
/// nothing that they depend on has changed, so that a killed run goes on where it was and ends with the same bytes. Clock times are in
/// <c>timings.json</c> and nowhere else. The folder is held by one process at a time.
/// </summary>
public sealed partial class AuditRun
{
    /// <summary>Images encoded between two points that a killed run can go on from.</summary>
    internal const int ChunkImages = 64;

    /// <summary>The same where every image is run with every sentence, which costs as many times more.</summary>
    internal const int ChunkPairImages = 16;

    /// <summary>Where chunks lie until their stage is whole, below the folder of features.</summary>
    internal const string WorkFolder = ".work";

    private readonly AuditSpec _spec;
    private readonly string _specFile;
    private readonly string _directory;
    private readonly IProbeModelSource _source;
    private readonly IReportWriter _report;
    private readonly Action<string> _progress;
    private readonly SortedDictionary<string, double> _timings = new(StringComparer.Ordinal);

    /// <summary>Prepares a run; nothing is read but the spec.</summary>
    /// <param name="specFile">The spec; paths in it are relative to its folder.</param>
    /// <param name="directory">The run's folder; created where missing, gone on with where it holds a run.</param>
    /// <param name="source">Opens the models.</param>
    /// <param name="report">Makes the report.</param>
    /// <param name="progress">Told in a line what is being done; null for silence.</param>
    /// <exception cref="BadInputException">The spec cannot be used.</exception>
    public AuditRun(string specFile, string directory, IProbeModelSource source, IReportWriter report, Action<string>? progress = null)
    {
        using var culture = InvariantCulture.Begin();
        _spec = SpecReader.Read(specFile);
        _specFile = specFile;
        _directory = directory;
        _source = source;
        _report = report;
        _progress = progress ?? (_ => { });
    }

    /// <summary>Does all stages that are not done and writes all results.</summary>
    /// <param name="cancellationToken">Stops between batches; what is done is kept.</param>
    /// <returns>The result; models that failed are in it with the reason.</returns>
    /// <exception cref="BadInputException">The probe or the spec is at fault, an image is missing or cannot be read, or another process holds the folder.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public AuditResult Execute(CancellationToken cancellationToken = default) => Execute(requireChunk: null, cancellationToken);

    private AuditResult Execute(Action<ModelSpec, ChunkPlace>? requireChunk, CancellationToken cancellationToken)
    {
        using var culture = InvariantCulture.Begin();
        ResultDirectory.RefuseForeign(_directory);
        ResultDirectory.RefuseInputs(_directory, NamedInputs());
        using FolderLock held = ResultDirectory.Hold(_directory);
        StageLedger ledger = StageLedger.Open(_directory);
        RemoveLeftovers();
        (Probe probe, LabelExperiment[] experiments, IReadOnlyList<Wording> wordings, MeasureInputs measures) = ReadProbe();
        IntervalOptions intervals = SpecReader.Intervals(_spec.Intervals);
        var inputs = new List<InputFile> { InputFiles.Describe("spec", _specFile) };
        if (_spec.Probe.Metadata is { } metadata)
            inputs.Add(InputFiles.Describe("metadata", Resolve(metadata)));
        inputs.AddRange(measures.Files.Select(file => InputFiles.Describe(file.Role, file.Path)));

        // A finished run says so by its database: gone before anything else changes, it comes last.
        File.Delete(Path.Combine(_directory, ResultDatabase.FileName));
        var stages = new AnalysisStages(_spec, _directory, ledger, probe, experiments, wordings, intervals);
        var scorer = new ModelScorer(_spec, _directory, Resolve, _source, ledger, measures, experiments, wordings, _progress, requireChunk);
        var models = new List<ModelSummary>();
        var analysed = experiments.ToDictionary(experiment => experiment.Key, _ => new List<ModelExperimentResult>());
        var scores = new Dictionary<(string Experiment, string Model), ScoreMatrix>();
        var sensitivity = new List<SensitivityStatement>();
        var bias = new List<ModelBias>();
        foreach (ModelSpec model in _spec.Models)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var watch = Stopwatch.StartNew();
            ScoredModel scored;
            try
            {
                scored = scorer.Score(model, cancellationToken);
            }
            // An image that cannot be read is the probe's fault, as one that is missing: every model would fail at it.
            catch (Exception exception) when (IsOfModel(exception))
            {
                _progress($"{model.Key}: failed: {exception.Message}");
                models.Add(ModelScorer.Failed(model, exception.Message));
                ledger.Keep($"embeddings/{ResultDirectory.FileName(model.Key)}.");
                ledger.Keep(AnalysisStages.FileOf(model.Key));
                ledger.Keep(AnalysisStages.BiasFileOf(model.Key));
                continue;
            }

            _timings[$"score {model.Key}"] = watch.Elapsed.TotalSeconds;
            watch.Restart();
            _progress($"{model.Key}: intervals");
            models.Add(scored.Summary);
            inputs.AddRange(scored.Inputs);
            ModelAnalysis analysis = stages.Model(model, scored);
            foreach ((LabelExperiment experiment, ModelExperimentResult own) in experiments.Zip(analysis.Experiments))
            {
                ScoredExperiment source = scored.Experiments[experiment.Key];
                scores[(experiment.Key, model.Key)] = source.Scores.Probabilities;
                analysed[experiment.Key].Add(own with
                {
                    TextSimilarity = source.TextSimilarity,
                    ImageSimilarity = scored.ImageSimilarity,
                    Probabilities = source.Scores.Probabilities,
                });
            }

            sensitivity.AddRange(analysis.Sensitivity);
            if (scored.Measures is { } measured)
                bias.Add(stages.Bias(model, measures, measured));
            _timings[$"analyse {model.Key}"] = watch.Elapsed.TotalSeconds;
        }

        inputs.AddRange(scorer.ImageInputs);
        if (_spec.Comparisons.Count > 0 || _spec.Families.Count > 0 || _spec.Correlations.Count > 0)
            _progress("comparing models and groups");
        var compared = Stopwatch.StartNew();
        IReadOnlyList<ArmComparison> comparisons = stages.Comparisons(scores);
        PairAnalysis pairs = stages.Pairs(scores);
        IReadOnlyList<AttributeCorrelation> correlations = stages.Correlations(scores);
        _timings["compare"] = compared.Elapsed.TotalSeconds;
        ledger.Prune();
        var result = new AuditResult
        {
            Title = _spec.Title,
            Question = _spec.Question,
            Probe = probe.Summary(AuditAssembly.GroupNames(_spec.Probe.GroupNames, experiments)),
            Models = models,
            Experiments = [.. experiments.Select(experiment => AuditAssembly.Experiment(experiment, analysed[experiment.Key]))],
            Comparisons = comparisons,
            GroupComparisons = pairs.WithinModels,
            ChangeComparisons = pairs.BetweenArms,
            NumericColumns = _spec.Correlations.Select(correlation => correlation.Attribute).Distinct().ToDictionary(attribute => attribute, probe.NumericAttribute),
            FigureNotes = _spec.FigureNotes,
            Sensitivity = sensitivity,
            Correlations = correlations,
            Bias = bias,
            Notes = [],
            Provenance = new Provenance
            {
                Version = AuditAssembly.Version,
                Command = "clipengine audit run SPEC.json --out DIR",
                Spec = System.Text.Encoding.UTF8.GetString(TextFile.ReadDocument(_specFile, "a spec")).TrimStart('\uFEFF'),
                Device = scorer.Device,
                ElementType = scorer.Device.Length > 0 ? _spec.ElementType : "as given",
                ConfidenceLevel = intervals.Level,
                Resamples = intervals.Resamples,
                Seed = intervals.Seed,
                Inputs = inputs,
            },
        };
        result = AuditAssembly.WithNotes(result);
        string[] leftOut = [.. _spec.Comparisons.Select(comparison => comparison.Name).Where(name => result.Comparisons.All(entry => entry.Name != name))];
        if (leftOut.Length > 0)
        {
            result = result with
            {
                Notes = [.. result.Notes, new Note(NoteKind.Limitation, "Comparisons left out",
                    $"A model of these declared comparisons has no results, so they were not made: {string.Join("; ", leftOut)}.")],
            };
        }

        WriteAll(result);
        return result;
    }

    private static bool IsOfModel(Exception exception) => exception is (BadInputException and not (ImageException or PartException)) or NotSupportedException or FileNotFoundException or DirectoryNotFoundException
        or UnauthorizedAccessException or OutOfMemoryException or Native.NativeLibraryException;

    /// <summary>Reads what the spec names besides models, and refuses what no model could do anything about.</summary>
    private (Probe Probe, LabelExperiment[] Experiments, IReadOnlyList<Wording> Wordings, MeasureInputs Measures) ReadProbe()
    {
        Probe probe = ProbeLayouts.Read(_spec.Probe, Resolve);
        MeasureInputs measures = MeasureInputs.Read(_spec, _specFile, new ImageSet("", _spec.Probe, probe, Resolve), Resolve);
        LabelExperiment[] experiments = [.. _spec.Experiments.Select(experiment => SpecReader.Experiment(experiment, _specFile))];
        CheckFactors(probe, experiments);
        // Missing images are the probe's fault: said at once, not once for each model after hours.
        if (_spec.Models.Any(model => model.Model is not null))
        {
            ResultDirectory.RefuseInputs(_directory, measures.Images.SelectMany(set => set.Paths()));
            _source.RequireDevice(_spec.ElementType);
        }

        IReadOnlyList<Wording> wordings = _spec.Sensitivity is { } grid
            ? SensitivityAnalysis.Wordings(grid, _spec.Experiments.First(experiment => experiment.Key == grid.Experiment))
            : [];
        return (probe, experiments, wordings, measures);
    }

    private void WriteAll(AuditResult result)
    {
        _progress("writing results");
        var watch = Stopwatch.StartNew();
        ResultDirectory.WriteRun(result, _directory, _report);
        string work = Path.Combine(_directory, "embeddings", WorkFolder);
        // What a failed model had done before it failed is gone on with when its cause is mended.
        if (FilePlace.IsFolder(work) && result.Models.All(model => model.Failure is null))
            Directory.Delete(work, recursive: true);
        _timings["write"] = watch.Elapsed.TotalSeconds;
        AtomicFile.Write(Path.Combine(_directory, "timings.json"), stream => stream.Write(
            JsonSerializer.SerializeToUtf8Bytes(new TimingRecord(DateTimeOffset.UtcNow, _timings), AuditJson.Default.TimingRecord)));
        ResultDatabase.Write(result, _directory);
    }

    /// <summary>What is wrong with attributes is the spec's fault, not that of the model that comes first.</summary>
    private void CheckFactors(Probe probe, LabelExperiment[] experiments)
    {
        foreach (LabelExperiment experiment in experiments)
        {
            foreach (string attribute in experiment.FactorAttributes)
                probe.Attribute(attribute);
            if (experiment.Labels.Any(label => label.Group is not null))
                ConfusionAnalysis.NamedGroups(experiment, probe);
        }

        GroupComparisons.Check(_spec.Families, probe);
        foreach (CorrelationSpec correlation in _spec.Correlations)
            probe.NumericAttribute(correlation.Attribute);
    }

    /// <summary>What the spec names; of a folder a name in it.</summary>
    private IEnumerable<string> NamedInputs()
    {
        IEnumerable<string?> named = _spec.Models
            .SelectMany(static model => new[] { model.Model, model.ImageFeatures }.Concat(model.TextFeatures.Values).Concat(model.Scores.Values.SelectMany(static files => new[] { files.Softmax, files.Cosine })))
            .Concat([_spec.Probe.Metadata, _spec.RepresentationBias?.Probe.Metadata, _spec.Accuracy?.Probe?.Metadata, _spec.Retrieval?.Probe?.Metadata, _spec.Retrieval?.Captions]);
        return named.OfType<string>().Select(Resolve).Select(static path => FilePlace.IsFolder(path) ? Path.Combine(path, "weights") : path).Where(static path => Path.IsPathRooted(path)).Append(_specFile);
    }

    private string Resolve(string path) => Path.IsPathRooted(path) ? path : Path.Combine(Path.GetDirectoryName(Path.GetFullPath(_specFile))!, path);

    /// <summary>Unfinished files of a run that was killed, in the places where a run writes.</summary>
    private void RemoveLeftovers()
    {
        IEnumerable<string> places = ResultDirectory.Folders.Select(name => Path.Combine(_directory, name)).Where(FilePlace.IsFolder);
        foreach (string file in places.SelectMany(place => Directory.EnumerateFiles(place, "*" + AtomicFile.TemporarySuffix, SearchOption.AllDirectories))
            .Concat(Directory.EnumerateFiles(_directory, "*" + AtomicFile.TemporarySuffix)).ToList())
        {
            if (AtomicFile.IsTemporary(file))
                File.Delete(file);
        }
    }
}

/// <summary>The content of <c>run.json</c>.</summary>
internal sealed record RunRecord(string Title, Provenance Provenance, IReadOnlyList<ModelSummary> Models);

/// <summary>The content of <c>timings.json</c>: seconds by stage.</summary>
internal sealed record TimingRecord(DateTimeOffset Finished, SortedDictionary<string, double> Seconds);
