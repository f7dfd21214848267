using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <summary>Images against sentences, each pair by itself: an image is prepared once, sentences go against it in batches.</summary>
internal static class PairScoring
{
    /// <summary>Sentences that are scored at once, unless the user says otherwise.</summary>
    public const int SentenceBatch = 32;

    /// <summary>Scores preprocessed pixels with token ids.</summary>
    /// <param name="scorer">The model.</param>
    /// <param name="pixels"><c>[images, 3, height, width]</c>.</param>
    /// <param name="ids"><c>[sentences, length]</c>, padded.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="logits"><c>[images, sentences, 2]</c>; filled.</param>
    /// <param name="batch">Sentences at once.</param>
    /// <param name="cancellation">Stops between batches.</param>
    public static void Score(IPairScorer scorer, ReadOnlySpan<float> pixels, ReadOnlySpan<int> ids, int length, Span<float> logits, int batch, CancellationToken cancellation)
    {
        PreprocessOptions size = scorer.Preprocess;
        int one = 3 * size.Height * size.Width, images = pixels.Length / one, sentences = ids.Length / length;
        if (pixels.Length % one != 0 || logits.Length != images * sentences * 2)
            throw new ArgumentException($"expected room for {images} images, {sentences} sentences and 2 logits, found {logits.Length}.", nameof(logits));
        for (int image = 0; image < images; image++)
        {
            using PreparedImage prepared = Prepare(scorer, pixels.Slice(image * one, one));
            for (int first = 0; first < sentences; first += batch)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = Math.Min(batch, sentences - first);
                using IPass pass = scorer.Backend.BeginPass();
                pass.Read(scorer.ScorePairs(pass, prepared, ids.Slice(first * length, count * length), length), logits.Slice(((image * sentences) + first) * 2, 2 * count));
            }
        }
    }

    /// <summary>What sentences look at of one image.</summary>
    /// <param name="scorer">The model.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    public static PreparedImage Prepare(IPairScorer scorer, ReadOnlySpan<float> pixels)
    {
        using IPass pass = scorer.Backend.BeginPass();
        Tensor tokens = scorer.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(1, 3, scorer.Preprocess.Height, scorer.Preprocess.Width)));
        PreparedImage prepared = scorer.PrepareImage(pass, tokens);
        // Reading is what runs a pass.
        pass.Read(pass.SliceTokens(tokens, 0, 1), new float[tokens.Shape[2]]);
        return prepared;
    }
}
