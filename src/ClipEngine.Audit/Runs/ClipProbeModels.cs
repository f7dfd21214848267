using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Devices;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Audit.Runs;

/// <summary>The engine's own models: folders in the OpenCLIP layout, files of weights, and names of the catalogue that are in the caches.</summary>
/// <param name="device">Where they run, as <see cref="Backends.Open"/> names it.</param>
/// <param name="threads">Processor threads; null leaves their number as it is.</param>
public sealed class ClipProbeModels(string device = "cpu", int? threads = null) : IProbeModelSource
{
    private const string ConfigurationName = "open_clip_config.json";

    // What lies beside the weights and decides about their results; all of it is hashed into the run.
    private static readonly string[] s_companions = [ConfigurationName, "config.json", "processor_config.json", "preprocessor_config.json", "tokenizer.json", "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];

    /// <inheritdoc/>
    public ProbeModelFiles Find(string model, bool acceptActivationMismatch)
    {
        ArgumentException.ThrowIfNullOrEmpty(model);
        model = ModelLocation.Resolve(model);
        if (FilePlace.IsFolder(model))
        {
            string[] beside = [.. s_companions.Select(name => Path.Combine(model, name)).Where(FilePlace.IsFile)];
            string weights = Checkpoint.FindWeights(model);
            // A sharded checkpoint is its index and every shard beside it.
            string[] shards = weights.EndsWith(".json", StringComparison.Ordinal) ? [.. Directory.GetFiles(model, "*.safetensors").Where(path => !beside.Contains(path)).Order(StringComparer.Ordinal)] : [];
            return new ProbeModelFiles(model, [weights, .. shards, .. beside], null, acceptActivationMismatch);
        }

        if (FilePlace.IsFile(model))
        {
            string configuration = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(model))!, ConfigurationName);
            return new ProbeModelFiles(model, [model, .. new[] { configuration }.Where(FilePlace.IsFile)], null, acceptActivationMismatch);
        }

        CatalogueEntry entry = ModelCatalogue.TryFind(model)
            ?? throw new BadInputException(model, "there is no such folder or file, and the catalogue has no weights of this name.", "Give a folder in the OpenCLIP layout, or a name as 'clipengine models list' shows it.");
        using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
        StoredWeights stored = store.Use(entry);
        CatalogueModel described = ModelCatalogue.FindModel(entry.Model);
        entry.ResolveActivation(described.Activation, acceptActivationMismatch);
        // Loaded by name: one file may be several entries, and only the name says whether ViT-B-32 or ViT-B-32-quickgelu is meant.
        return new ProbeModelFiles(entry.Name, [stored.Path], described.ConfigurationFor(entry), acceptActivationMismatch);
    }

    /// <inheritdoc/>
    public void RequireDevice(string elementType) => OpenDevice(elementType).Dispose();

    /// <inheritdoc/>
    public IProbeModel Open(ProbeModelFiles files, string elementType)
    {
        ArgumentNullException.ThrowIfNull(files);
        IBackend backend = OpenDevice(elementType);
        try
        {
            var options = new ClipModelOptions { Backend = backend, AcceptActivationMismatch = files.AcceptActivationMismatch, Preprocessing = files.Preprocessing };
            // Contrastive features where a model has them: a score of every image with every label costs a product then.
            ModelAbilities abilities = ModelConfiguration.Plan(files.Path).Abilities;
            if (abilities.HasFlag(ModelAbilities.Embed))
                return new Encoder(ClipModel.Load(files.Path, options), backend);
            return abilities.HasFlag(ModelAbilities.ScorePairs)
                ? new ClipPairScorer(PairModel.Load(files.Path, options), backend)
                : throw new BadInputException(files.Path, "neither makes features nor scores pairs, so that there is nothing to audit.");
        }
        catch
        {
            backend.Dispose();
            throw;
        }
    }

    private IBackend OpenDevice(string elementType) => Backends.Open(device, BackendOptions.Parse(elementType, "elementType") with { Threads = threads });

    private sealed class Encoder(ClipModel model, IDisposable backend) : IProbeEncoder
    {
        public int Width => model.EmbedDimension;

        public double? Scale => model.Encoder.LogitScale;

        public string Device => $"{model.Backend.Name}: {model.Backend.Description}";

        /// <summary>What was said while loading, and what a softmax is to a model that was trained without one.</summary>
        public IReadOnlyList<string> Notices => model.Encoder.LogitBias is { } bias
            ? [.. model.Notices, string.Create(CultureInfo.InvariantCulture, $"{model.Encoder.Architecture} was trained with a sigmoid of each pair by itself (scale {model.Encoder.LogitScale:0.##}, bias {bias:0.##}); the probabilities of this run are a softmax over the labels, which is another reading of the same scores.")]
            : model.Notices;

        public string Preprocessing => $"{PreprocessNames.Describe(model.Preprocessor.Options)}; {model.Encoder.Tokenizer.Describe()}";

        public float[] EncodeImages(IReadOnlyList<string> files, CancellationToken cancellationToken) =>
            model.EncodeImages(files, normalize: true, progress: null, cancellationToken).Values;

        public float[] EncodeTexts(IReadOnlyList<string> sentences, CancellationToken cancellationToken) =>
            model.EncodeTexts(sentences, normalize: true, progress: null, cancellationToken).Values;

        public void Dispose()
        {
            model.Dispose();
            backend.Dispose();
        }
    }
}
