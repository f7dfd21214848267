using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// How a layer's cross-attention makes keys and values of an image's tokens. They do not depend on the sentence: they are projected once for
/// each image and kept beyond the pass.
/// </summary>
internal sealed record ImageKeyValues
{
    /// <summary><c>[width, image width]</c>.</summary>
    public required Weight KeyWeight { get; init; }

    /// <summary><c>[width]</c>.</summary>
    public required Weight KeyBias { get; init; }

    /// <summary><c>[width, image width]</c>.</summary>
    public required Weight ValueWeight { get; init; }

    /// <summary><c>[width]</c>.</summary>
    public required Weight ValueBias { get; init; }

    /// <summary>A norm of the layer's own before both; null where the image's tokens are used as they are.</summary>
    public (Weight Weight, Weight Bias, float Epsilon)? Norm { get; init; }

    /// <summary>Projects the tokens of images.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="imageTokens"><c>[n, tokens, image width]</c>.</param>
    /// <returns><c>[n, tokens, width]</c> each.</returns>
    public (Tensor Keys, Tensor Values) Project(IPass pass, in Tensor imageTokens)
    {
        Tensor normed = Norm is { } norm ? pass.LayerNorm(imageTokens, norm.Weight, norm.Bias, norm.Epsilon) : imageTokens;
        return (pass.Linear(normed, KeyWeight, KeyBias), pass.Linear(normed, ValueWeight, ValueBias));
    }

    /// <summary>Projects an image's tokens to the keys and values of every layer and keeps them.</summary>
    /// <param name="pass">A pass of <paramref name="backend"/>.</param>
    /// <param name="backend">Where the stores are made.</param>
    /// <param name="imageTokens"><c>[1, tokens, image width]</c>.</param>
    /// <param name="layers">The layers that look at the image.</param>
    /// <returns>Two stores for each layer: keys, values; <c>[1, tokens, width]</c>.</returns>
    public static PreparedImage Prepare(IPass pass, IBackend backend, in Tensor imageTokens, IEnumerable<ImageKeyValues> layers)
    {
        var stores = new List<TokenStore>();
        try
        {
            foreach (ImageKeyValues layer in layers)
            {
                long mark = pass.EnterScope();
                (Tensor keys, Tensor values) = layer.Project(pass, imageTokens);
                foreach (Tensor tokens in (ReadOnlySpan<Tensor>)[keys, values])
                {
                    stores.Add(backend.CreateTokenStore(tokens.Shape));
                    pass.Store(stores[^1], tokens);
                }

                pass.LeaveScope(mark, keys);
            }

            return new PreparedImage(stores);
        }
        catch
        {
            foreach (TokenStore store in stores)
                store.Dispose();
            throw;
        }
    }
}
