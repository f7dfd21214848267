using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>The objective of models with a <c>logit_bias</c> (SigLIP, arXiv:2303.15343, algorithm 1), for weighted examples.</summary>
public static class SigmoidLoss
{
    /// <summary>
    /// Whether an image and a sentence belong together, as a decision about every pair of the batch by itself, with
    /// <c>l_ij = scale * image_i . text_j + bias</c>:
    /// <code>
    /// (sum_i w_i log(1 + exp(-l_ii)) + sum_(i != j) w_i w_j log(1 + exp(l_ij))) / sum_i w_i
    /// </code>
    /// A weight counts how often an example is there, 0 the same as not having it; repetitions of an example are no counter-examples
    /// to each other.
    /// </summary>
    /// <param name="images"><c>[n, embed_dim]</c>, each row of length 1.</param>
    /// <param name="texts"><c>[n, embed_dim]</c>, row i belonging to image i.</param>
    /// <param name="scale">A scalar, <c>exp(logit_scale)</c>.</param>
    /// <param name="bias">A scalar, <c>logit_bias</c>.</param>
    /// <param name="weights"><c>[n]</c>, none negative and not all zero; null weighs all alike, which is open_clip's loss.</param>
    /// <returns>A scalar in nats, in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit each other, or the weights are not weights.</exception>
    public static TorchTensor Compute(TorchTensor images, TorchTensor texts, TorchTensor scale, TorchTensor bias, TorchTensor? weights = null)
    {
        PairLoss.RequirePairs(images, texts);
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(bias);
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor w = PairLoss.Weights(weights, images);
        TorchTensor logits = (scale * images.matmul(texts.transpose(0, 1))).Plus(bias);
        TorchTensor pairs = w.unsqueeze(1) * w.unsqueeze(0);
        pairs.diagonal().copy_(w);
        TorchTensor signs = torch.ones_like(logits).detach();
        signs.diagonal().FillInPlace(-1);
        return ((pairs * (signs * logits).Softplus()).sum() / w.sum()).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// The same loss with its gradients, <paramref name="rows"/> rows of the logits at a time:
    /// <code>
    /// dL/dl_ij = w_i w_j sigmoid(l_ij) / W for i != j, dL/dl_ii = -w_i sigmoid(-l_ii) / W
    /// </code>
    /// </summary>
    /// <param name="images"><c>[n, embed_dim]</c>, each row of length 1.</param>
    /// <param name="texts"><c>[n, embed_dim]</c>, row i belonging to image i.</param>
    /// <param name="scale"><c>exp(logit_scale)</c>.</param>
    /// <param name="bias"><c>logit_bias</c>.</param>
    /// <param name="weights">As for <see cref="Compute"/>.</param>
    /// <param name="rows">Rows of the logits at a time; the result does not depend on it but for rounding.</param>
    /// <returns>The loss and its gradients; the tensors are in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">As for <see cref="Compute"/>.</exception>
    public static LossGradients ComputeGradients(TorchTensor images, TorchTensor texts, double scale, double bias, TorchTensor? weights = null, int rows = 1024)
    {
        PairLoss.RequirePairs(images, texts);
        using var noTape = torch.no_grad();
        using DisposeScope scope = torch.NewDisposeScope();
        (images, texts) = (images.detach(), texts.detach());
        TorchTensor w = PairLoss.Weights(weights, images), transposed = texts.transpose(0, 1);
        double total = w.sum().Number(), value = 0, byScale = 0, byBias = 0;
        TorchTensor byImages = torch.empty_like(images), byTexts = torch.zeros_like(texts);
        PairLoss.InPieces(images.shape[0], rows, (first, count) =>
        {
            TorchTensor some = images.narrow(0, first, count), own = w.narrow(0, first, count), cosines = some.matmul(transposed);
            TorchTensor signed = cosines.Times(scale).Plus(bias), pairs = own.unsqueeze(1) * w.unsqueeze(0);
            signed.diagonal(first).neg_();
            pairs.diagonal(first).copy_(own);
            value += (pairs * signed.Softplus()).sum().Number();
            TorchTensor gradient = (pairs * signed.sigmoid()).DividedBy(total);
            gradient.diagonal(first).neg_();
            byScale += (gradient * cosines).sum().Number();
            byBias += gradient.sum().Number();
            byImages.narrow(0, first, count).copy_(gradient.matmul(texts).Times(scale));
            byTexts.AddInPlace(gradient.transpose(0, 1).matmul(some), scale);
        });
        return new LossGradients(value / total, byImages.MoveToOuterDisposeScope(), byTexts.MoveToOuterDisposeScope(), byScale, byBias);
    }
}
