using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>The objective that CLIP was trained with (arXiv:2103.00020, figure 3), for weighted examples.</summary>
public static class ContrastiveLoss
{
    /// <summary>
    /// The mean of the two cross entropies of picking a pair's sentence by its image and its image by its sentence, with
    /// <c>l_ij = scale * image_i . text_j</c>:
    /// <code>
    /// sum_i w_i (log sum_j w_j exp(l_ij) + log sum_j w_j exp(l_ji) - 2 l_ii) / (2 sum_i w_i)
    /// </code>
    /// A weight counts how often an example is there: 2 is the same as having it twice in the batch, 0 the same as not having it,
    /// as a target and as a counter-example alike. So the weights of a balancing stand for the draws that they describe.
    /// </summary>
    /// <param name="images"><c>[n, embed_dim]</c>, each row of length 1.</param>
    /// <param name="texts"><c>[n, embed_dim]</c>, row i belonging to image i.</param>
    /// <param name="scale">A scalar, <c>exp(logit_scale)</c>.</param>
    /// <param name="weights"><c>[n]</c>, none negative and not all zero; null weighs all alike, which is open_clip's loss.</param>
    /// <returns>A scalar in nats, in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit each other, or the weights are not weights.</exception>
    public static TorchTensor Compute(TorchTensor images, TorchTensor texts, TorchTensor scale, TorchTensor? weights = null)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(scale);
        if (images.dim() != 2 || !images.shape.AsSpan().SequenceEqual(texts.shape))
            throw new ArgumentException($"expected as many sentences as images, [n, embed_dim] each, found [{string.Join(", ", images.shape)}] and [{string.Join(", ", texts.shape)}].", nameof(texts));
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor logits = scale * images.matmul(texts.transpose(0, 1)); // [n, n]
        TorchTensor matches = scale * (images * texts).sum(1);             // [n]
        TorchTensor loss;
        if (weights is null)
        {
            loss = ((0.5 * (logits.logsumexp(1) + logits.logsumexp(0))) - matches).mean();
        }
        else
        {
            TorchTensor w = Checked(weights, images.shape[0]).to(logits.dtype, logits.device);
            TorchTensor counts = w.log(); // of zero: negative infinity, a term that is not there
            TorchTensor each = (0.5 * ((logits + counts.unsqueeze(0)).logsumexp(1) + (logits + counts.unsqueeze(1)).logsumexp(0))) - matches;
            loss = (w * each).sum() / w.sum();
        }

        return loss.MoveToOuterDisposeScope();
    }

    private static TorchTensor Checked(TorchTensor weights, long count)
    {
        if (weights.dim() != 1 || weights.shape[0] != count)
            throw new ArgumentException($"expected {count} weights, found [{string.Join(", ", weights.shape)}].", nameof(weights));
        TorchTensor values = weights.detach().to(torch.ScalarType.Float64).cpu();
        double smallest = values.min().ToDouble(), sum = values.sum().ToDouble();
        if (!(smallest >= 0) || !(sum > 0) || double.IsInfinity(sum))
            throw new ArgumentException($"expected weights of at least 0 and not all 0, found {smallest} as the smallest and {sum} as their sum.", nameof(weights));
        return weights.detach();
    }
}
