using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>
/// What every loaded model has, whatever it does (<see cref="ClipModel"/>, <see cref="PairModel"/>, <see cref="CaptionModel"/>): what was
/// loaded, its tokenizer and preprocessing, and the count of calls after whose last one it is released.
/// </summary>
internal sealed class ModelHandle
{
    private readonly LoadedParts _parts;
    private readonly Lazy<ITokenizer> _tokenizer;
    private readonly Lazy<IImagePreprocessor> _preprocessor;

    private ModelHandle(LoadedParts parts, IBackend? ownBackend, ClipModelOptions options)
    {
        _parts = parts;
        Calls = new CallCounter(() => Release(parts, ownBackend));
        _tokenizer = new Lazy<ITokenizer>(parts.Tokenizer);
        PreprocessOptions preprocess = options.PixelsOf(parts.Model.Preprocess);
        _preprocessor = new Lazy<IImagePreprocessor>(() => options.Preprocessor ?? parts.Model.CreatePreprocessor(preprocess));
        foreach (Weight weight in parts.Weights)
            WeightBytes += weight.ByteLength;
    }

    /// <summary>The model.</summary>
    public IModel Model => _parts.Model;

    /// <summary>Bytes that the weights occupy in the backend's memory.</summary>
    public long WeightBytes { get; }

    /// <summary>What a user should know about this load.</summary>
    public IReadOnlyList<string> Notices => _parts.Notices;

    /// <summary>The tokenizer, read when it is first asked for.</summary>
    public ITokenizer Tokenizer => _tokenizer.Value;

    /// <summary>The preprocessing, made when it is first asked for.</summary>
    public IImagePreprocessor Preprocessor => _preprocessor.Value;

    /// <summary>The calls in progress. Closing it releases the weights, then the backend where it was opened for them.</summary>
    public CallCounter Calls { get; }

    /// <summary>Loads a model; nothing is left over where that fails.</summary>
    /// <typeparam name="T">What it must be able to do.</typeparam>
    /// <param name="source">What messages call it.</param>
    /// <param name="options">The backend, unless a processor is opened.</param>
    /// <param name="load">Brings it to a backend.</param>
    /// <param name="lacks">What a model that is no <typeparamref name="T"/> does not do, behind its name.</param>
    /// <exception cref="BadInputException">It is no <typeparamref name="T"/>.</exception>
    public static ModelHandle Load<T>(string source, ClipModelOptions options, Func<IBackend, LoadedParts> load, string lacks)
        where T : IModel
    {
        if (options.BatchSize is { } size)
            ArgumentOutOfRangeException.ThrowIfLessThan(size, 1, nameof(options));
        IBackend? ownBackend = options.Backend is null ? Native.CpuBackend.Create() : null;
        LoadedParts? parts = null;
        try
        {
            parts = load(options.Backend ?? ownBackend!);
            return parts.Model is T
                ? new ModelHandle(parts, ownBackend, options)
                : throw new BadInputException(source, $"{parts.Model.Architecture} {lacks}", "'clipengine inspect' says what a model can do.");
        }
        catch
        {
            Release(parts, ownBackend);
            throw;
        }
    }

    private static void Release(LoadedParts? parts, IBackend? backend)
    {
        foreach (Weight weight in parts?.Weights ?? [])
            weight.Dispose();
        backend?.Dispose();
    }
}
