using System.Diagnostics;
using System.Runtime.CompilerServices;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;
using Microsoft.Extensions.Logging;

namespace ClipEngine;

/// <summary>
/// A loaded model: image files and sentences in, features out. Thread-safe, disposing included; weights are shared by all calls.
/// </summary>
/// <example>
/// <code>
/// using var model = ClipModel.Load("models/ViT-B-32");
/// FeatureMatrix images = model.EncodeImages(["cat.jpg", "dog.jpg"]);       // [2, 512], each of length 1
/// FeatureMatrix texts = model.EncodeTexts(["a cat", "a dog", "a bird"]);   // [3, 512]
/// Classification who = model.Classify(["cat.jpg"], ["cat", "dog"], ["a photo of a {}."]);
/// Console.WriteLine($"{who[0].Label} {who[0].Probability}");
/// </code>
/// </example>
public sealed partial class ClipModel : IDisposable
{
    /// <summary>Tokens that are enough to keep a processor's matrix units busy; larger batches only cost memory.</summary>
    private const int TokensOfABatch = 512;

    private readonly ModelHandle _handle;
    private readonly int? _batchSize;
    private readonly ILogger? _logger;

    private ClipModel(ModelHandle handle, ClipModelOptions options)
    {
        _handle = handle;
        _batchSize = options.BatchSize;
        _logger = options.Logger;
        Encoder = (IDualEncoder)handle.Model;
    }

    /// <summary>The towers and what is known of them.</summary>
    public IDualEncoder Encoder { get; }

    /// <summary>The length of a feature.</summary>
    public int EmbedDimension => Encoder.EmbedDimension;

    /// <summary>Where the model runs.</summary>
    public IBackend Backend => Encoder.Backend;

    /// <summary>Bytes that the weights occupy in the backend's memory.</summary>
    public long WeightBytes => _handle.WeightBytes;

    /// <summary>What a user should know about this load: preprocessing that nobody stated, odd weights. Shown, and written to run records.</summary>
    public IReadOnlyList<string> Notices => _handle.Notices;

    /// <summary>The model's tokenizer.</summary>
    /// <exception cref="BadInputException">It needs one that is not built.</exception>
    public ITokenizer Tokenizer => _handle.Tokenizer;

    /// <summary>The model's preprocessing.</summary>
    public IImagePreprocessor Preprocessor => _handle.Preprocessor;

    /// <summary>Loads a model.</summary>
    /// <param name="path">A folder in the OpenCLIP or transformers layout, a file of weights with its configuration beside it, or the name of weights in the catalogue that were fetched before.</param>
    /// <param name="options">Defaults are fp32 on the CPU.</param>
    /// <param name="cancellationToken">Looked at before each tensor.</param>
    /// <exception cref="OperationCanceledException">Cancelled; nothing stays loaded.</exception>
    /// <exception cref="BadInputException">The files are not there, damaged, contradict each other, or describe what is not built; every problem is named.</exception>
    public static ClipModel Load(string path, ClipModelOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ClipModelOptions();
        return Create(options, backend => ClipModelLoader.Load(path, options, backend, ModelAbilities.Embed, cancellationToken), path);
    }

    /// <summary>A model of the catalogue at its real size with random weights, the same ones each time: for measuring speed and memory without a download. Its features mean nothing.</summary>
    /// <param name="modelName">A name that <c>clipengine models list</c> shows, without a tag: <c>ViT-B-32</c>.</param>
    /// <param name="options">As for <see cref="Load"/>.</param>
    /// <exception cref="BadInputException">The catalogue has no such model.</exception>
    public static ClipModel CreateUntrained(string modelName, ClipModelOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelName);
        options ??= new ClipModelOptions();
        return Create(options, backend => ClipModelLoader.CreateUntrained(modelName, options, backend), modelName);
    }

    /// <summary>Encodes preprocessed pixels. Allocates nothing managed once the backend's memory has grown to the batch.</summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c> fp32, row-major, any n.</param>
    /// <param name="features"><c>[n, EmbedDimension]</c>; filled.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_image</c> returns it.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ArgumentException">The lengths do not fit each other.</exception>
    /// <exception cref="BadInputException">A pixel or a feature is NaN or infinite; names the image by its number.</exception>
    public void EncodePixels(ReadOnlySpan<float> pixels, Span<float> features, bool normalize = true, CancellationToken cancellationToken = default)
    {
        int count = pixels.Length / (3 * Encoder.Preprocess.Height * Encoder.Preprocess.Width);
        if (RowNotFinite(pixels, count) is { } image)
            throw new BadInputException($"image {image + 1} of the pixels", "holds NaN or infinite pixels.", "Prepare it again; 'clipengine preprocess' shows what belongs there.");
        RunPixels(pixels, features, normalize, cancellationToken);
        if (RowNotFinite(features, count) is { } row)
            throw NotFinite($"image {row + 1} of the pixels");
    }

    /// <summary>Encodes preprocessed pixels to features in both forms, those of length 1 as <c>normalize</c> makes them, out of one pass.</summary>
    internal void EncodePixels(ReadOnlySpan<float> pixels, Span<float> features, Span<float> normalized)
    {
        int count = pixels.Length / (3 * Encoder.Preprocess.Height * Encoder.Preprocess.Width);
        RunPixels(pixels, features, normalize: false, CancellationToken.None, normalized);
        if (RowNotFinite(features, count) is { } row)
            throw NotFinite($"image {row + 1} of the pixels");
    }

    private void RunPixels(ReadOnlySpan<float> pixels, Span<float> features, bool normalize, CancellationToken cancellationToken, Span<float> normalized = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        PreprocessOptions size = Encoder.Preprocess;
        int one = 3 * size.Height * size.Width;
        if (pixels.Length % one != 0)
            throw new ArgumentException($"expected a multiple of 3 x {size.Height} x {size.Width} pixels, found {pixels.Length}.", nameof(pixels));
        int count = pixels.Length / one;
        int length = RowLength(features, count);
        int batch = ImageBatchSize;
        long from = Stopwatch.GetTimestamp();
        for (int start = 0; start < count; start += batch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int n = Math.Min(batch, count - start);
            using IPass pass = Backend.BeginPass();
            Tensor input = pass.Upload(pixels.Slice(start * one, n * one), new Shape(n, 3, size.Height, size.Width));
            Finish(pass, Encoder.EncodeImages(pass, input), features.Slice(start * length, n * length), normalize, normalized.IsEmpty ? default : normalized.Slice(start * length, n * length));
        }

        if (_logger is not null)
            LogEncoded(images: true, count, from);
    }

    /// <summary>Encodes token ids. Allocates nothing managed once the backend's memory has grown to the batch.</summary>
    /// <param name="ids"><c>[n, length]</c>, row-major, any n; padded as the tokenizer does.</param>
    /// <param name="length">Ids of one sentence, at most the model's context length.</param>
    /// <param name="features"><c>[n, EmbedDimension]</c>; filled.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_text</c> returns it.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ArgumentException">The lengths do not fit each other, or an id lies outside the vocabulary.</exception>
    /// <exception cref="BadInputException">A feature is NaN or infinite; names the sentence by its number.</exception>
    public void EncodeTokens(ReadOnlySpan<int> ids, int length, Span<float> features, bool normalize = true, CancellationToken cancellationToken = default)
    {
        RunTokens(ids, length, features, normalize, cancellationToken);
        if (RowNotFinite(features, ids.Length / length) is { } row)
            throw NotFinite($"sentence {row + 1} of the ids");
    }

    /// <summary>Encodes token ids to features in both forms, those of length 1 as <c>normalize</c> makes them, out of one pass.</summary>
    internal void EncodeTokens(ReadOnlySpan<int> ids, int length, Span<float> features, Span<float> normalized)
    {
        RunTokens(ids, length, features, normalize: false, CancellationToken.None, normalized);
        if (RowNotFinite(features, ids.Length / length) is { } row)
            throw NotFinite($"sentence {row + 1} of the ids");
    }

    private void RunTokens(ReadOnlySpan<int> ids, int length, Span<float> features, bool normalize, CancellationToken cancellationToken, Span<float> normalized = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        if (length < 1 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of {length} ids, found {ids.Length} ids.", nameof(ids));
        int count = ids.Length / length;
        int rowLength = RowLength(features, count);
        int batch = TextBatchSize;
        long from = Stopwatch.GetTimestamp();
        for (int start = 0; start < count; start += batch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int n = Math.Min(batch, count - start);
            using IPass pass = Backend.BeginPass();
            Finish(pass, Encoder.EncodeTexts(pass, ids.Slice(start * length, n * length), length), features.Slice(start * rowLength, n * rowLength), normalize, normalized.IsEmpty ? default : normalized.Slice(start * rowLength, n * rowLength));
        }

        if (_logger is not null)
            LogEncoded(images: false, count, from);
    }

    /// <summary>Calls the towers as they are; the model is not released before the call returns.</summary>
    internal T Use<T>(Func<IDualEncoder, T> call)
    {
        using CallCounter.Call running = _handle.Calls.Enter(this);
        return call(Encoder);
    }

    /// <summary>
    /// Releases the weights, and the backend where it is the model's own. May be called at any time: it waits for nothing, calls that are
    /// running finish or throw <see cref="ObjectDisposedException"/>, later ones throw it.
    /// </summary>
    public void Dispose() => _handle.Calls.Close();

    /// <summary>Images that go through the tower at once.</summary>
    internal int ImageBatchSize => _batchSize ?? Math.Clamp(TokensOfABatch / Encoder.ImageTokens, 2, 32);

    /// <summary>Sentences that go through the tower at once.</summary>
    internal int TextBatchSize => _batchSize ?? Math.Clamp(TokensOfABatch / Encoder.ContextLength, 4, 32);

    private static ClipModel Create(ClipModelOptions options, Func<IBackend, LoadedParts> load, string source)
    {
        long start = Stopwatch.GetTimestamp();
        var model = new ClipModel(ModelHandle.Load<IDualEncoder>(source, options, load, "does not make features of images and sentences by themselves."), options);
        if (model._logger is not null)
            model.LogLoaded(source, start);
        return model;
    }

    // Apart, so that who does not log does not load the library for it.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void LogLoaded(string source, long start)
    {
        ClipEngineLog.Loaded(_logger!, source, Encoder.Architecture, Backend.Name, (long)Stopwatch.GetElapsedTime(start).TotalMilliseconds, WeightBytes);
        foreach (string notice in Notices)
            ClipEngineLog.Notice(_logger!, notice);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void LogEncoded(bool images, int count, long start)
    {
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        if (images)
            ClipEngineLog.EncodedImages(_logger!, count, milliseconds);
        else
            ClipEngineLog.EncodedTexts(_logger!, count, milliseconds);
    }

    private static void Finish(IPass pass, Tensor features, Span<float> destination, bool normalize, Span<float> normalized)
    {
        if (normalize)
            features = pass.L2Normalize(features);
        pass.Read(features, destination);
        if (!normalized.IsEmpty)
            pass.Read(pass.L2Normalize(features), normalized);
    }

    /// <summary>The first of <paramref name="count"/> rows that has a NaN or an infinity in it; null where there is none.</summary>
    private static int? RowNotFinite(ReadOnlySpan<float> values, int count)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                return i / (values.Length / Math.Max(count, 1));
        }

        return null;
    }

    private BadInputException NotFinite(string name) => new(name, $"its feature has NaN or infinite elements ({Backend.Name}: {Backend.Description}).",
        "The weights are finite, so that the numbers grew beyond the type that is computed in: use fp32, or bf16 in place of fp16.");

    private static int RowLength(ReadOnlySpan<float> features, int count)
    {
        if (count == 0 ? features.Length != 0 : features.Length == 0 || features.Length % count != 0)
            throw new ArgumentException($"expected room for {count} features, found {features.Length} floats.", nameof(features));
        return count == 0 ? 0 : features.Length / count;
    }
}
