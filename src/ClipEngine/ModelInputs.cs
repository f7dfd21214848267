using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Models;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>A model as a user named it, and the files whose content decides what it computes, for records of a run.</summary>
/// <param name="Path">What to load: a folder, a file, or a name of the catalogue.</param>
/// <param name="Files">Weights, configuration, tokenizer, adapter: all that lie beside each other and are read.</param>
/// <param name="Configuration">The configuration where it is not among the files; else null.</param>
public sealed record ModelInputs(string Path, IReadOnlyList<string> Files, string? Configuration)
{
    // What lies beside the weights and decides about their results.
    private static readonly string[] s_companions =
    [
        "open_clip_config.json", "config.json", "timm_model.json", "hf_text_model.json", "processor_config.json", "preprocessor_config.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
        "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
    ];

    /// <summary>Finds a model's files; loads nothing.</summary>
    /// <param name="model">A folder, a file of weights, or a name of the catalogue.</param>
    /// <param name="acceptActivationMismatch">Take weights that were trained with another activation than the model's name runs.</param>
    /// <exception cref="BadInputException">There is no such model, or its activation contradicts its weights.</exception>
    public static ModelInputs Find(string model, bool acceptActivationMismatch = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        model = ModelLocation.Resolve(model);
        if (FilePlace.IsFolder(model))
        {
            string[] beside = Beside(model);
            string weights = Checkpoint.FindWeights(model);
            // A sharded checkpoint is its index and every shard beside it.
            string[] shards = weights.EndsWith(".json", StringComparison.Ordinal) ? [.. Directory.GetFiles(model, "*.safetensors").Where(path => !beside.Contains(path)).Order(StringComparer.Ordinal)] : [];
            return new ModelInputs(model, [weights, .. shards, .. beside, .. TokenizerElsewhere(model)], null);
        }

        if (FilePlace.IsFile(model))
        {
            string folder = FolderOf(model);
            return new ModelInputs(model, [model, .. Beside(folder).Where(file => !FilePlace.IsSame(file, model)), .. TokenizerElsewhere(folder)], null);
        }

        CatalogueEntry entry = ModelCatalogue.TryFind(model)
            ?? throw new BadInputException(model, "there is no such folder or file, and the catalogue has no weights of this name.", "Give a folder in the OpenCLIP layout, or a name as 'clipengine models list' shows it.");
        using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
        StoredWeights stored = store.Use(entry);
        CatalogueModel described = ModelCatalogue.FindModel(entry.Model);
        entry.ResolveActivation(described.Activation, acceptActivationMismatch);
        // Loaded by name: one file may be several entries, and only the name says whether ViT-B-32 or ViT-B-32-quickgelu is meant.
        string place = FolderOf(stored.Path);
        bool hasConfiguration = described.IsTransformers && CheckpointFit.FindConfiguration(stored.Path) is not null;
        return new ModelInputs(entry.Name, [stored.Path, .. Beside(place), .. TokenizerElsewhere(place, described.TokenizerRepository)], hasConfiguration ? null : described.ConfigurationFor(entry));
    }

    private static string FolderOf(string file) => System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file))!;

    /// <summary>The files of a tokenizer that a configuration names and that does not lie beside it.</summary>
    /// <param name="folder">Of the weights.</param>
    /// <param name="repository">The tokenizer's; null for what the configuration there says.</param>
    private static string[] TokenizerElsewhere(string folder, string? repository = null)
    {
        if (TokenizerFolder.HasTokenizer(folder))
            return [];
        string configuration = System.IO.Path.Combine(folder, "open_clip_config.json");
        if (repository is null && FilePlace.IsFile(configuration))
            repository = OpenClipFamily.NameIn(OpenClipFamily.Model(ConfigFile.Read(configuration)), "text_cfg", "hf_tokenizer_name");
        return repository is not null && ModelTokenizer.InHubCache(repository) is { } elsewhere ? Beside(elsewhere) : [];
    }

    /// <summary>The files of a folder that decide, beside weights, about a model's results: for a folder of weights, or of a configuration that was named.</summary>
    internal static string[] Beside(string folder) => [.. s_companions.Select(name => System.IO.Path.Combine(folder, name)).Where(FilePlace.IsFile)];
}
