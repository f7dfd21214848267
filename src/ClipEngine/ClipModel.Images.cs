using System.Diagnostics;
using ClipEngine.Imaging;
using ClipEngine.Native;
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

    /// <summary>
    /// Encodes images and hands their features on as they are finished: decoding, the tower and the handler are all at work at once, and
    /// memory does not grow with the number of images.
    /// </summary>
    /// <param name="images">Files and members of tar shards.</param>
    /// <param name="rows">Takes the features, batch after batch, in order.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch, with the times of the stages.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>Where the time went.</returns>
    /// <exception cref="BadInputException">An image cannot be read or is none; names it. Nothing is skipped silently; the features of earlier batches may have been handed on.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public EncodeTimes EncodeImages(ImageCollection images, FeatureRowHandler rows, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(rows);
        IImagePreprocessor preprocessor = Preprocessor;
        return EncodeImages(images.Count, (i, pixels) => images.Preprocess(i, preprocessor, pixels), rows, normalize, progress, cancellationToken);
    }

    private FeatureMatrix EncodeImages(int count, ImageDecode decode, bool normalize, IProgress<EncodeProgress>? progress, CancellationToken cancellationToken)
    {
        Shape shape = Encoder.ImageFeatureShape(count);
        float[] values = new float[shape.ElementCount];
        int rowLength = count == 0 ? 0 : values.Length / count;
        EncodeImages(count, decode, (first, rows) => rows.CopyTo(values.AsSpan(first * rowLength)), normalize, progress, cancellationToken);
        return new FeatureMatrix(values, shape);
    }

    private EncodeTimes EncodeImages(int count, ImageDecode decode, FeatureRowHandler handler, bool normalize, IProgress<EncodeProgress>? progress, CancellationToken cancellationToken)
    {
        int rowLength = (int)Encoder.ImageFeatureShape(1).ElementCount;
        int imageLength = 3 * Encoder.Preprocess.Height * Encoder.Preprocess.Width;
        // The processor's own backend shares its threads with decoding; beside a GPU all processors are free for it.
        int threads = Math.Max(1, Math.Min(count, Backend is CpuBackend ? NativeThreads.Count : Environment.ProcessorCount));
        long start = Stopwatch.GetTimestamp(), encodeTicks = 0;
        using var pool = new ImageDecodePool(count, imageLength, ImageBatchSize, threads, decode, cancellationToken);
        using var queue = new FeatureRowQueue(Math.Min(count, ImageBatchSize) * rowLength, handler);
        while (pool.TryTake(out ImageBatch batch))
        {
            batch.ThrowIfRefused();
            Span<float> features = queue.Rent(batch.Count * rowLength);
            long from = Stopwatch.GetTimestamp();
            EncodePixels(batch.Pixels, features, normalize);
            encodeTicks += Stopwatch.GetTimestamp() - from;
            queue.Post(batch.First, features.Length);
            progress?.Report(new EncodeProgress(batch.First + batch.Count, count) { Times = Times() });
        }

        queue.Complete();
        return Times();

        EncodeTimes Times() => new()
        {
            Elapsed = Stopwatch.GetElapsedTime(start),
            Decode = pool.DecodeTime,
            DecodeThreads = threads,
            Encode = Stopwatch.GetElapsedTime(0, encodeTicks),
            Write = queue.BusyTime,
        };
    }
}
