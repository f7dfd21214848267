using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>An image tower: pixels to features.</summary>
internal interface IImageTower
{
    /// <summary>Tokens that are worked on for one image: what an image costs, for choosing a batch.</summary>
    int Tokens { get; }

    /// <summary>Tokens of a feature that nothing pools; null where a feature is one vector.</summary>
    int? FeatureTokens => null;

    /// <summary>Enqueues the tower.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c> of the model's preprocessing.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, tokens, embed_dim]</c> without pooling.</returns>
    Tensor Forward(IPass pass, in Tensor pixels);
}
