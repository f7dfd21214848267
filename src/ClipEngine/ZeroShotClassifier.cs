using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Scoring;

namespace ClipEngine;

/// <summary>
/// Labels that are encoded once and compared with any number of images: <see cref="ClipModel.CreateClassifier"/> makes it. Thread-safe.
/// The model must outlive it.
/// </summary>
public sealed class ZeroShotClassifier : IDisposable
{
    private readonly ClipModel _model;
    private readonly ProbeSweep _sweep;

    internal ZeroShotClassifier(ClipModel model, IReadOnlyList<string> labels, FeatureMatrix labelFeatures)
    {
        if (model.Encoder.ImageFeatureShape(1).Rank != 2)
        {
            throw new BadInputException("model", $"{model.Encoder.Architecture} has {model.Encoder.ImageFeatureShape(1)[1]} vectors for each image, and zero-shot labels need one.",
                model.Encoder is IPairScorer ? "Score its pairs: PairModel, 'audit' or 'embed raw'." : "Use a model that pools its tokens.");
        }

        if (labels.Count != labelFeatures.Count)
            throw new ArgumentException($"expected features of {labels.Count} labels, found {labelFeatures.Shape}.", nameof(labelFeatures));
        _model = model;
        Labels = labels;
        LabelFeatures = labelFeatures;
        double? bias = model.Encoder.LogitBias;
        _sweep = new ProbeSweep(FeatureSource.FromMemory(labelFeatures.Values, labelFeatures.Length, "labels"), new ProbeSweepOptions
        {
            Scale = model.Encoder.LogitScale,
            Bias = bias ?? 0,
            Activation = bias is null ? SweepActivation.Softmax : SweepActivation.Sigmoid,
            Probabilities = true,
        });
    }

    /// <summary>The labels, as given.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>Their features: see <see cref="ClipModel.EncodeLabels"/>.</summary>
    public FeatureMatrix LabelFeatures { get; }

    /// <summary>Probabilities of the labels for images that are encoded already: a softmax over the labels, or a sigmoid for each in a model with a logit bias.</summary>
    /// <param name="images">Normalised image features of the same model.</param>
    /// <param name="cancellationToken">Looked at between batches.</param>
    /// <exception cref="ArgumentException">Features of another length.</exception>
    /// <exception cref="BadInputException">A feature is not finite, or all of an image's are zero.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Classification Classify(FeatureMatrix images, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        if (images.Count > 0 && images.Length != _sweep.Width)
            throw new ArgumentException($"expected image features {_sweep.Width} long, as the labels' are, found {images.Shape}.", nameof(images));
        cancellationToken.ThrowIfCancellationRequested();
        float[] probabilities = new float[checked(images.Count * Labels.Count)];
        if (images.Count > 0)
        {
            _sweep.Run(
                new ProbeSweepInput
                {
                    Images = FeatureSource.FromMemory(images.Values, images.Length, "images"),
                    Rows = (in SweepRows rows) => rows.Probabilities.CopyTo(probabilities.AsSpan(checked((int)rows.FirstRow * Labels.Count))),
                },
                cancellationToken);
        }

        return new Classification(Labels, probabilities);
    }

    /// <summary>Classifies images.</summary>
    /// <param name="images">Files (a path is an input), bytes, streams or pixels.</param>
    /// <param name="cancellationToken">Looked at between images and batches.</param>
    /// <exception cref="BadInputException">One is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Classification Classify(IReadOnlyList<ImageInput> images, CancellationToken cancellationToken = default) =>
        Classify(_model.EncodeImages(images, cancellationToken: cancellationToken), cancellationToken);

    /// <summary>Classifies images without holding up the calling thread.</summary>
    /// <param name="images">Files (a path is an input), bytes, streams or pixels.</param>
    /// <param name="cancellationToken">Looked at between images and batches.</param>
    /// <exception cref="BadInputException">One is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<Classification> ClassifyAsync(IReadOnlyList<ImageInput> images, CancellationToken cancellationToken = default)
    {
        FeatureMatrix features = await _model.EncodeImagesAsync(images, cancellationToken: cancellationToken).ConfigureAwait(false);
        return await Task.Run(() => Classify(features, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Classifies one image without holding up the calling thread.</summary>
    /// <param name="image">A file (a path is an input), bytes, a stream or pixels.</param>
    /// <param name="cancellationToken">Looked at between the steps.</param>
    /// <exception cref="BadInputException">It is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<ImageClassification> ClassifyAsync(ImageInput image, CancellationToken cancellationToken = default) =>
        (await ClassifyAsync([image], cancellationToken).ConfigureAwait(false))[0];

    /// <inheritdoc/>
    public void Dispose() => _sweep.Dispose();
}
