using System.Diagnostics;
using ClipEngine.Imaging;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <content>Images.</content>
public sealed partial class ClipModel
{
    /// <summary>Encodes image files; decoding runs ahead of the tower on the thread pool. One image is decoded on the calling thread.</summary>
    /// <param name="files">JPEG, PNG, WebP, BMP or GIF, any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <returns>One row for each file, in their order.</returns>
    /// <exception cref="BadInputException">A file cannot be read or is no image; names it. Nothing is skipped silently.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public FeatureMatrix EncodeImages(IReadOnlyList<string> files, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        IImagePreprocessor preprocessor = Preprocessor;
        return EncodeImages(files.Count, (i, pixels) => ImageFile.Preprocess(preprocessor, files[i], pixels), i => files[i], normalize, progress, cancellationToken);
    }

    /// <summary>Encodes images from anywhere: files, bytes, streams, pixels that are decoded already.</summary>
    /// <param name="images">Any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <returns>One row for each image, in their order.</returns>
    /// <exception cref="BadInputException">One is no image; names it. Nothing is skipped silently.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public FeatureMatrix EncodeImages(IReadOnlyList<ImageInput> images, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        IImagePreprocessor preprocessor = Preprocessor;
        return EncodeImages(images.Count, (i, pixels) => images[i].Preprocess(preprocessor, pixels), i => images[i].Name, normalize, progress, cancellationToken);
    }

    /// <summary>Encodes one image on the calling thread. Takes no large-object memory and starts no thread.</summary>
    /// <param name="image">A file (a path is an input), bytes, a stream or pixels.</param>
    /// <param name="normalize">Scale the feature to length 1.</param>
    /// <param name="cancellationToken">Looked at before the image and before the tower.</param>
    /// <returns>The features: <see cref="EmbedDimension"/> of a model that pools.</returns>
    /// <exception cref="BadInputException">It is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public float[] EncodeImage(ImageInput image, bool normalize = true, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        float[] features = new float[Encoder.ImageFeatureShape(1).ElementCount];
        cancellationToken.ThrowIfCancellationRequested();
        using var pixels = new NativeArray<float>(PixelCount);
        image.Preprocess(Preprocessor, pixels.GetSpan());
        cancellationToken.ThrowIfCancellationRequested();
        RunPixels(pixels.GetSpan(), features, normalize, cancellationToken);
        if (RowNotFinite(features, 1) is not null)
            throw NotFinite(image.Name);
        return features;
    }

    /// <summary>Encodes one image that is decoded already, on the calling thread; nothing is copied but what resizing makes, and nothing managed is allocated.</summary>
    /// <param name="image">The pixels: an ImageSharp image, a SkiaSharp bitmap, a camera's frame. Not kept.</param>
    /// <param name="features">As many as the model makes of an image: <see cref="EmbedDimension"/> of a model that pools; filled.</param>
    /// <param name="normalize">Scale the feature to length 1.</param>
    /// <param name="cancellationToken">Looked at before the image and before the tower.</param>
    /// <exception cref="ArgumentException">Another number of features.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void EncodeImage(in ImagePixels image, Span<float> features, bool normalize = true, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        using var pixels = new NativeArray<float>(PixelCount);
        Preprocessor.Preprocess(image, "pixels", pixels.GetSpan());
        cancellationToken.ThrowIfCancellationRequested();
        EncodePixels(pixels.GetSpan(), features, normalize);
    }

    /// <summary>
    /// Encodes images and hands their features on as they are finished: decoding, the tower and the handler are all at work at once, and
    /// memory does not grow with the number of images.
    /// </summary>
    /// <param name="images">Files and members of tar shards.</param>
    /// <param name="rows">Takes the features, batch after batch, in order; of a single image on the calling thread.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch, with the times of the stages.</param>
    /// <param name="skipped">Told of each image that cannot be read, with its number among <paramref name="images"/>, in order; it then has no row. Null: the first one ends the call.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <returns>Where the time went.</returns>
    /// <exception cref="BadInputException">An image cannot be read or is none; names it. Nothing is skipped silently; the features of earlier batches may have been handed on.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public EncodeTimes EncodeImages(ImageCollection images, FeatureRowHandler rows, bool normalize = true, IProgress<EncodeProgress>? progress = null, Action<int, ImageException>? skipped = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(rows);
        IImagePreprocessor preprocessor = Preprocessor;
        int rowLength = (int)Encoder.ImageFeatureShape(1).ElementCount;
        void Decode(int i, Span<float> pixels) => images.Preprocess(i, preprocessor, pixels);
        string NameOf(int i) => images[i];
        if (images.Count <= 1)
        {
            float[] features = new float[rowLength];
            return EncodeImages(images.Count, Decode, NameOf, (_, count) => features.AsSpan(0, count * rowLength), Take, normalize, progress, skipped, cancellationToken);

            TimeSpan Take(int first, int count)
            {
                long start = Stopwatch.GetTimestamp();
                rows(first, features.AsSpan(0, count * rowLength));
                return Stopwatch.GetElapsedTime(start);
            }
        }

        using var queue = new FeatureRowQueue(Math.Min(images.Count, ImageBatchSize) * rowLength, rows);
        EncodeTimes times = EncodeImages(images.Count, Decode, NameOf, (_, count) => queue.Rent(count * rowLength), Post, normalize, progress, skipped, cancellationToken);
        queue.Complete();
        return times with { Write = queue.BusyTime };

        TimeSpan Post(int first, int count)
        {
            queue.Post(first, count * rowLength);
            return queue.BusyTime;
        }
    }

    /// <summary>Where the features of a batch are to go.</summary>
    private delegate Span<float> FeatureRoom(int first, int count);

    /// <summary>Told that the features of a batch are there; says how long those who take them were at work so far.</summary>
    private delegate TimeSpan BatchDone(int first, int count);

    /// <summary>Floats of one preprocessed image.</summary>
    internal int PixelCount => 3 * Encoder.Preprocess.Height * Encoder.Preprocess.Width;

    private FeatureMatrix EncodeImages(int count, ImageDecode decode, Func<int, string> nameOf, bool normalize, IProgress<EncodeProgress>? progress, CancellationToken cancellationToken)
    {
        Shape shape = Encoder.ImageFeatureShape(count);
        float[] values = new float[shape.ElementCount];
        int rowLength = count == 0 ? 0 : values.Length / count;
        EncodeImages(count, decode, nameOf, (first, n) => values.AsSpan(first * rowLength, n * rowLength), static (_, _) => TimeSpan.Zero, normalize, progress, skipped: null, cancellationToken);
        return new FeatureMatrix(values, shape);
    }

    private EncodeTimes EncodeImages(int count, ImageDecode decode, Func<int, string> nameOf, FeatureRoom room, BatchDone done, bool normalize, IProgress<EncodeProgress>? progress, Action<int, ImageException>? skipped, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_handle.Calls.IsClosed, this);
        if (count == 1 && skipped is null)
            return EncodeOne(decode, nameOf, room, done, normalize, progress, cancellationToken);
        // The processor's own backend shares its threads with decoding; beside a GPU all processors are free for it.
        int threads = Math.Max(1, Math.Min(count, Backend is CpuBackend ? NativeThreads.Count : Environment.ProcessorCount));
        long start = Stopwatch.GetTimestamp(), encodeTicks = 0;
        TimeSpan write = TimeSpan.Zero;
        int nextRow = 0;
        using var pool = new ImageDecodePool(count, PixelCount, ImageBatchSize, threads, decode, cancellationToken);
        while (pool.TryTake(out ImageBatch batch))
        {
            if (skipped is null)
                batch.ThrowIfRefused();
            Span<float> features = room(nextRow, batch.Count);
            long from = Stopwatch.GetTimestamp();
            RunPixels(batch.Pixels, features, normalize, cancellationToken);
            encodeTicks += Stopwatch.GetTimestamp() - from;
            if (RowNotFinite(features, batch.Count) is { } row)
                throw NotFinite(nameOf(batch.First + row));
            int kept = skipped is null ? batch.Count : RemoveRefused(batch, features, skipped);
            write = done(nextRow, kept);
            nextRow += kept;
            progress?.Report(new EncodeProgress(batch.First + batch.Count, count) { Times = Times() });
        }

        return Times();

        EncodeTimes Times() => new()
        {
            Elapsed = Stopwatch.GetElapsedTime(start),
            Decode = pool.DecodeTime,
            DecodeThreads = threads,
            Encode = Stopwatch.GetElapsedTime(0, encodeTicks),
            Write = write,
        };
    }

    /// <summary>Closes the gaps that refused images leave among a batch's features.</summary>
    /// <returns>How many rows are left.</returns>
    private static int RemoveRefused(in ImageBatch batch, Span<float> features, Action<int, ImageException> skipped)
    {
        int length = features.Length / batch.Count, kept = 0;
        for (int i = 0; i < batch.Count; i++)
        {
            switch (batch.Refusals[i])
            {
                case null:
                    features.Slice(i * length, length).CopyTo(features[(kept++ * length)..]);
                    break;
                case ImageException refusal:
                    skipped(batch.First + i, refusal);
                    break;
                case { } other: // not about the image: a shard that changed, a setting
                    System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(other);
                    break;
            }
        }

        return kept;
    }

    /// <summary>One image on the calling thread: there is nothing that could run beside it.</summary>
    private EncodeTimes EncodeOne(ImageDecode decode, Func<int, string> nameOf, FeatureRoom room, BatchDone done, bool normalize, IProgress<EncodeProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        long start = Stopwatch.GetTimestamp();
        using var pixels = new NativeArray<float>(PixelCount);
        decode(0, pixels.GetSpan());
        cancellationToken.ThrowIfCancellationRequested();
        long decoded = Stopwatch.GetTimestamp();
        Span<float> features = room(0, 1);
        RunPixels(pixels.GetSpan(), features, normalize, cancellationToken);
        if (RowNotFinite(features, 1) is not null)
            throw NotFinite(nameOf(0));
        long encoded = Stopwatch.GetTimestamp();
        EncodeTimes times = new()
        {
            Elapsed = Stopwatch.GetElapsedTime(start),
            Decode = Stopwatch.GetElapsedTime(start, decoded),
            DecodeThreads = 1,
            Encode = Stopwatch.GetElapsedTime(decoded, encoded),
            Write = done(0, 1),
        };
        progress?.Report(new EncodeProgress(1, 1) { Times = times });
        return times;
    }
}
