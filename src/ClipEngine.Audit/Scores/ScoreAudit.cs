using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Scores;

/// <summary>What is audited: one matrix of probabilities that was computed elsewhere.</summary>
internal sealed record ScoreAuditRequest
{
    /// <summary>The matrix, <c>.npy</c>, <c>[images, labels]</c>.</summary>
    public required string SoftmaxFile { get; init; }

    /// <summary>The images' metadata, one row for each row of the matrix, in its order.</summary>
    public required string MetadataFile { get; init; }

    /// <summary>Which columns of the metadata mean what.</summary>
    public required ProbeColumns Columns { get; init; }

    /// <summary>The labels of the matrix's columns.</summary>
    public required LabelExperiment Experiment { get; init; }

    /// <summary>What the model is called; null: the file's name.</summary>
    public string? Model { get; init; }

    /// <summary>The scale that the softmax was made with, where it is known; margins need it.</summary>
    public double? Scale { get; init; }

    /// <summary>The stated largest error of a cosine; needs <see cref="Scale"/>.</summary>
    public double? CosineError { get; init; }

    /// <summary>Families of pairs of groups; their experiment is <see cref="Experiment"/>'s key.</summary>
    public IReadOnlyList<FamilySpec> Families { get; init; } = [];

    /// <summary>How intervals are made.</summary>
    public IntervalOptions Intervals { get; init; } = new();
}

/// <summary>Audits one matrix of probabilities.</summary>
internal static class ScoreAudit
{
    /// <summary>Reads, checks and analyses.</summary>
    /// <exception cref="BadInputException">A file is missing or cannot be what it is said to be; nothing was written.</exception>
    public static AuditResult Run(ScoreAuditRequest request)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentNullException.ThrowIfNull(request);
        if (request.CosineError is not null && request.Scale is null)
            throw new BadInputException("--cosine-error", "margins in cosine need the scale that the probabilities were made with.", "Give --scale too.");
        if (request.Experiment.FactorAttributes.Count > 0 && request.Experiment.Labels.All(label => label.Group is null))
            throw new BadInputException("--factor", "says in what a wrong group is wrong, but the labels name no groups.", "Say with --expect which label names which group, or leave --factor out.");
        CsvTable table = CsvTable.Read(request.MetadataFile);
        RowSelection rows = RowSelection.Of(table, new ProbeSpec { Weight = request.Columns.Weight }, []);
        Probe probe = ProbeReader.Create(rows.Table, request.Columns, Path.GetFileNameWithoutExtension(request.MetadataFile)).From(rows);
        foreach (string factor in request.Experiment.FactorAttributes)
            probe.Attribute(factor);
        foreach (FamilySpec family in request.Families)
        {
            if (!family.IsOfGroupPairs || family.Comparisons.Count > 0)
                throw new BadInputException($"family '{family.Name}'", "a single matrix has no arms to compare; a reference or pairs of groups were expected.");
            if (family.Labels.FirstOrDefault(label => Subject.Of(request.Experiment).All(subject => subject.Name != label)) is { } unknown)
                throw new BadInputException($"family '{family.Name}'", $"there is no label '{BadInputException.Escape(unknown)}'.");
        }

        GroupComparisons.Check(request.Families, probe);
        ScoreMatrix matrix = ScoreMatrixReader.ReadProbabilities(request.SoftmaxFile, probe.SourceRows, request.Experiment.Labels.Count);
        matrix = probe.Select(matrix);
        string key = request.Model ?? Path.GetFileNameWithoutExtension(request.SoftmaxFile);
        ModelExperimentResult analysed = ScoreAnalysis.Analyse(
            key, request.Experiment, probe, new ExperimentScores { Probabilities = matrix, Scale = request.Scale }, request.Intervals, request.CosineError);
        InputFile scores = InputFiles.Describe("scores", request.SoftmaxFile);
        return AuditAssembly.WithNotes(new AuditResult
        {
            Title = $"{request.Experiment.Title}: {key}",
            Question = "Which labels does the model choose, for whom?",
            Probe = AuditAssembly.Probe(probe, AuditAssembly.GroupNames(new Dictionary<string, string>(), [request.Experiment])),
            Models = [new ModelSummary
            {
                Key = key,
                Origin = request.Scale is null ? ScoreOrigin.Given : ScoreOrigin.Cosines,
                Scoring = request.Scale is double scale ? $"softmax({scale:R} · cosine), as given" : "softmax, as given",
                Sha256 = scores.Sha256,
                Source = "scores computed elsewhere",
            }],
            Experiments = [AuditAssembly.Experiment(request.Experiment, [analysed])],
            Comparisons = [],
            GroupComparisons = new GroupComparisons(probe, request.Families, [request.Experiment], request.Intervals)
                .WithinModels([key], new Dictionary<(string Experiment, string Model), ScoreMatrix> { [(request.Experiment.Key, key)] = matrix }),
            Sensitivity = [],
            Correlations = [],
            Notes = [],
            Provenance = new Provenance
            {
                Version = AuditAssembly.Version,
                Command = "clipengine audit scores",
                Spec = "",
                Device = "",
                ElementType = "as given",
                ConfidenceLevel = request.Intervals.Level,
                Resamples = request.Intervals.Resamples,
                Seed = request.Intervals.Seed,
                Inputs = [InputFiles.Describe("metadata", request.MetadataFile), scores],
            },
        });
    }
}
