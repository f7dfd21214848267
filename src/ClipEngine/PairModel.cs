using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <summary>
/// A loaded model that scores an image and a sentence together, such as BLIP's matching head. What of an image does not depend on the
/// sentence is computed once; sentences go against it in batches. Thread-safe; weights are shared by all calls.
/// </summary>
public sealed class PairModel : IDisposable
{
    /// <summary>Images that are encoded at once.</summary>
    private const int ImageBatch = 4;

    private readonly ModelHandle _handle;
    private readonly int _sentenceBatch;

    private PairModel(ModelHandle handle, ClipModelOptions options)
    {
        _handle = handle;
        _sentenceBatch = options.BatchSize ?? PairScoring.SentenceBatch;
        Scorer = (IPairScorer)handle.Model;
    }

    /// <summary>The model and what is known of it.</summary>
    public IPairScorer Scorer { get; }

    /// <summary>Where the model runs.</summary>
    public IBackend Backend => Scorer.Backend;

    /// <summary>What a user should know about this load.</summary>
    public IReadOnlyList<string> Notices => _handle.Notices;

    /// <summary>The model's tokenizer.</summary>
    /// <exception cref="BadInputException">It needs one that is not built, or its files are not there.</exception>
    public ITokenizer Tokenizer => _handle.Tokenizer;

    /// <summary>The model's preprocessing.</summary>
    public IImagePreprocessor Preprocessor => _handle.Preprocessor;

    /// <summary>Loads a model.</summary>
    /// <param name="path">A folder in a layout that a family knows, or a file of weights with its configuration beside it.</param>
    /// <param name="options">Defaults are fp32 on the CPU.</param>
    /// <exception cref="BadInputException">The files are not there, damaged, contradict each other, or describe a model that scores no pairs.</exception>
    public static PairModel Load(string path, ClipModelOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ClipModelOptions();
        return new PairModel(ModelHandle.Load<IPairScorer>(path, options, backend => ClipModelLoader.Load(path, options, backend, ModelAbilities.ScorePairs), "does not score an image and a sentence together."), options);
    }

    /// <summary>Scores every image with every sentence.</summary>
    /// <param name="files">Image files.</param>
    /// <param name="sentences">Texts.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns><c>[files, sentences]</c>, row-major: the log odds that they match, the logit of "matches" less that of "does not match".</returns>
    /// <exception cref="BadInputException">An image cannot be read; names it.</exception>
    public float[] ScorePairs(IReadOnlyList<string> files, IReadOnlyList<string> sentences, CancellationToken cancellationToken = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(sentences);
        int length = Tokenizer.ContextLength;
        var ids = new int[sentences.Count * length];
        for (int sentence = 0; sentence < sentences.Count; sentence++)
            Tokenizer.Encode(sentences[sentence], ids.AsSpan(sentence * length, length));
        var scores = new float[files.Count * sentences.Count];
        var logits = new float[2 * sentences.Count];
        using var pool = new ImageDecodePool(files.Count, PixelCount, ImageBatch, Environment.ProcessorCount,
            (index, pixels) => ImageFile.Preprocess(Preprocessor, files[index], pixels), cancellationToken);
        while (pool.TryTake(out ImageBatch batch))
        {
            batch.ThrowIfRefused();
            for (int image = 0; image < batch.Count; image++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                ScoreTokens(batch.Pixels.Slice(image * PixelCount, PixelCount), ids, length, logits, cancellationToken);
                for (int sentence = 0; sentence < sentences.Count; sentence++)
                    scores[((batch.First + image) * sentences.Count) + sentence] = logits[(2 * sentence) + 1] - logits[2 * sentence];
            }
        }

        return scores;
    }

    /// <summary>Scores preprocessed pixels with token ids.</summary>
    /// <param name="pixels"><c>[images, 3, height, width]</c>.</param>
    /// <param name="ids"><c>[sentences, length]</c>, padded as the tokenizer does.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="logits"><c>[images, sentences, 2]</c>; filled: does not match, matches.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    public void ScoreTokens(ReadOnlySpan<float> pixels, ReadOnlySpan<int> ids, int length, Span<float> logits, CancellationToken cancellationToken = default)
    {
        using CallCounter.Call call = _handle.Calls.Enter(this);
        if (length < 1 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences of {length} ids, found {ids.Length} ids.", nameof(ids));
        PairScoring.Score(Scorer, pixels, ids, length, logits, _sentenceBatch, cancellationToken);
    }

    /// <summary>Releases the weights, and the backend where it is the model's own. May be called at any time: calls that are running finish, later ones throw <see cref="ObjectDisposedException"/>.</summary>
    public void Dispose() => _handle.Calls.Close();

    private int PixelCount => 3 * Scorer.Preprocess.Height * Scorer.Preprocess.Width;
}
