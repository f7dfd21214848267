using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;

namespace ClipEngine.Audit.Drift;

/// <summary>
/// Canonical image sets for concepts and for two groups of people, and what is to be measured on them before and after a model was fine-tuned.
/// A concept may be a pair ("man with surfboard"): it is a set of images like any other. Paths are relative to the spec's folder.
/// </summary>
internal sealed record DriftSpec
{
    /// <summary>What the comparison is called.</summary>
    public required string Title { get; init; }

    /// <summary>A CSV table with one row an image.</summary>
    public required string Metadata { get; init; }

    /// <summary>The images' folder; absent where both sides bring features.</summary>
    public string? Images { get; set; }

    /// <summary>The id column; absent: the first.</summary>
    public string? Id { get; set; }

    /// <summary>The column with the image's path; absent: the id.</summary>
    public string? File { get; set; }

    /// <summary>The column that says whom or what an image shows: what is drawn together in the bootstrap. Absent: every image for itself.</summary>
    public string? Person { get; set; }

    /// <summary>The column that names an image's set.</summary>
    public string Set { get; set; } = "set";

    /// <summary>The two sets of people that concepts are held against, for example <c>["men", "women"]</c>; associations are with the first minus with the second.</summary>
    public required IReadOnlyList<string> Groups { get; init; }

    /// <summary>The concepts; absent: all other sets.</summary>
    public IReadOnlyList<string> Concepts { get; set; } = [];

    /// <summary>For zero-shot scores: the sentence of each concept. Absent: image features alone, which any vision tower has.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; set; } = new Dictionary<string, string>();

    /// <summary>What cosines are multiplied with before the softmax over the sentences.</summary>
    public double Scale { get; set; } = 100;

    /// <summary>fp32, bf16, fp16 or int8.</summary>
    public string ElementType { get; set; } = "fp32";

    /// <summary>Several models before and after, in place of the command's two.</summary>
    public IReadOnlyList<DriftPairSpec> Pairs { get; set; } = [];

    /// <summary>How intervals are made; the method is the percentile.</summary>
    public IntervalSpec Intervals { get; set; } = new();

    /// <summary>Reads a spec.</summary>
    /// <exception cref="BadInputException">Missing, no JSON, an unknown key, or a value that cannot be.</exception>
    public static DriftSpec Read(string path)
    {
        DriftSpec spec = SpecReader.Deserialize(path, TextFile.ReadDocument(path, "a spec of a drift comparison (JSON)"), DriftJson.Default.DriftSpec, "docs/bias.md lists the keys.");
        if (spec.Groups.Count != 2 || spec.Groups[0] == spec.Groups[1])
            throw new BadInputException(path, "groups must name two different sets.", "For example \"groups\": [\"men\", \"women\"].");
        if (spec.Concepts.Intersect(spec.Groups).Any())
            throw new BadInputException(path, "a group is among the concepts.", "Concepts are held against the groups; take it out.");
        if (spec.Pairs.GroupBy(pair => DriftStudyReport.FolderOf(pair.Name), StringComparer.OrdinalIgnoreCase).FirstOrDefault(names => names.Count() > 1) is { } twice)
            throw new BadInputException(path, $"pairs: the folder '{BadInputException.Escape(twice.Key, 60)}' would be written more than once ({string.Join(", ", twice.Take(5).Select(static pair => BadInputException.Escape(pair.Name, 60)))}).", "Give each pair a name of its own; it names a folder.");
        if (spec.Pairs.FirstOrDefault(pair => string.IsNullOrWhiteSpace(pair.Name) || pair.Before.Length == 0 || pair.After.Length == 0) is not null)
            throw new BadInputException(path, "pairs: a name or a model is empty.", "Each pair needs name, before and after.");
        if (spec.Pairs.FirstOrDefault(pair => DriftStudyReport.FolderOf(pair.Name) is "tables" or "figures") is { } taken)
            throw new BadInputException(path, $"pairs: a pair cannot be called '{BadInputException.Escape(taken.Name, 60)}', which is a folder of the results.", "Give it another name.");
        if (spec.Pairs.FirstOrDefault(pair => !pair.Factors.Keys.Order(StringComparer.Ordinal).SequenceEqual(spec.Pairs[0].Factors.Keys.Order(StringComparer.Ordinal))) is { } odd)
            throw new BadInputException(path, $"pairs: '{BadInputException.Escape(odd.Name, 60)}' has other factors than '{BadInputException.Escape(spec.Pairs[0].Name, 60)}' ({string.Join(", ", spec.Pairs[0].Factors.Keys)}).", "Every pair needs a level of every factor.");
        if (spec.Intervals.Level is not (>= 0.5 and < 1) || spec.Intervals.Resamples is < 99 or > 1_000_000)
            throw new BadInputException(path, "intervals: level must be from 0.5 to 1, resamples from 99 to 1000000.");
        if (!(spec.Scale > 0 && spec.Scale <= 1e6))
            throw new BadInputException(path, "scale must be above 0.");
        return spec;
    }
}

/// <summary>A model before and after it was fine-tuned, with what it is.</summary>
internal sealed record DriftPairSpec
{
    /// <summary>What the pair is called.</summary>
    public required string Name { get; init; }

    /// <summary>The model before, or its image features: a path below the spec's folder, or a name of the catalogue.</summary>
    public required string Before { get; init; }

    /// <summary>The model after, or its image features.</summary>
    public required string After { get; init; }

    /// <summary>Its level of each factor: <c>{ "size": "B/32", "data": "LAION-400M", "objective": "contrastive" }</c>.</summary>
    public IReadOnlyDictionary<string, string> Factors { get; set; } = new Dictionary<string, string>();
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    AllowTrailingCommas = true,
    ReadCommentHandling = JsonCommentHandling.Skip,
    WriteIndented = true,
    NewLine = "\n")]
[JsonSerializable(typeof(DriftSpec))]
[JsonSerializable(typeof(DriftResult))]
[JsonSerializable(typeof(DriftStudyResult))]
internal sealed partial class DriftJson : JsonSerializerContext;
