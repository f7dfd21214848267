using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <content>Images.</content>
public sealed partial class ClipModel
{
    /// <summary>Encodes image files; decoding runs ahead of the tower on other threads.</summary>
    /// <param name="files">JPEG, PNG, WebP, BMP or GIF, any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>One row for each file, in their order.</returns>
    /// <exception cref="BadInputException">A file cannot be read or is no image; names it. Nothing is skipped silently.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public FeatureMatrix EncodeImages(IReadOnlyList<string> files, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        IImagePreprocessor preprocessor = Preprocessor;
        return EncodeImages(files.Count, (i, pixels) => ImageFile.Preprocess(preprocessor, files[i], pixels), normalize, progress, cancellationToken);
    }

    /// <summary>Encodes images that are already in memory, as whole files.</summary>
    /// <param name="images">What messages call each, and its bytes.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>One row for each image, in their order.</returns>
    /// <exception cref="BadInputException">One is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public FeatureMatrix EncodeImages(IReadOnlyList<(string Name, ReadOnlyMemory<byte> Encoded)> images, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        IImagePreprocessor preprocessor = Preprocessor;
        return EncodeImages(images.Count, (i, pixels) => preprocessor.Preprocess(images[i].Encoded.Span, images[i].Name, pixels), normalize, progress, cancellationToken);
    }

    /// <summary>Zero-shot classification of image files.</summary>
    /// <param name="files">Image files.</param>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <exception cref="BadInputException">A file is no image, no label is given, or a template has no <c>{}</c>.</exception>
    public Classification Classify(IReadOnlyList<string> files, IReadOnlyList<string> labels, params IReadOnlyList<string> templates) =>
        Classify(EncodeImages(files), labels, EncodeLabels(labels, templates));

    private FeatureMatrix EncodeImages(int count, ImageDecode decode, bool normalize, IProgress<EncodeProgress>? progress, CancellationToken cancellationToken)
    {
        Shape shape = Encoder.ImageFeatureShape(count);
        float[] values = new float[shape.ElementCount];
        int rowLength = count == 0 ? 0 : values.Length / count;
        int imageLength = 3 * Encoder.Preprocess.Height * Encoder.Preprocess.Width;
        using var pool = new ImageDecodePool(count, imageLength, ImageBatchSize, Environment.ProcessorCount, decode, cancellationToken);
        while (pool.TryTake(out ImageBatch batch))
        {
            batch.ThrowIfRefused();
            EncodePixels(batch.Pixels, values.AsSpan(batch.First * rowLength, batch.Count * rowLength), normalize);
            progress?.Report(new EncodeProgress(batch.First + batch.Count, count));
        }

        return new FeatureMatrix(values, shape);
    }
}
