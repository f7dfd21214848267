using System.Runtime.CompilerServices;
using System.Threading.Channels;
using ClipEngine.Imaging;

namespace ClipEngine;

/// <content>Calls that do not hold up the calling thread. The work is done on the thread pool; a cancelled call leaves nothing running behind.</content>
public sealed partial class ClipModel
{
    /// <summary>Loads a model without holding up the calling thread.</summary>
    /// <param name="path">As for <see cref="Load"/>.</param>
    /// <param name="options">Defaults are fp32 on the CPU.</param>
    /// <param name="cancellationToken">Looked at before each tensor.</param>
    /// <exception cref="BadInputException">As for <see cref="Load"/>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing stays loaded.</exception>
    public static Task<ClipModel> LoadAsync(string path, ClipModelOptions? options = null, CancellationToken cancellationToken = default) =>
        Task.Run(() => Load(path, options, cancellationToken), cancellationToken);

    /// <summary>Encodes one image.</summary>
    /// <param name="image">A file (a path is an input), bytes, a stream or pixels.</param>
    /// <param name="normalize">Scale the feature to length 1.</param>
    /// <param name="cancellationToken">Looked at between the steps.</param>
    /// <returns>The features: <see cref="EmbedDimension"/> of a model that pools.</returns>
    /// <exception cref="BadInputException">It is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<float[]> EncodeImageAsync(ImageInput image, bool normalize = true, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        await image.LoadAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await Task.Run(() => EncodeImage(image, normalize, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            image.Abandon();
        }
    }

    /// <summary>Encodes image files.</summary>
    /// <param name="files">JPEG, PNG, WebP, BMP or GIF, any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <returns>One row for each file, in their order.</returns>
    /// <exception cref="BadInputException">A file cannot be read or is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<FeatureMatrix> EncodeImagesAsync(IReadOnlyList<string> files, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        return EncodeImagesAsync([.. files.Select(ImageInput.FromFile)], normalize, progress, cancellationToken);
    }

    /// <summary>Encodes images from anywhere; streams are read asynchronously.</summary>
    /// <param name="images">Any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <returns>One row for each image, in their order.</returns>
    /// <exception cref="BadInputException">One is no image; names it.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<FeatureMatrix> EncodeImagesAsync(IReadOnlyList<ImageInput> images, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        Tensors.Shape shape = Encoder.ImageFeatureShape(images.Count);
        float[] values = new float[shape.ElementCount];
        int done = 0, rowLength = images.Count == 0 ? 0 : values.Length / images.Count;
        await foreach (EncodedImages batch in EncodeBatchesAsync(images.ToAsyncEnumerable(), normalize, cancellationToken).ConfigureAwait(false))
        {
            batch.Rows.CopyTo(values, done * rowLength);
            done += batch.Names.Length;
            progress?.Report(new EncodeProgress(done, images.Count));
        }

        return new FeatureMatrix(values, shape);
    }

    /// <summary>
    /// Encodes a stream of images, of any length, as they come: what is there is encoded together, and nobody waits for a batch to fill up.
    /// Decoding, the tower and whoever takes the features are at work at once, a few batches ahead at most.
    /// </summary>
    /// <param name="images">The images; asked for the next one while earlier ones are being worked on.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="cancellationToken">Given to <paramref name="images"/>, and looked at before each image and batch.</param>
    /// <returns>The features in the order of the images. Leaving the loop early ends the work.</returns>
    /// <exception cref="BadInputException">One is no image; names it. The features of all before it have been handed out.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async IAsyncEnumerable<ImageFeatures> EncodeImagesAsync(IAsyncEnumerable<ImageInput> images, bool normalize = true, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        long index = 0;
        await foreach (EncodedImages batch in EncodeBatchesAsync(images, normalize, cancellationToken).ConfigureAwait(false))
        {
            int rowLength = batch.Rows.Length / batch.Names.Length;
            for (int i = 0; i < batch.Names.Length; i++)
                yield return new ImageFeatures(index++, batch.Names[i], batch.Rows[(i * rowLength)..((i + 1) * rowLength)]);
        }
    }

    /// <summary>Encodes sentences.</summary>
    /// <param name="texts">Any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>One row for each sentence, in their order.</returns>
    /// <exception cref="BadInputException">The model needs a tokenizer that is not built.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<FeatureMatrix> EncodeTextsAsync(IReadOnlyList<string> texts, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        return Task.Run(() => EncodeTexts(texts, normalize, progress, cancellationToken), cancellationToken);
    }

    /// <summary>Encodes labels once, to compare any number of images with them.</summary>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <exception cref="BadInputException">No label, or a template without <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<ZeroShotClassifier> CreateClassifierAsync(IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default) =>
        Task.Run(() => CreateClassifier(labels, templates, cancellationToken), cancellationToken);

    /// <summary>Zero-shot classification of images; <see cref="CreateClassifier"/> spares encoding the labels again and again.</summary>
    /// <param name="images">Files (a path is an input), bytes, streams or pixels.</param>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <exception cref="BadInputException">One is no image, no label is given, or a template has no <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<Classification> ClassifyAsync(IReadOnlyList<ImageInput> images, IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        using ZeroShotClassifier classifier = await CreateClassifierAsync(labels, templates, cancellationToken).ConfigureAwait(false);
        return await classifier.ClassifyAsync(images, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Zero-shot classification of one image.</summary>
    /// <param name="image">A file (a path is an input), bytes, a stream or pixels.</param>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at between the steps.</param>
    /// <exception cref="BadInputException">It is no image, no label is given, or a template has no <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<ImageClassification> ClassifyAsync(ImageInput image, IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default) =>
        (await ClassifyAsync([image], labels, templates, cancellationToken).ConfigureAwait(false))[0];

    /// <summary>Encodes images as they come, in batches of what is there.</summary>
    private async IAsyncEnumerable<EncodedImages> EncodeBatchesAsync(IAsyncEnumerable<ImageInput> images, bool normalize, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        int batchSize = ImageBatchSize, rowLength = (int)Encoder.ImageFeatureShape(1).ElementCount;
        IImagePreprocessor preprocessor = Preprocessor;
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        // Images in their order, each with its decoding under way: a batch more than the tower takes at once.
        var ahead = Channel.CreateBounded<Decoding>(new BoundedChannelOptions(2 * batchSize) { SingleReader = true, SingleWriter = true });
        Task reading = ReadAsync(images, preprocessor, ahead.Writer, ending.Token);
        var batch = new List<Decoding>(batchSize);
        try
        {
            while (await ahead.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                while (batch.Count < batchSize && ahead.Reader.TryPeek(out Decoding next) && (batch.Count == 0 || next.Pixels.IsCompletedSuccessfully))
                {
                    ahead.Reader.TryRead(out next);
                    batch.Add(next);
                    await next.Pixels.ConfigureAwait(false);
                }

                float[] rows = new float[batch.Count * rowLength];
                await Task.Run(() => EncodeDecoded(batch, rows, normalize, cancellationToken), cancellationToken).ConfigureAwait(false);
                string[] names = [.. batch.Select(image => image.Name)];
                await ReleaseAsync(batch).ConfigureAwait(false);
                yield return new EncodedImages(names, rows);
            }

            await reading.ConfigureAwait(false);
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            while (ahead.Reader.TryRead(out Decoding left))
                batch.Add(left);
            await ReleaseAsync(batch).ConfigureAwait(false);
        }
    }

    /// <summary>Asks for images and begins to decode each, no further ahead than the channel has room.</summary>
    private async Task ReadAsync(IAsyncEnumerable<ImageInput> images, IImagePreprocessor preprocessor, ChannelWriter<Decoding> ahead, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (ImageInput image in images.WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                await ahead.WaitToWriteAsync(cancellationToken).ConfigureAwait(false);
                ahead.TryWrite(new Decoding(image.Name, Task.Run(() => DecodeAsync(image, preprocessor, cancellationToken), cancellationToken)));
            }

            ahead.Complete();
        }
        catch (Exception exception) // told to whoever takes the images, behind those that are there
        {
            ahead.Complete(exception);
        }
    }

    private async Task<NativeArray<float>> DecodeAsync(ImageInput image, IImagePreprocessor preprocessor, CancellationToken cancellationToken)
    {
        await image.LoadAsync(cancellationToken).ConfigureAwait(false);
        var pixels = new NativeArray<float>(PixelCount);
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            image.Preprocess(preprocessor, pixels.GetSpan());
            return pixels;
        }
        catch
        {
            pixels.Dispose();
            throw;
        }
        finally
        {
            image.Abandon();
        }
    }

    private void EncodeDecoded(List<Decoding> images, float[] rows, bool normalize, CancellationToken cancellationToken)
    {
        if (images.Count == 1)
        {
            RunPixels(images[0].Pixels.Result.GetSpan(), rows, normalize, cancellationToken);
        }
        else
        {
            using var pixels = new NativeArray<float>(images.Count * PixelCount);
            for (int i = 0; i < images.Count; i++)
                images[i].Pixels.Result.GetSpan().CopyTo(pixels.GetSpan()[(i * PixelCount)..]);
            RunPixels(pixels.GetSpan(), rows, normalize, cancellationToken);
        }

        if (RowNotFinite(rows, images.Count) is { } row)
            throw NotFinite(images[row].Name);
    }

    private static async ValueTask ReleaseAsync(List<Decoding> images)
    {
        foreach (Decoding image in images)
        {
            await ((Task)image.Pixels).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (image.Pixels.IsCompletedSuccessfully)
                (await image.Pixels.ConfigureAwait(false)).Dispose();
        }

        images.Clear();
    }

    /// <summary>An image that is being decoded.</summary>
    private readonly record struct Decoding(string Name, Task<NativeArray<float>> Pixels);

    /// <summary>Images that went through the tower together.</summary>
    private readonly record struct EncodedImages(string[] Names, float[] Rows);
}
