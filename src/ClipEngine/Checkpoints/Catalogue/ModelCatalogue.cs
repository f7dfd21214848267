using System.Collections.Immutable;
using System.Text.Json;

namespace ClipEngine.Checkpoints;

/// <summary>
/// OpenCLIP's models with their published weights, its plain ViTs without any, and repositories in transformers' layout (CLIP, MetaCLIP, SigLIP,
/// SigLIP 2, AltCLIP, Chinese-CLIP, BLIP, BLIP-2), as data (<c>catalogue.json</c>, embedded).
/// </summary>
/// <remarks>
/// <para>Sizes, addresses, activations and pixel statistics are open_clip 3.3.0's, of towers of timm those of its 4.2.0.dev0. One of its rows is wrong and is corrected here:
/// it sends <c>ViT-B-16-plus-240/laion400m_e32</c> to the repository of epoch 31; here these weights come from the release file only,
/// whose hash tells the epochs apart.</para>
/// <para>Names, sizes and pixels of what is in transformers' layout are those of its repositories on the hub; none is listed whose weights lie there in several files.</para>
/// <para>Of hashes, OpenAI's addresses hold whole ones, open_clip's release files the first 8 digits in their names, and nothing is
/// published in open_clip for files on the hub: those are checked against the hash that the hub itself states.</para>
/// <para>Names of models and tags are the only ones accepted; nothing that a user types becomes part of a path or an address.</para>
/// </remarks>
public static class ModelCatalogue
{
    private static readonly Lazy<ImmutableArray<CatalogueModel>> s_models = new(Load);

    /// <summary>All models, family by family, small ones first.</summary>
    internal static ImmutableArray<CatalogueModel> Models => s_models.Value;

    /// <summary>All published weights.</summary>
    public static IEnumerable<CatalogueEntry> Entries => Models.SelectMany(model => model.Weights);

    /// <summary>The model with exactly this name.</summary>
    /// <param name="name">As <c>ViT-B-32</c>; case matters, as on the hub.</param>
    /// <exception cref="BadInputException">There is none; similar names are offered.</exception>
    internal static CatalogueModel FindModel(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        foreach (CatalogueModel model in Models)
        {
            if (model.Name == name)
                return model;
        }

        throw Unknown(name, name);
    }

    private static BadInputException Unknown(string name, string wanted) => new(name, "the catalogue has no such model.", Suggest(wanted, Models.Select(static model => model.Name)));

    /// <summary>The weights with exactly this name.</summary>
    /// <param name="name">Model and tag, as <c>ViT-B-32/laion2b_s34b_b79k</c>.</param>
    /// <exception cref="BadInputException">There are none; the model's tags are listed.</exception>
    public static CatalogueEntry Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (TryFind(name) is { } entry)
            return entry;
        if (FromRepository(name) is { Length: > 0 } published)
            throw new BadInputException(name, "is a repository of the hub.", $"Its weights are named {string.Join(", ", published.Select(static entry => entry.Name))} here.");
        int slash = name.IndexOf('/');
        string wanted = slash < 0 ? name : name[..slash];
        CatalogueModel model = Models.FirstOrDefault(known => known.Name == wanted) ?? throw Unknown(name, wanted);
        throw new BadInputException(name, slash < 0 ? "names a model without its weights." : "the catalogue has no such weights.",
            model.Weights.IsEmpty ? $"No weights were published for {model.Name}." : $"There are: {string.Join(", ", model.Weights.Select(weights => weights.Name))}.");
    }

    /// <summary>The weights with exactly this name, or null.</summary>
    /// <param name="name">Model and tag.</param>
    public static CatalogueEntry? TryFind(string name) => Entries.FirstOrDefault(entry => entry.Name == name);

    /// <summary>What the catalogue has of a repository of the hub, <c>organisation/name</c>.</summary>
    internal static CatalogueEntry[] FromRepository(string repository) => [.. Entries.Where(entry => entry.HubRepository == repository)];

    /// <summary>
    /// Where a file of weights comes from, told by the name of a release file or by the folder of the hub's cache it lies in;
    /// null where neither says. The same file may serve two model names, of which the one whose own activation fits is returned.
    /// </summary>
    /// <param name="path">A file as the user named it; it is not opened.</param>
    public static CatalogueEntry? OriginOf(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string[] steps = Path.GetFullPath(path).Split(Path.DirectorySeparatorChar);
        // Most loads need nothing of the catalogue, and reading it is a tenth of a short program's start.
        if (!steps[^1].EndsWith(".pt", StringComparison.Ordinal) && !steps[^1].EndsWith(".pth", StringComparison.Ordinal) && !Array.Exists(steps, step => step.StartsWith(HubCache.FolderPrefix, StringComparison.Ordinal)))
            return null;
        return Entries.Where(entry => IsFrom(entry, steps)).MinBy(entry => entry.ActivationOfWeights == WeightsActivation.QuickGelu == entry.Model.Contains("quickgelu", StringComparison.Ordinal) ? 0 : 1);
    }

    private static bool IsFrom(CatalogueEntry entry, string[] steps) =>
        (entry.ReleaseUrl is { } url && (entry.ReleaseHash != HashKnowledge.Unknown) && steps[^1] == Path.GetFileName(url.AbsolutePath))
        || (entry.HubRepository is { } repository && steps.Contains(HubCache.FolderName(repository)));

    private static string Suggest(string name, IEnumerable<string> known)
    {
        string wanted = name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal);
        string[] similar = wanted.Length == 0 ? [] : [.. known.Where(candidate => candidate.Replace("-", "", StringComparison.Ordinal).StartsWith(wanted, StringComparison.OrdinalIgnoreCase)).Take(5)];
        return similar.Length > 0 ? $"Did you mean {string.Join(", ", similar)}?" : "'clipengine models list' shows them all.";
    }

    private static ImmutableArray<CatalogueModel> Load()
    {
        using Stream stream = typeof(ModelCatalogue).Assembly.GetManifestResourceStream("ClipEngine.Checkpoints.Catalogue.catalogue.json")
            ?? throw new InvalidOperationException("the assembly lacks its catalogue");
        using JsonDocument document = JsonDocument.Parse(stream);
        ILookup<string, CatalogueEntry> weights = document.RootElement.GetProperty("weights").EnumerateArray().Select(ReadEntry).ToLookup(entry => entry.Model);
        return [.. document.RootElement.GetProperty("models").EnumerateArray().Select(model =>
        {
            string name = model.GetProperty("name").GetString()!;
            JsonElement configuration = model.GetProperty("config");
            // A configuration in transformers' words: the weights are in its layout, too.
            bool isTransformers = configuration.TryGetProperty("model_type", out _);
            bool isQuick = isTransformers
                ? Text(configuration.GetProperty("vision_config"), "hidden_act") == "quick_gelu"
                : configuration.TryGetProperty("quick_gelu", out JsonElement quick) && quick.GetBoolean();
            WeightsActivation activation = isQuick ? WeightsActivation.QuickGelu : WeightsActivation.Gelu;
            return new CatalogueModel
            {
                Name = name,
                Activation = activation,
                Comparison = model.GetProperty("compared").GetString() == "size" ? ModelComparison.FullSize : ModelComparison.Structure,
                ConfigurationJson = configuration.GetRawText(),
                IsTransformers = isTransformers,
                TokenizerRepository = isTransformers ? null : Text(configuration.GetProperty("text_cfg"), "hf_tokenizer_name"),
                HasNamedTower = !isTransformers && configuration.GetProperty("vision_cfg").TryGetProperty("timm_model_name", out _),
                Weights = [.. weights[name].Select(entry => entry with
                {
                    Note = Note(entry, activation),
                    HubFileNames = isTransformers ? CatalogueEntry.TransformersHubFileNames : entry.HubFileNames,
                })],
            };
        })];
    }

    private static string? Note(CatalogueEntry entry, WeightsActivation configured)
    {
        if (entry.ActivationOfWeights != configured)
        {
            return $"The configuration named {entry.Model} runs {(configured == WeightsActivation.Gelu ? "GELU" : "QuickGELU")}, these weights were trained with the other: loading them is refused "
                + $"unless the mismatch is asked for, and results are then labelled '{CatalogueEntry.ActivationMismatchLabel}'.";
        }

        return entry switch
        {
            { Model: "ViT-B-16-plus-240", Tag: "laion400m_e32" } => "open_clip since 2.29 loads epoch 31 under this name: its table points at the wrong repository. Here the release file of epoch 32 is taken.",
            { Model: "roberta-ViT-B-32" } => "open_clip's table of weights says GELU, its configuration of this name QuickGELU; it warns and runs the latter, and so does this program.",
            _ => null,
        };
    }

    private static CatalogueEntry ReadEntry(JsonElement entry) => new()
    {
        Model = entry.GetProperty("model").GetString()!,
        Tag = entry.GetProperty("tag").GetString()!,
        HubRepository = Text(entry, "hub"),
        HubFileNames = Text(entry, "hubFile") is { } file ? [file] : CatalogueEntry.UsualHubFileNames,
        HubSha256 = entry.TryGetProperty("hubSha256", out JsonElement hashes)
            ? hashes.EnumerateObject().ToImmutableDictionary(static file => file.Name, static file => file.Value.GetString()!)
            : ImmutableDictionary<string, string>.Empty,
        ReleaseUrl = Text(entry, "url") is string url ? new Uri(url) : null,
        ReleaseSha256 = Text(entry, "sha256"),
        ReleaseSha256Prefix = Text(entry, "sha256Prefix"),
        ActivationOfWeights = Text(entry, "activation") == "quick_gelu" ? WeightsActivation.QuickGelu : WeightsActivation.Gelu,
        Mean = [.. entry.GetProperty("mean").EnumerateArray().Select(value => value.GetSingle())],
        StandardDeviation = [.. entry.GetProperty("std").EnumerateArray().Select(value => value.GetSingle())],
        ResizeMode = Text(entry, "resizeMode")!,
        Interpolation = Text(entry, "interpolation")!,
        TrainingSet = Text(entry, "trainingSet"),
        TrainingSetNominalSize = entry.TryGetProperty("trainingSetNominalSize", out JsonElement size) ? size.GetInt64() : null,
        Epoch = entry.TryGetProperty("epoch", out JsonElement epoch) ? epoch.GetInt32() : null,
        TrainingRun = Text(entry, "trainingRun"),
        IsAudited = entry.TryGetProperty("audited", out JsonElement audited) && audited.GetBoolean(),
    };

    private static string? Text(JsonElement entry, string name) => entry.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;
}
