using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine.Audit.Runs;

/// <summary>A pair scorer on a backend: images are encoded once, and scored with bounded batches of sentences.</summary>
/// <param name="parts">With an <see cref="IPairScorer"/>; released, with its backend, by this.</param>
/// <param name="preprocess">How images become its pixels.</param>
internal sealed class ClipPairScorer(LoadedParts parts, PreprocessOptions preprocess) : IProbePairScorer
{
    /// <summary>Images that are encoded at once.</summary>
    private const int ImageBatch = 4;

    /// <summary>Pairs that are scored at once, each with a copy of its image's tokens.</summary>
    private const int PairBatch = 16;

    private readonly IPairScorer _model = (IPairScorer)parts.Model;
    private readonly ITokenizer _tokenizer = parts.Tokenizer();
    private readonly ImagePreprocessor _preprocessor = new(preprocess);

    public string Device => $"{_model.Backend.Name}: {_model.Backend.Description}";

    public IReadOnlyList<string> Notices => parts.Notices;

    public string Preprocessing => PreprocessNames.Describe(_preprocessor.Options);

    public float[] ScorePairs(IReadOnlyList<string> files, IReadOnlyList<string> sentences, CancellationToken cancellationToken)
    {
        int length = _tokenizer.ContextLength;
        var ids = new int[sentences.Count * length];
        for (int sentence = 0; sentence < sentences.Count; sentence++)
            _tokenizer.Encode(sentences[sentence], ids.AsSpan(sentence * length, length));
        var scores = new float[files.Count * sentences.Count];
        PreprocessOptions size = _model.Preprocess;
        using var pool = new ImageDecodePool(files.Count, 3 * size.Height * size.Width, ImageBatch, Environment.ProcessorCount,
            (index, pixels) => ImageFile.Preprocess(_preprocessor, files[index], pixels), cancellationToken);
        while (pool.TryTake(out ImageBatch batch))
        {
            batch.ThrowIfRefused();
            (float[] tokens, int count) = Encode(batch.Pixels, batch.Count);
            int imageLength = tokens.Length / batch.Count;
            for (int image = 0; image < batch.Count; image++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Score(tokens.AsSpan(image * imageLength, imageLength), count, ids, length, scores.AsSpan((batch.First + image) * sentences.Count, sentences.Count));
            }
        }

        return scores;
    }

    public void Dispose()
    {
        foreach (Weight weight in parts.Weights)
            weight.Dispose();
        _model.Backend.Dispose();
    }

    private (float[] Tokens, int Count) Encode(ReadOnlySpan<float> pixels, int images)
    {
        using IPass pass = _model.Backend.BeginPass();
        Tensor encoded = _model.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(images, 3, _model.Preprocess.Height, _model.Preprocess.Width)));
        var tokens = new float[encoded.Shape.ElementCount];
        pass.Read(encoded, tokens);
        return (tokens, (int)encoded.Shape[1]);
    }

    /// <summary>One image with all sentences.</summary>
    private void Score(ReadOnlySpan<float> image, int tokens, ReadOnlySpan<int> ids, int length, Span<float> scores)
    {
        var copies = new float[Math.Min(PairBatch, scores.Length) * image.Length];
        for (int copy = 0; copy < copies.Length; copy += image.Length)
            image.CopyTo(copies.AsSpan(copy, image.Length));
        Span<float> logits = stackalloc float[2 * PairBatch];
        for (int first = 0; first < scores.Length; first += PairBatch)
        {
            int pairs = Math.Min(PairBatch, scores.Length - first);
            using IPass pass = _model.Backend.BeginPass();
            Tensor uploaded = pass.Upload(copies.AsSpan(0, pairs * image.Length), new Shape(pairs, tokens, _model.ImageTokenWidth));
            pass.Read(_model.ScorePairs(pass, uploaded, ids.Slice(first * length, pairs * length), length), logits[..(2 * pairs)]);
            for (int pair = 0; pair < pairs; pair++)
                scores[first + pair] = logits[(2 * pair) + 1] - logits[2 * pair];
        }
    }
}
