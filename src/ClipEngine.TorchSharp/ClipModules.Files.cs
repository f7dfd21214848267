using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Models;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <content>From a checkpoint and back.</content>
public sealed partial class ClipModules
{
    private const string WeightsName = "open_clip_model.safetensors";
    private const string ConfigurationName = "open_clip_config.json";
    private const string TokenizerName = "tokenizer.json";

    /// <summary>Loads a model to train. As strict as <see cref="ClipModel.Load"/>: nothing is filled in, and every problem is named.</summary>
    /// <param name="path">A folder in the OpenCLIP or transformers layout, a file of weights with its configuration beside it, or the name of weights in the catalogue that were fetched before.</param>
    /// <param name="options">Device and compute type; null for the processor in fp32.</param>
    /// <param name="configurationPath">The model's JSON file where it does not lie beside the weights.</param>
    /// <exception cref="BadInputException">The files are not there, damaged, contradict each other, or describe what is not built or cannot be trained.</exception>
    /// <exception cref="NotSupportedException">There is no libtorch, or it cannot compute in the type on the device.</exception>
    public static ClipModules Load(string path, TorchBackendOptions? options = null, string? configurationPath = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var modules = new ClipModules(TorchBackend.Create(options));
        try
        {
            string weights = FindWeights(path);
            using (ICheckpoint checkpoint = Checkpoint.Open(Directory.Exists(path) ? path : weights))
            {
                modules._tree.Fill(checkpoint, modules._backend.Device, modules._backend.Stream);
                modules._origin = Origin.Of(path, weights, configurationPath, checkpoint);
            }

            var backend = new ModuleBackend(modules._backend, modules._tree, modules._norms, path);
            modules._model = ClipModel.Load(path, new ClipModelOptions { Backend = backend, ConfigurationPath = configurationPath });
            modules.eval();
            return modules;
        }
        catch
        {
            modules.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Writes the state as a folder in the OpenCLIP layout: <c>open_clip_model.safetensors</c> with every key of the original, in the
    /// types of the parameters, and the original's configuration and tokenizer. The weights come last: a folder that has them is whole.
    /// </summary>
    /// <param name="folder">Created where it is not there; not the folder that the model was loaded from.</param>
    /// <exception cref="BadInputException">It is the original's own folder.</exception>
    /// <exception cref="IOException">No space, no permission, a bad disk: under its final name there is a whole file or none.</exception>
    public void SaveCheckpoint(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        _ = Model;
        Origin origin = _origin!;
        string path = Path.GetFullPath(Path.Combine(folder, WeightsName));
        if (path == origin.WeightsPath || Path.GetFullPath(folder) == Path.GetDirectoryName(origin.WeightsPath))
            throw new BadInputException(folder, "is where the original checkpoint lies.", "Save to another folder: the original is what the result is compared with.");
        Directory.CreateDirectory(folder);
        Write(Path.Combine(folder, ConfigurationName), origin.Configuration);
        if (origin.Tokenizer is { } tokenizer)
            Write(Path.Combine(folder, TokenizerName), tokenizer);
        using var state = new StateDictionary(state_dict(), origin.Metadata);
        var writer = new SafetensorsWriter(new Dictionary<string, string>(origin.Metadata) { ["format"] = "pt" }); // transformers refuses safetensors without it
        foreach (string key in state.Tensors.Keys)
            writer.Add(state, key);
        writer.Write(path);
    }

    /// <summary>
    /// Takes over the values of another state with the same keys. TorchSharp's own way copies as libtorch does, which spreads a tensor of
    /// fewer dimensions over a larger one without a word; here every shape has to be the same, and nothing is changed where one is not.
    /// </summary>
    /// <param name="source">Values by key.</param>
    /// <param name="strict">Refuse keys that are missing or not known; else those are only returned.</param>
    /// <param name="skip">Keys that are left alone.</param>
    /// <returns>The keys that are missing and those that are not known.</returns>
    /// <exception cref="ArgumentException">Shapes differ, or <paramref name="strict"/> keys do.</exception>
    public override (IList<string> missing_keys, IList<string> unexpected_keyes) load_state_dict(Dictionary<string, TorchTensor> source, bool strict = true, IList<string>? skip = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        string[] problems =
        [
            .. state_dict().Where(pair => skip?.Contains(pair.Key) != true && source.TryGetValue(pair.Key, out TorchTensor? other) && !other.shape.AsSpan().SequenceEqual(pair.Value.shape))
                .Select(pair => $"{pair.Key}: expected [{string.Join(", ", pair.Value.shape)}], found [{string.Join(", ", source[pair.Key].shape)}]"),
        ];
        return problems.Length == 0
            ? base.load_state_dict(source, strict, skip)
            : throw new ArgumentException($"wrong shape: {string.Join("; ", problems.Order(StringComparer.Ordinal).Take(10))}.", nameof(source));
    }

    private static void Write(string path, byte[] bytes) => AtomicFile.Write(path, stream => stream.Write(bytes));

    private static string FindWeights(string path)
    {
        path = ModelLocation.Resolve(path);
        if (Directory.Exists(path))
            return Checkpoint.FindWeights(path);
        if (File.Exists(path) || ModelCatalogue.TryFind(path) is not { } entry)
            return path;
        using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
        return store.Find(entry)?.Path ?? path; // ClipModel.Load says what is missing
    }

    /// <summary>What of the original goes into every folder that is saved, held in memory: files change under a long training.</summary>
    private sealed record Origin(string WeightsPath, byte[] Configuration, byte[]? Tokenizer, IReadOnlyDictionary<string, string> Metadata)
    {
        public static Origin Of(string path, string weights, string? configurationPath, ICheckpoint checkpoint)
        {
            string full = Path.GetFullPath(weights);
            string tokenizer = Path.Combine(Path.GetDirectoryName(full)!, TokenizerName);
            return new Origin(full, ReadConfiguration(path, weights, configurationPath), File.Exists(tokenizer) ? File.ReadAllBytes(tokenizer) : null, new Dictionary<string, string>(checkpoint.Metadata));
        }

        /// <summary>The configuration in OpenCLIP's words. A file that is refused is refused here as by <see cref="ClipModel.Load"/>.</summary>
        private static byte[] ReadConfiguration(string path, string weights, string? configurationPath)
        {
            string? file = configurationPath ?? CheckpointFit.FindConfiguration(weights);
            if (file is null)
            {
                return (ModelCatalogue.TryFind(path) ?? ModelCatalogue.OriginOf(weights)) is { } entry
                    ? Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(entry.Model).ConfigurationFor(entry))
                    : throw new BadInputException(path, "has no configuration beside it.", "Weights alone do not say which activation and which pixels they were trained with: name the model's JSON file.");
            }

            return ModelConfiguration.ReadAsOpenClip(file);
        }
    }
}
