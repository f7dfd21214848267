using System.Text;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>What a load ends with; owned by a <see cref="ModelHandle"/>.</summary>
internal sealed record LoadedParts(IModel Model, IReadOnlyList<Weight> Weights, IReadOnlyList<string> Notices, Func<ITokenizer> Tokenizer);

/// <summary>Finds a model's files and brings its weights to a backend.</summary>
internal static class ClipModelLoader
{
    public static LoadedParts Load(string path, ClipModelOptions options, IBackend backend, ModelAbilities uses, CancellationToken cancellationToken = default)
    {
        path = ModelLocation.Resolve(path);
        bool isFolder = FilePlace.IsFolder(path);
        bool isName = !isFolder && !FilePlace.IsFile(path);
        CatalogueEntry? origin = isName ? ModelCatalogue.TryFind(path) : ModelCatalogue.OriginOf(path);
        if (isName)
            path = FindByName(path, origin);

        string folder = isFolder ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        // In transformers' layout the configuration was fetched with the weights; without one beside them it is the catalogue's, as for open_clip's.
        (string configurationPath, JsonElement configuration) = isName && options.ConfigurationPath is null && !ModelCatalogue.FindModel(origin!.Model).IsTransformers
            ? (origin!.Name, ConfigFile.ParseRoot(Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(origin.Model).ConfigurationFor(origin)), origin.Name))
            : ModelConfiguration.Find(path, origin, options.ConfigurationPath);
        string? label = origin?.ResolveActivation(ActivationOf(configuration, configurationPath), options.AcceptActivationMismatch).Label;
        ModelPlan plan = ModelFamilies.Plan(new ModelFiles(configuration, configurationPath));
        if (options.Planned is { } planned && plan.Packing is null)
            planned(options.PixelsOf(options.ImageSize is { } size ? plan.PreprocessAt(size) : plan.Preprocess));
        using ICheckpoint checkpoint = Arrange(plan, path);
        using var reader = new WeightReader(checkpoint, backend) { Cancellation = cancellationToken };
        IModel model = plan.Build(reader, backend, new ModelOptions { ImageSize = options.ImageSize, Towers = options.Towers, Uses = uses });
        if (reader.ListProblems().Count == 0 && reader.Findings.Any(static finding => !finding.IsFinite))
        {
            // Before the weights are handed over: the reader still owns them and releases them.
            throw new CheckpointException(path, CheckpointError.NotFinite, "weights are not finite: " + string.Join("; ", reader.Findings.Where(static finding => !finding.IsFinite).Take(10)) + ".",
                "Such a model's features mean nothing: the training diverged, or the file is damaged. Use an earlier checkpoint, or get the file again.");
        }

        if (reader.ListProblems().Count == 0 && model is IDualEncoder encoder && !double.IsFinite(encoder.LogitScale))
        {
            throw new CheckpointException(path, CheckpointError.NotFinite, "logit_scale: its exponential, by which cosines are multiplied, is infinite.",
                "Such a model's scores mean nothing: the training diverged, or the file is damaged. Use an earlier checkpoint, or get the file again.");
        }

        IReadOnlyList<Weight> weights = reader.Complete();
        string[] notices = [.. label is null ? Array.Empty<string>() : [$"{origin!.Name}: {label}"], .. checkpoint.Notices, .. UnusedAdapter(path), .. model.Notices, .. reader.Findings.Select(finding => $"{path}: {finding}")];
        return new LoadedParts(model, weights, notices, () => options.Tokenizer ?? ModelTokenizer.Choose(configurationPath, folder, model.Tokenizer, model.ContextLength, model.VocabularySize));
    }

    /// <summary>A model of the catalogue with random weights: every tensor that its architecture asks for, in the shape that it asks for.</summary>
    public static LoadedParts CreateUntrained(string modelName, ClipModelOptions options, IBackend backend)
    {
        CatalogueModel known = ModelCatalogue.FindModel(modelName);
        // OpenAI's pixels, said out loud, so that nobody is told that they were not stated.
        string text = known.IsTransformers ? known.ConfigurationJson : $$$"""{"model_cfg": {{{known.ConfigurationJson}}}, "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]} }""";
        JsonElement configuration = ConfigFile.ParseRoot(Encoding.UTF8.GetBytes(text), modelName);
        ModelPlan plan = ModelFamilies.Plan(new ModelFiles(configuration, modelName));
        using var nothing = new UntrainedCheckpoint(modelName, []);
        using var asking = new WeightReader(nothing, backend: null);
        plan.Build(asking, backend, new ModelOptions { ImageSize = options.ImageSize });
        using var checkpoint = new UntrainedCheckpoint(modelName, asking.Requests);
        using var reader = new WeightReader(checkpoint, backend);
        IModel model = plan.Build(reader, backend, new ModelOptions { ImageSize = options.ImageSize, Towers = options.Towers, Uses = ModelAbilities.Embed });
        return new LoadedParts(model, reader.Complete(), [$"{modelName}: random weights; features mean nothing."], () => options.Tokenizer ?? ModelTokenizer.Choose(modelName, folder: null, model.Tokenizer, model.ContextLength, model.VocabularySize));
    }

    private static ICheckpoint Arrange(ModelPlan plan, string path)
    {
        ICheckpoint stored = Checkpoint.OpenAsStored(path);
        try
        {
            return plan.Arrange(stored);
        }
        catch
        {
            stored.Dispose();
            throw;
        }
    }

    /// <summary>A file of weights is taken as it is: an adapter that lies beside it is only mentioned.</summary>
    private static IEnumerable<string> UnusedAdapter(string path)
    {
        string? adapter = FilePlace.IsFolder(path) ? null : Checkpoint.FindAdapter(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return adapter is null ? [] : [$"{adapter}: lies beside the weights and is not applied to a file that is named by itself; name the folder to add it."];
    }

    /// <summary>Weights that the catalogue knows by this name, in the caches of this machine; nothing is downloaded by loading.</summary>
    private static string FindByName(string name, CatalogueEntry? entry)
    {
        if (entry is null)
        {
            throw new BadInputException(name, "there is no such file or folder, and the catalogue has no weights of that name.",
                "Give a folder in the OpenCLIP or transformers layout (open_clip_config.json or config.json beside the weights), a weights file with its configuration, or a name that 'clipengine models list' shows."
                + (ModelCatalogue.FromRepository(name) is { Length: > 0 } published ? $" This repository of the hub is {string.Join(", ", published.Select(static known => known.Name))}."
                    : name.Contains('/') && HubCache.IsRepository(name) ? $" A repository of the hub is named hf-hub:{name}." : ""));
        }

        using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
        return store.Use(entry).Path;
    }

    private static WeightsActivation ActivationOf(JsonElement configuration, string source)
    {
        if (TransformersClipReader.HasImageTower(configuration))
            return TransformersClipReader.ReadImageTower(configuration, source).Activation == Activation.QuickGelu ? WeightsActivation.QuickGelu : WeightsActivation.Gelu;
        JsonElement model = OpenClipFamily.Model(configuration);
        return model.ValueKind == JsonValueKind.Object && model.TryGetProperty("quick_gelu", out JsonElement quick) && quick.ValueKind == JsonValueKind.True
            ? WeightsActivation.QuickGelu
            : WeightsActivation.Gelu;
    }
}
