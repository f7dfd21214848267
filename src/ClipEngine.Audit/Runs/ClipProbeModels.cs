using ClipEngine.Devices;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Audit.Runs;

/// <summary>The engine's own models: folders in the OpenCLIP layout, files of weights, and names of the catalogue that are in the caches.</summary>
/// <param name="device">Where they run, as <see cref="Backends.Open"/> names it.</param>
/// <param name="threads">Processor threads; null leaves their number as it is.</param>
public sealed class ClipProbeModels(string device = "cpu", int? threads = null) : IProbeModelSource
{
    /// <inheritdoc/>
    public ProbeModelFiles Find(string model, bool acceptActivationMismatch)
    {
        ModelInputs found = ModelInputs.Find(model, acceptActivationMismatch);
        return new ProbeModelFiles(found.Path, found.Files, found.Configuration, acceptActivationMismatch);
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
            ModelPlan plan = ModelPlan.Read(files.Path);
            // Features unless asked otherwise: a score of every image with every label costs a product then.
            bool hasFeatures = plan.Abilities.HasFlag(ModelAbilities.Embed) && plan.ImageVectors == 1, pairs = files.ScoresPairs ?? !hasFeatures;
            if (!pairs && plan.ImageVectors > 1)
            {
                throw new BadInputException(files.Path, $"has {plan.ImageVectors} vectors for each image, of which the closest to a sentence counts, and the audit by features needs one.",
                    "Ask for its scores of pairs (\"scorer\": \"pairs\"), or leave the scorer out.");
            }

            if (!plan.Abilities.HasFlag(pairs ? ModelAbilities.ScorePairs : ModelAbilities.Embed))
            {
                throw new BadInputException(files.Path, pairs ? "does not score an image and a sentence together." : "makes no features.",
                    files.ScoresPairs is null ? "There is nothing to audit." : "Ask for the other scorer, or leave it out.");
            }

            return pairs ? new ClipPairScorer(PairModel.Load(files.Path, options), backend, plan.Cost) : new Encoder(ClipModel.Load(files.Path, options), backend, plan.Cost);
        }
        catch
        {
            backend.Dispose();
            throw;
        }
    }

    private IBackend OpenDevice(string elementType) => Backends.Open(device, BackendOptions.Parse(elementType, "elementType") with { Threads = threads });

    private sealed class Encoder(ClipModel model, IDisposable backend, ModelCost? cost) : IProbeEncoder
    {
        public int Width => model.EmbedDimension;

        public double? Scale => model.Encoder.LogitScale;

        public string Device => $"{model.Backend.Name}: {model.Backend.Description}";

        public double? Bias => model.Encoder.LogitBias;

        public (double Image, double Sentence)? Operations => cost is null ? null : (cost.Image.Operations, cost.Text.Operations);

        public IReadOnlyList<string> Notices => model.Notices;

        public string Preprocessing => $"{model.Preprocessor.Options.Describe()}; {model.Encoder.Tokenizer.Describe()}";

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
