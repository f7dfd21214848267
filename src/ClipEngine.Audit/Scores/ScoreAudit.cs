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
    /// <summary>The matrix: <c>.npy</c>, <c>[images, labels]</c>, in the metadata's order; or a table (CSV, Parquet) joined to the metadata by its id column.</summary>
    public required string SoftmaxFile { get; init; }

    /// <summary>The images' metadata, one row an image.</summary>
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

    /// <summary>What readers call the groups, by key.</summary>
    public IReadOnlyDictionary<string, string> GroupNames { get; init; } = new Dictionary<string, string>();

    /// <summary>The command that repeats the audit, files by their names alone.</summary>
    public string Command { get; init; } = "clipengine audit scores";

    /// <summary>Other files that were read: of labels, of families.</summary>
    public IReadOnlyList<InputFile> OtherInputs { get; init; } = [];

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
        // Nobody gave the sentences that the scores were made with: a shipped label set has its own, which need not be those.
        request = request with { Experiment = request.Experiment with { Labels = [.. request.Experiment.Labels.Select(label => label with { Prompt = "" })] } };
        if (request.CosineError is not null && request.Scale is null)
            throw new BadInputException("--cosine-error", "margins in cosine need the scale that the probabilities were made with.", "Give --scale too.");
        if (request.Experiment.FactorAttributes.Count > 0 && request.Experiment.Labels.All(label => label.Group is null))
            throw new BadInputException("--factor", "says in what a wrong group is wrong, but the labels name no groups.", "Say with --expect which label names which group, or leave --factor out.");
        CsvTable table = CsvTable.Read(request.MetadataFile);
        RowSelection rows = RowSelection.Of(table, new ProbeSpec { Weight = request.Columns.Weight }, []);
        Probe probe = ProbeReader.Create(rows.Table, request.Columns, Path.GetFileNameWithoutExtension(request.MetadataFile)).From(rows);
        foreach (string factor in request.Experiment.FactorAttributes)
            probe.Attribute(factor);
        string key = request.Model ?? Path.GetFileNameWithoutExtension(request.SoftmaxFile);
        foreach (FamilySpec family in request.Families)
        {
            if (!family.IsOfGroupPairs || family.Comparisons.Count > 0)
                throw new BadInputException($"family '{family.Name}'", "a single matrix has no arms to compare; a reference or pairs of groups were expected.");
            if (family.Experiment != request.Experiment.Key)
                throw new BadInputException($"family '{family.Name}'", $"names experiment '{BadInputException.Escape(family.Experiment)}'; '{request.Experiment.Key}' is the one there is.");
            if (family.Models.FirstOrDefault(name => name != key) is { } other)
                throw new BadInputException($"family '{family.Name}'", $"names model '{BadInputException.Escape(other)}'; '{BadInputException.Escape(key)}' is the one there is.", "Leave models out, or name it with --model.");
            if (family.Labels.Count == 0)
                throw new BadInputException($"family '{family.Name}'", "names no label.");
            if (family.Labels.FirstOrDefault(label => Subject.Of(request.Experiment).All(subject => subject.Name != label)) is { } unknown)
                throw new BadInputException($"family '{family.Name}'", $"there is no label '{BadInputException.Escape(unknown)}'.");
        }

        if (request.Families.GroupBy(family => family.Name).FirstOrDefault(families => families.Count() > 1) is { } twice)
            throw new BadInputException($"family '{twice.Key}'", "is there more than once.", "Families need names of their own.");
        GroupComparisons.Check(request.Families, probe);
        if (request.GroupNames.Keys.FirstOrDefault(group => !probe.GroupKeys.Contains(group)) is { } unnamed)
            throw new BadInputException("--group-name", $"there is no group '{BadInputException.Escape(unnamed)}'; there are {string.Join(", ", probe.GroupKeys.Take(40))}.");
        (ScoreMatrix matrix, string[] notes) = Scores(request, probe, table);
        ModelExperimentResult analysed = ScoreAnalysis.Analyse(
            key, request.Experiment, probe, new ExperimentScores { Probabilities = matrix, Scale = request.Scale }, request.Intervals, request.CosineError);
        InputFile scores = InputFiles.Describe("scores", request.SoftmaxFile);
        return AuditAssembly.WithNotes(new AuditResult
        {
            Title = $"{request.Experiment.Title}: {key}",
            Question = "Which labels does the model choose, for whom?",
            Probe = AuditAssembly.Probe(probe, AuditAssembly.GroupNames(request.GroupNames, [request.Experiment])) with { Warnings = [.. probe.Warnings, .. notes] },
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
                Command = request.Command,
                Spec = "",
                Device = "",
                ElementType = "as given",
                ConfidenceLevel = request.Intervals.Level,
                Resamples = request.Intervals.Resamples,
                Seed = request.Intervals.Seed,
                Inputs = [InputFiles.Describe("metadata", request.MetadataFile), scores, .. request.OtherInputs],
            },
        });
    }

    /// <summary>Writes a result as a run of a spec writes its own; the database comes last and marks a finished run.</summary>
    /// <param name="result">What was found.</param>
    /// <param name="directory">Created where missing; the caller holds it (<see cref="ResultDirectory.Hold"/>) since before the work.</param>
    /// <param name="report">Makes the report.</param>
    public static void Write(AuditResult result, string directory, IReportWriter report)
    {
        using var culture = InvariantCulture.Begin();
        Directory.CreateDirectory(directory);
        File.Delete(Path.Combine(directory, ResultDatabase.FileName));
        ResultDirectory.WriteRun(result, directory, report);
        ResultDatabase.Write(result, directory);
    }

    private static (ScoreMatrix Matrix, string[] Notes) Scores(ScoreAuditRequest request, Probe probe, CsvTable metadata)
    {
        string[] labels = [.. request.Experiment.Labels.Select(label => label.Text)];
        if (!ScoreTable.IsTable(request.SoftmaxFile))
            return (probe.Select(ScoreMatrixReader.ReadProbabilities(request.SoftmaxFile, probe.SourceRows, labels.Length)), []);
        // Images that are left out (weight 0, a missing group) need no scores.
        return ScoreTable.Read(request.SoftmaxFile, request.Columns.Id ?? metadata.Header[0], [.. probe.Images.Select(image => image.Id)], labels, metadata.Cells(metadata.Column(request.Columns.Id ?? metadata.Header[0])).ToHashSet(StringComparer.Ordinal));
    }
}
