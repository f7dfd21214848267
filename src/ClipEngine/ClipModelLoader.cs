using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>What a load ends with; all of it owned by the <see cref="ClipModel"/>.</summary>
internal sealed record LoadedParts(IModel Model, IReadOnlyList<Weight> Weights, IReadOnlyList<string> Notices, Func<ITokenizer> Tokenizer);

/// <summary>Finds a model's files and brings its weights to a backend.</summary>
internal static class ClipModelLoader
{
    private const string ConfigurationName = "open_clip_config.json";
    private const string TokenizerName = "tokenizer.json";

    public static LoadedParts Load(string path, ClipModelOptions options, IBackend backend)
    {
        bool isFolder = Directory.Exists(path);
        if (!isFolder && !File.Exists(path))
        {
            throw new BadInputException(path, "there is no such file or folder.",
                "Give a folder in the OpenCLIP layout (open_clip_config.json beside the weights), or a weights file with its configuration.");
        }

        string folder = isFolder ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        string configurationPath = FindConfiguration(path, folder, options);
        JsonElement configuration = ConfigFile.Read(configurationPath);
        IArchitecture architecture = Architectures.Find(configuration, configurationPath);
        using ICheckpoint checkpoint = Checkpoint.Open(path);
        using var reader = new WeightReader(checkpoint, backend);
        IModel model = architecture.Build(configuration, configurationPath, reader, backend, new ArchitectureOptions { ImageSize = options.ImageSize });
        IReadOnlyList<Weight> weights = reader.Complete();
        string[] notices = [.. model.Notices, .. reader.Findings.Select(finding => $"{path}: {finding}")];
        return new LoadedParts(model, weights, notices, () => options.Tokenizer ?? ChooseTokenizer(model, folder, configurationPath));
    }

    private static string FindConfiguration(string path, string folder, ClipModelOptions options)
    {
        if (options.ConfigurationPath is { } given)
            return given;
        string beside = Path.Combine(folder, ConfigurationName);
        return File.Exists(beside)
            ? beside
            : throw new BadInputException(path, $"the configuration is missing: there is no {ConfigurationName} in {folder}.",
                "Weights alone do not say which activation and which pixels they were trained with. Name the model's JSON file (--config).");
    }

    /// <summary>A tokenizer.json beside the weights is the model's own; else the configuration says which one it is.</summary>
    private static ITokenizer ChooseTokenizer(IModel model, string folder, string configurationPath)
    {
        string own = Path.Combine(folder, TokenizerName);
        ITokenizer tokenizer = File.Exists(own) ? TokenizerJson.Load(own, model.ContextLength)
            : model.Tokenizer is { HubName: null, Clean: null or "lower" } ? new ClipTokenizer(model.ContextLength)
            : throw new BadInputException(configurationPath, $"the tokenizer {model.Tokenizer.HubName ?? $"with clean = {model.Tokenizer.Clean}"} is not built.", "Feed token ids (clipengine embed raw), or give a tokenizer.");
        return tokenizer.VocabularySize <= model.VocabularySize
            ? tokenizer
            : throw new BadInputException(configurationPath, $"expected a vocabulary of at least {tokenizer.VocabularySize} ids, which the tokenizer makes, found vocab_size {model.VocabularySize}.",
                $"Put the model's own {TokenizerName} beside its weights, or feed token ids.");
    }
}
