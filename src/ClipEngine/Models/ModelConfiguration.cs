using System.Text;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;

namespace ClipEngine.Models;

/// <summary>Finds the configuration that belongs to a model as a user named it.</summary>
internal static class ModelConfiguration
{
    /// <summary>The configuration, in OpenCLIP's words whatever layout it came in.</summary>
    /// <param name="model">A folder in the OpenCLIP or transformers layout, a file of weights, a configuration (<c>.json</c>), or a name of the catalogue: of weights or of a model.</param>
    /// <param name="configuration">A JSON file, or a model of the catalogue, that takes the place of what belongs to the model; null for that.</param>
    /// <exception cref="BadInputException">There is none, or it is refused.</exception>
    public static OpenClipConfig Load(string model, string? configuration = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        model = ModelLocation.Resolve(model);
        bool exists = FilePlace.IsFolder(model) || FilePlace.IsFile(model);
        if (!exists && configuration is null && ModelCatalogue.TryFind(model) is null)
        {
            return ModelCatalogue.Models.Any(known => known.Name == model)
                ? OpenClipConfig.Load(model)
                : throw new BadInputException(model, "there is no such file or folder, and the catalogue has no model or weights of that name.",
                    "Give a folder in the OpenCLIP or transformers layout, a weights file with its configuration, or a name that 'clipengine models list' shows.");
        }

        (string source, JsonElement root) = Find(model, exists ? ModelCatalogue.OriginOf(model) : ModelCatalogue.TryFind(model), configuration);
        return TransformersConfig.Recognizes(root) ? TransformersClipFamily.Read(root, source) : OpenClipConfigReader.Parse(root, source);
    }

    /// <summary>What a model's files say before a weight is read, whatever its family.</summary>
    /// <param name="model">As for <see cref="Load"/>.</param>
    /// <param name="configuration">As for <see cref="Load"/>.</param>
    /// <exception cref="BadInputException">There is no configuration, no family knows it, or it is refused.</exception>
    public static ModelPlan Plan(string model, string? configuration = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        model = ModelLocation.Resolve(model);
        bool exists = FilePlace.IsFolder(model) || FilePlace.IsFile(model);
        CatalogueEntry? origin = exists ? ModelCatalogue.OriginOf(model) : ModelCatalogue.TryFind(model);
        if (!exists && configuration is null && origin is null)
            configuration = ModelCatalogue.Models.Any(known => known.Name == model) ? model : null;
        if (!exists && configuration is null && origin is null)
        {
            throw new BadInputException(model, "there is no such file or folder, and the catalogue has no model or weights of that name.",
                "Give a folder in the OpenCLIP or transformers layout, a weights file with its configuration, or a name that 'clipengine models list' shows.");
        }

        if (!exists && configuration is null && ModelCatalogue.FindModel(origin!.Model).IsTransformers)
        {
            // Its configuration and processor were fetched with the weights.
            using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
            model = store.UseCompanions(origin)?.Path ?? model;
        }

        (string source, JsonElement root) = Find(model, origin, configuration);
        return ModelFamilies.Plan(new ModelFiles(root, source));
    }

    /// <summary>The JSON text of a configuration in OpenCLIP's words: an OpenCLIP file as it is, transformers' with the preprocessing that lies beside it.</summary>
    /// <param name="path">A JSON file, or a model of the catalogue where there is no such file.</param>
    /// <exception cref="BadInputException">Not readable, not JSON, or with options that OpenCLIP has no words for.</exception>
    public static byte[] ReadAsOpenClip(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        byte[] bytes = ConfigFile.ReadBytes(path);
        JsonElement root = ConfigFile.ParseRoot(bytes, path);
        return TransformersConfig.Recognizes(root) ? TransformersConfig.ToOpenClip(root, TransformersProcessor.Find(root, path), path) : bytes;
    }

    /// <summary>
    /// The file that was named, the one beside the weights, what the catalogue knows of these weights (with their own mean and
    /// standard deviation, which a bare file does not carry), or what OpenAI's own archives are known to be.
    /// </summary>
    internal static (string Source, JsonElement Root) Find(string model, CatalogueEntry? origin, string? given)
    {
        if (given is not null)
            return (given, ConfigFile.Read(given));
        if (FilePlace.IsFile(model) && Path.GetExtension(model).Equals(".json", StringComparison.OrdinalIgnoreCase) && !Path.GetFileName(model).Contains(".index.", StringComparison.OrdinalIgnoreCase))
            return (model, ConfigFile.Read(model));
        bool exists = FilePlace.IsFolder(model) || FilePlace.IsFile(model);
        if (exists && CheckpointFit.FindConfiguration(model) is { } beside)
        {
            // A config.json may be another program's: where the origin of the weights is known, nobody needs it.
            JsonElement found = ConfigFile.Read(beside);
            if (origin is null || ModelFamilies.Recognize(found, beside))
                return (beside, found);
        }

        if (origin is not null)
            return (origin.Name, ConfigFile.ParseRoot(Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(origin.Model).ConfigurationFor(origin)), origin.Name));
        using ICheckpoint stored = Checkpoint.OpenAsStored(model);
        ICheckpoint openClip = CheckpointLayouts.ToOpenClip(stored);
        if (CheckpointLayouts.HasOpenAiExtras(stored) && TowerOutline.Of(openClip) is { ImageSize: > 0 } outline)
            return (TowerOutline.OpenAiSource, ConfigFile.ParseRoot(outline.ToOpenAiConfiguration(), TowerOutline.OpenAiSource));
        string[] candidates = FittingModels(openClip);
        string shapes = candidates.Length == 0 ? "" : $" The shapes are those of {string.Join(", ", candidates)}: --config takes such a name too.";
        throw new BadInputException(model, $"the configuration is missing: there is no {string.Join(" or ", CheckpointFit.ConfigurationNames)} beside the weights.",
            $"Weights alone do not say which activation and which pixels they were trained with. Name the model's JSON file (--config).{shapes}");
    }

    /// <summary>Models of the catalogue that have just these tensors. Several may: shapes do not tell QuickGELU from GELU.</summary>
    /// <param name="checkpoint">With OpenCLIP's keys.</param>
    public static string[] FittingModels(ICheckpoint checkpoint) => TowerOutline.Of(checkpoint) is null ? [] : [.. ModelCatalogue.Models
        .Where(static model => !model.HasNamedTower && !model.IsTransformers)
        .Where(model => CheckpointFit.Check(checkpoint, Encoding.UTF8.GetBytes(model.ConfigurationJson), model.Name).Fits)
        .Select(static model => model.Name)];
}
