using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>A loss of a whole batch, and its gradients by everything that it depends on: none of it is on autograd's tape.</summary>
/// <param name="Value">In nats.</param>
/// <param name="Images"><c>[n, embed_dim]</c>, by the image features.</param>
/// <param name="Texts"><c>[n, embed_dim]</c>, by the text features.</param>
/// <param name="Scale">By the factor on cosines.</param>
/// <param name="Bias">By what is added to scaled cosines; 0 where the loss has none.</param>
public sealed record LossGradients(double Value, TorchTensor Images, TorchTensor Texts, double Scale, double Bias);

/// <summary>What both losses ask of features and weights, and the way over a batch in pieces.</summary>
internal static class PairLoss
{
    /// <summary>Refuses what does not pair.</summary>
    public static void RequirePairs(TorchTensor images, TorchTensor texts)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(texts);
        if (images.dim() != 2 || !images.shape.AsSpan().SequenceEqual(texts.shape))
            throw new ArgumentException($"expected as many sentences as images, [n, embed_dim] each, found [{string.Join(", ", images.shape)}] and [{string.Join(", ", texts.shape)}].", nameof(texts));
    }

    /// <summary>The weights in the type and on the device of the features, without a tape.</summary>
    public static TorchTensor Weights(TorchTensor? weights, TorchTensor features)
    {
        long count = features.shape[0];
        if (weights is null)
            return torch.ones(count, features.dtype, features.device);
        if (weights.dim() != 1 || weights.shape[0] != count)
            throw new ArgumentException($"expected {count} weights, found [{string.Join(", ", weights.shape)}].", nameof(weights));
        TorchTensor values = weights.detach().to(torch.ScalarType.Float64).cpu();
        double smallest = values.min().Number(), sum = values.sum().Number();
        if (!(smallest >= 0) || !(sum > 0) || double.IsInfinity(sum))
            throw new ArgumentException($"expected weights of at least 0 and not all 0, found {smallest} as the smallest and {sum} as their sum.", nameof(weights));
        return weights.detach().to(features.dtype, features.device);
    }

    /// <summary>Calls for rows [first, first + count) of a batch, in pieces; what a piece makes is released at its end.</summary>
    public static void InPieces(long rows, long piece, Action<long, long> use)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(piece, 1);
        for (long first = 0; first < rows; first += piece)
        {
            using DisposeScope scope = torch.NewDisposeScope();
            use(first, Math.Min(piece, rows - first));
        }
    }
}
