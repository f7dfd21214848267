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
        if (spec.Intervals.Level is not (>= 0.5 and < 1) || spec.Intervals.Resamples is < 99 or > 1_000_000)
            throw new BadInputException(path, "intervals: level must be from 0.5 to 1, resamples from 99 to 1000000.");
        if (!(spec.Scale > 0 && spec.Scale <= 1e6))
            throw new BadInputException(path, "scale must be above 0.");
        return spec;
    }
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
internal sealed partial class DriftJson : JsonSerializerContext;
