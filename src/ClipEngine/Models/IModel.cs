using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A model on a backend. Its weights are immutable: any number of threads may run passes over it at once, each with a pass of its own.</summary>
public interface IModel
{
    /// <summary>The architecture's name, for run records and messages.</summary>
    string Architecture { get; }

    /// <summary>Where it runs.</summary>
    IBackend Backend { get; }

    /// <summary>The pixels that it was trained on: <c>[3, Height, Width]</c>, normalised.</summary>
    PreprocessOptions Preprocess { get; }

    /// <summary>How images of any shape are packed into <see cref="Preprocess"/>'s size; null where every image is brought to one size.</summary>
    PatchPacking? Packing => null;

    /// <summary>What turns image files into the pixels of <see cref="Preprocess"/>.</summary>
    /// <param name="options"><see cref="Preprocess"/>, with what the user changed.</param>
    IImagePreprocessor CreatePreprocessor(PreprocessOptions options) => new ImagePreprocessor(options);

    /// <summary>The tokenizer that it was trained with.</summary>
    TokenizerConfig Tokenizer { get; }

    /// <summary>Token ids of one sentence, start and end included.</summary>
    int ContextLength { get; }

    /// <summary>One more than the largest token id.</summary>
    int VocabularySize { get; }

    /// <summary>What a user should know about this model, such as settings that its files leave open; empty where all is said.</summary>
    IReadOnlyList<string> Notices { get; }
}

/// <summary>Images and sentences in one space: their features are compared by cosine.</summary>
public interface IDualEncoder : IModel
{
    /// <summary>The length of a feature.</summary>
    int EmbedDimension { get; }

    /// <summary>The factor on cosines, <c>exp(logit_scale)</c>; 100 in most trained models.</summary>
    double LogitScale { get; }

    /// <summary>Added after scaling (<c>logit_bias</c>); null where the model has none. With a bias a probability is a sigmoid, else a softmax over labels.</summary>
    double? LogitBias { get; }

    /// <summary>Tokens that the image tower works on for one image: what an image costs, for choosing a batch.</summary>
    int ImageTokens { get; }

    /// <summary>The shape that <see cref="EncodeImages"/> returns for n images.</summary>
    Shape ImageFeatureShape(int count);

    /// <summary>The shape that <see cref="EncodeTexts"/> returns for n sentences of <paramref name="length"/> ids.</summary>
    Shape TextFeatureShape(int count, int length);

    /// <summary>Enqueues the image tower.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <returns>
    /// <c>[n, EmbedDimension]</c>, as the original returns them: not normalised, except by CoCa;
    /// <c>[n, tokens, EmbedDimension]</c> where the model pools nothing.
    /// </returns>
    Tensor EncodeImages(IPass pass, in Tensor pixels);

    /// <summary>Enqueues the text tower.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="ids"><c>[n, length]</c>, row-major; padded as the tokenizer does.</param>
    /// <param name="length">Ids of one sentence; at most <see cref="IModel.ContextLength"/>.</param>
    /// <returns>
    /// <c>[n, EmbedDimension]</c>, as the original returns them: not normalised, except by CoCa;
    /// <c>[n, tokens, EmbedDimension]</c> where the model pools nothing.
    /// </returns>
    /// <exception cref="ArgumentException">The length is not right, or an id lies outside the vocabulary.</exception>
    Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length);
}

/// <summary>
/// A score for an image and a sentence together, which does not factor into two features (BLIP's image-text matching).
/// A model may be a dual encoder as well.
/// </summary>
public interface IPairScorer : IModel
{
    /// <summary>The length of an image token.</summary>
    int ImageTokenWidth { get; }

    /// <summary>Enqueues the image tower.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <returns><c>[n, tokens, ImageTokenWidth]</c>.</returns>
    Tensor EncodeImageTokens(IPass pass, in Tensor pixels);

    /// <summary>The id behind a sentence's end, which is hidden from attention.</summary>
    int PaddingId => 0;

    /// <summary>What every sentence looks at of an image, such as keys and values of its tokens: made once for each image and kept beyond the pass.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="imageTokens"><c>[1, tokens, ImageTokenWidth]</c>.</param>
    /// <returns>Released by the caller, before the backend.</returns>
    PreparedImage PrepareImage(IPass pass, in Tensor imageTokens);

    /// <summary>Enqueues the scores of one image with n sentences.</summary>
    /// <param name="pass">A pass of <see cref="IModel.Backend"/>.</param>
    /// <param name="image">From <see cref="PrepareImage"/>; the pass that made it has run.</param>
    /// <param name="ids"><c>[n, length]</c>, row-major; padded as the tokenizer does, padding is hidden from attention.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <returns><c>[n, 2]</c> logits: does not match, matches.</returns>
    Tensor ScorePairs(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int length);
}

/// <summary>What of an image outlives a pass: tokens, or the keys and values that a model makes of them.</summary>
/// <param name="stores">Of the model's own meaning. Disposed with this.</param>
public sealed class PreparedImage(IReadOnlyList<TokenStore> stores) : IDisposable
{
    /// <summary>The stores.</summary>
    public IReadOnlyList<TokenStore> Stores => stores;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TokenStore store in stores)
            store.Dispose();
    }
}
