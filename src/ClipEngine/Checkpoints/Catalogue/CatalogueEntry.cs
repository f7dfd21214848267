using System.Collections.Immutable;

namespace ClipEngine.Checkpoints;

/// <summary>The non-linearity of a model's MLPs; weights trained with one give quietly wrong features with the other.</summary>
public enum WeightsActivation
{
    /// <summary>The exact GELU.</summary>
    Gelu,

    /// <summary>x sigmoid(1.702 x), which OpenAI's models and some others were trained with.</summary>
    QuickGelu,
}

/// <summary>What the catalogue knows of a file's SHA-256.</summary>
public enum HashKnowledge
{
    /// <summary>Nothing. A hub's own hash is then what a download is checked against.</summary>
    Unknown,

    /// <summary>Only its first 8 hexadecimal digits were ever published; results record "prefix-checked".</summary>
    Prefix,

    /// <summary>All of it.</summary>
    Full,
}

/// <summary>Published weights of one model: where they are, how they were trained, and how pixels must be fed to them.</summary>
public sealed record CatalogueEntry
{
    /// <summary>The model's name, as <c>ViT-B-32</c>.</summary>
    public required string Model { get; init; }

    /// <summary>The weights' tag, as <c>laion2b_s34b_b79k</c>.</summary>
    public required string Tag { get; init; }

    /// <summary>Model and tag, as a user writes them.</summary>
    public string Name => $"{Model}/{Tag}";

    /// <summary>The repository on the hub, <c>organisation/name</c>, or null where there is none that holds these weights.</summary>
    public string? HubRepository { get; init; }

    /// <summary>What open_clip asks the hub for where its table names no file.</summary>
    internal static readonly ImmutableArray<string> UsualHubFileNames = ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"];

    /// <summary>What <c>save_pretrained</c> of transformers writes, the older name last.</summary>
    internal static readonly ImmutableArray<string> TransformersHubFileNames = ["model.safetensors", "pytorch_model.bin"];

    /// <summary>File names to try in the repository, in order. The layout is then recognised by the keys inside, never by the name.</summary>
    public ImmutableArray<string> HubFileNames { get; init; } = UsualHubFileNames;

    /// <summary>SHA-256 of files in the repository by their names, 64 lower-case digits, where several independent projects have published it; empty where none is known.</summary>
    public ImmutableDictionary<string, string> HubSha256 { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>The address of the file that was released outside the hub, or null.</summary>
    public Uri? ReleaseUrl { get; init; }

    /// <summary>SHA-256 of the release file, 64 lower-case digits, where it is known in full; else null. The hub's file of the same weights has another.</summary>
    public string? ReleaseSha256 { get; init; }

    /// <summary>The first digits of the release file's SHA-256, where only they are published; else null.</summary>
    public string? ReleaseSha256Prefix { get; init; }

    /// <summary>How much of the release file's SHA-256 is known.</summary>
    public HashKnowledge ReleaseHash => ReleaseSha256 is not null ? HashKnowledge.Full
        : ReleaseSha256Prefix is not null ? HashKnowledge.Prefix : HashKnowledge.Unknown;

    /// <summary>What the weights were trained with, according to open_clip's table. The configuration of a plain model name may say otherwise: <see cref="ResolveActivation"/>.</summary>
    public required WeightsActivation ActivationOfWeights { get; init; }

    /// <summary>Mean of red, green and blue that is subtracted from pixels in [0, 1].</summary>
    public required ImmutableArray<float> Mean { get; init; }

    /// <summary>Standard deviation of red, green and blue that pixels are divided by.</summary>
    public required ImmutableArray<float> StandardDeviation { get; init; }

    /// <summary><c>shortest</c> or <c>squash</c>.</summary>
    public required string ResizeMode { get; init; }

    /// <summary><c>bicubic</c> or <c>bilinear</c>.</summary>
    public required string Interpolation { get; init; }

    /// <summary>The training set, or null where the sources at hand do not name it for certain.</summary>
    public string? TrainingSet { get; init; }

    /// <summary>Image-text pairs that the training set is named after (400 million, 2 billion), not a count; or null.</summary>
    public long? TrainingSetNominalSize { get; init; }

    /// <summary>The epoch after which the weights were saved, where the tag states it; or null.</summary>
    public int? Epoch { get; init; }

    /// <summary>Names the training run; entries with the same run are epochs of it or the same file, and are no independent samples. Null where unknown.</summary>
    public string? TrainingRun { get; init; }

    /// <summary>Whether this is one of the 14 that the published audit names. They are 12 files of 8 training runs.</summary>
    public bool IsAudited { get; init; }

    /// <summary>What somebody who picks these weights should know, or null.</summary>
    public string? Note { get; init; }

    /// <summary>What a result says of a model that ran with the wrong activation on request.</summary>
    public const string ActivationMismatchLabel = "activation mismatch";

    /// <summary>
    /// Decides which activation a model runs with. Weights trained with QuickGELU and run with GELU (as the plain name
    /// <c>ViT-B-32</c> makes of <c>laion400m_e31</c> and <c>laion400m_e32</c>) give other figures without any other sign;
    /// the published audit reports that combination as a model of its own.
    /// </summary>
    /// <param name="configured">What the model's configuration says.</param>
    /// <param name="acceptMismatch">Run as configured although the weights say otherwise, to repeat the published mistake.</param>
    /// <returns>What to run, and the label that every result of it must carry, or null.</returns>
    /// <exception cref="BadInputException">The configuration contradicts the weights' origin and that was not asked for.</exception>
    public (WeightsActivation Activation, string? Label) ResolveActivation(WeightsActivation configured, bool acceptMismatch = false)
    {
        if (configured == ActivationOfWeights)
            return (configured, null);
        if (acceptMismatch)
            return (configured, ActivationMismatchLabel);
        string right = ActivationOfWeights == WeightsActivation.QuickGelu ? Model + "-quickgelu" : Model.Replace("-quickgelu", "", StringComparison.Ordinal);
        string remedy = ModelCatalogue.TryFind($"{right}/{Tag}") is { } entry
            ? $"Use {entry.Name}, or ask for the mismatch (--accept-activation-mismatch; acceptActivationMismatch in a spec) to repeat the published mistake; results are then labelled '{ActivationMismatchLabel}'."
            : $"Ask for the mismatch (--accept-activation-mismatch; acceptActivationMismatch in a spec) if that is what you want; results are then labelled '{ActivationMismatchLabel}'.";
        throw new BadInputException(Name, $"the configuration of {Model} runs {Describe(configured)}, but these weights were trained with {Describe(ActivationOfWeights)}; the features would be quietly wrong.", remedy);
    }

    private static string Describe(WeightsActivation activation) => activation == WeightsActivation.Gelu ? "GELU" : "QuickGELU";
}

/// <summary>What of a model was compared with the original library while this program was made. The published weights themselves never were.</summary>
internal enum ModelComparison
{
    /// <summary>A tiny random model of the same structure.</summary>
    Structure,

    /// <summary>One of full size, its weights made by a formula.</summary>
    FullSize,
}

/// <summary>A model that the catalogue can build: its configuration and the weights published for it.</summary>
internal sealed record CatalogueModel
{
    /// <summary>The name, as <c>ViT-B-32</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The activation that the configuration runs. Entries of this model may hold weights that were trained with the other one.</summary>
    public required WeightsActivation Activation { get; init; }

    /// <summary>What was compared with the original.</summary>
    public required ModelComparison Comparison { get; init; }

    /// <summary>The configuration in open_clip's own JSON (<c>embed_dim</c>, <c>vision_cfg</c>, <c>text_cfg</c>), or in transformers' (<c>model_type</c>).</summary>
    public required string ConfigurationJson { get; init; }

    /// <summary>Whether configuration and weights are in transformers' layout.</summary>
    internal bool IsTransformers { get; init; }

    /// <summary>The repository of the tokenizer that an open_clip configuration names; null for CLIP's own, and for what is in transformers' layout, whose tokenizer lies beside its weights.</summary>
    internal string? TokenizerRepository { get; init; }

    /// <summary>Whether its image tower is one of timm's.</summary>
    internal bool HasNamedTower { get; init; }

    /// <summary>Published weights; none for models that were only ever configured.</summary>
    public required ImmutableArray<CatalogueEntry> Weights { get; init; }

    /// <summary>
    /// The configuration together with how an entry's weights want their pixels, as the <c>open_clip_config.json</c> of a
    /// repository: a bare file of weights does not know its mean and standard deviation, and the defaults are wrong for some. In transformers'
    /// layout the configuration as it is: it says how its weights want their pixels where the family's defaults do not.
    /// </summary>
    /// <param name="entry">Weights of this model.</param>
    public string ConfigurationFor(CatalogueEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (IsTransformers)
            return ConfigurationJson;
        using var stream = new MemoryStream();
        using (var json = new System.Text.Json.Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WritePropertyName("model_cfg");
            json.WriteRawValue(ConfigurationJson);
            json.WriteStartObject("preprocess_cfg");
            WriteNumbers(json, "mean", entry.Mean);
            WriteNumbers(json, "std", entry.StandardDeviation);
            json.WriteString("interpolation", entry.Interpolation);
            json.WriteString("resize_mode", entry.ResizeMode);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void WriteNumbers(System.Text.Json.Utf8JsonWriter json, string name, ImmutableArray<float> values)
    {
        json.WriteStartArray(name);
        foreach (float value in values)
            json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}
