using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Files;
using ClipEngine.Models;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <content>From a checkpoint and back.</content>
public sealed partial class ClipModules
{
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
            ModelPlan plan = ModelConfiguration.Plan(path, configurationPath);
            string weights = FindWeights(ModelLocation.Resolve(path));
            ICheckpoint stored = Checkpoint.OpenAsStored(weights);
            using (ICheckpoint checkpoint = plan.Arrange(stored))
            {
                modules._tree.Fill(checkpoint, modules._backend.Device, modules._backend.Stream);
                modules._origin = Origin.Of(path, weights, configurationPath, stored, checkpoint);
            }

            var backend = new ModuleBackend(modules._backend, modules._tree, modules._norms, path);
            modules._model = ClipModel.Load(path, new ClipModelOptions { Backend = backend, ConfigurationPath = configurationPath });
            if (modules._model.Encoder.Packing is not null)
                throw new BadInputException(path, "takes patches of images of any shape (NaFlex).", "The model runs on this backend (TorchBackend) and cannot be trained as modules.");
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
    /// Writes the state as a folder in the layout of the original: weights with every key that they had there, in the types of the
    /// parameters, and the original's configuration, tokenizer and preprocessing. The weights come last: a folder that has them is whole.
    /// </summary>
    /// <param name="folder">Created where it is not there; not the folder that the model was loaded from.</param>
    /// <exception cref="BadInputException">It is the original's own folder.</exception>
    /// <exception cref="IOException">No space, no permission, a bad disk: under its final name there is a whole file or none.</exception>
    public void SaveCheckpoint(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        _ = Model;
        Origin origin = _origin!;
        if (Path.GetFullPath(folder) == Path.GetDirectoryName(origin.WeightsPath))
            throw new BadInputException(folder, "is where the original checkpoint lies.", "Save to another folder: the original is what the result is compared with.");
        Directory.CreateDirectory(folder);
        foreach ((string name, byte[] bytes) in origin.Companions)
            AtomicFile.Write(Path.Combine(folder, name), stream => stream.Write(bytes));
        using DisposeScope scope = torch.NewDisposeScope();
        using var noTape = torch.no_grad();
        using var state = new StateDictionary(AsStored(state_dict(), origin.Recipes), origin.Metadata);
        var writer = new SafetensorsWriter(new Dictionary<string, string>(origin.Metadata) { ["format"] = "pt" }); // transformers refuses safetensors without it
        foreach (string key in state.Tensors.Keys)
            writer.Add(state, key);
        writer.Write(Path.Combine(folder, origin.WeightsName));
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

    /// <summary>The state under the keys of the file: what was renamed, put together, taken apart or transposed goes back.</summary>
    private static Dictionary<string, TorchTensor> AsStored(Dictionary<string, TorchTensor> state, IReadOnlyCollection<Recipe>? recipes)
    {
        if (recipes is null)
            return state;
        var stored = new Dictionary<string, TorchTensor>();
        foreach (Recipe recipe in recipes)
        {
            switch (recipe)
            {
                case Recipe.Rename rename:
                    stored.Add(rename.Source, state[rename.Name]);
                    break;
                case Recipe.Transpose transpose:
                    stored.Add(transpose.Source, state[transpose.Name].transpose(0, 1));
                    break;
                case Recipe.Join join:
                    foreach ((string key, TorchTensor part) in join.Sources.Zip(state[join.Name].chunk(join.Sources.Length, 0)))
                        stored.Add(key, part);
                    break;
                case Recipe.Part { Index: 0 } part:
                    stored.Add(part.Source, torch.cat([.. recipes.OfType<Recipe.Part>().Where(other => other.Source == part.Source).OrderBy(static other => other.Index).Select(other => state[other.Name])], 0));
                    break;
            }
        }

        return stored;
    }

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
    /// <param name="WeightsPath">Where its weights lie.</param>
    /// <param name="WeightsName">What its layout calls them.</param>
    /// <param name="Companions">Its other files, by their names.</param>
    /// <param name="Metadata">What its weights say about themselves.</param>
    /// <param name="Recipes">How the model's keys are made of the file's; null where they are the same.</param>
    private sealed record Origin(string WeightsPath, string WeightsName, IReadOnlyList<(string Name, byte[] Bytes)> Companions, IReadOnlyDictionary<string, string> Metadata, IReadOnlyCollection<Recipe>? Recipes)
    {
        /// <summary>What may lie beside weights and decides what a library makes of them.</summary>
        private static readonly string[] s_companions =
        [
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
            "preprocessor_config.json", "processor_config.json", "timm_model.json", "hf_text_model.json",
        ];

        public static Origin Of(string path, string weights, string? configurationPath, ICheckpoint stored, ICheckpoint arranged)
        {
            IReadOnlyCollection<Recipe>? recipes = ReferenceEquals(stored, arranged) ? null : arranged is MappedCheckpoint mapped && ReferenceEquals(mapped.Source, stored)
                ? mapped.Recipes
                : throw new BadInputException(path, "cannot be trained: its weights are computed from those in the file, and there is no way back.");
            string full = Path.GetFullPath(weights);
            (string source, byte[] configuration) = ReadConfiguration(path, weights, configurationPath);
            bool isTransformers = new ModelFiles(ConfigFile.ParseRoot(configuration, source), source).ModelType is not null;
            string beside = File.Exists(source) ? Path.GetDirectoryName(Path.GetFullPath(source))! : Path.GetDirectoryName(full)!;
            return new Origin(full, isTransformers ? "model.safetensors" : "open_clip_model.safetensors",
                [(isTransformers ? "config.json" : "open_clip_config.json", configuration), .. s_companions.Where(name => File.Exists(Path.Combine(beside, name))).Select(name => (name, File.ReadAllBytes(Path.Combine(beside, name))))],
                new Dictionary<string, string>(arranged.Metadata), recipes);
        }

        private static (string Source, byte[] Bytes) ReadConfiguration(string path, string weights, string? configurationPath)
        {
            if ((configurationPath ?? CheckpointFit.FindConfiguration(weights)) is { } file)
                return (file, File.Exists(file) ? ConfigFile.ReadBytes(file) : Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(file).ConfigurationJson));
            return (ModelCatalogue.TryFind(path) ?? ModelCatalogue.OriginOf(weights)) is { } entry
                ? (entry.Name, Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(entry.Model).ConfigurationFor(entry)))
                : throw new BadInputException(path, "has no configuration beside it.", "Weights alone do not say which activation and which pixels they were trained with: name the model's JSON file.");
        }
    }
}
