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
        PairLoss.RequirePairs(images, texts);
        ArgumentNullException.ThrowIfNull(scale);
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor logits = scale * images.matmul(texts.transpose(0, 1)); // [n, n]
        TorchTensor matches = scale * (images * texts).sum(1);             // [n]
        TorchTensor w = PairLoss.Weights(weights, images);
        TorchTensor counts = w.log(); // of zero: negative infinity, a term that is not there
        TorchTensor each = logits.Plus(counts.unsqueeze(0)).logsumexp(1).Plus(logits.Plus(counts.unsqueeze(1)).logsumexp(0)).Times(0.5) - matches;
        return ((w * each).sum() / w.sum()).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// The same loss with its gradients, for batches whose n x n logits would not fit: they are made twice, <paramref name="rows"/> rows at
    /// a time, and never held whole. With <c>r_i = log sum_j w_j exp(l_ij)</c>, <c>c_j = log sum_i w_i exp(l_ij)</c> and <c>W = sum_i w_i</c>
    /// <code>
    /// dL/dl_ij = w_i w_j (exp(l_ij - r_i) + exp(l_ij - c_j)) / (2 W) - [i = j] w_i / W
    /// </code>
    /// </summary>
    /// <param name="images"><c>[n, embed_dim]</c>, each row of length 1.</param>
    /// <param name="texts"><c>[n, embed_dim]</c>, row i belonging to image i.</param>
    /// <param name="scale"><c>exp(logit_scale)</c>.</param>
    /// <param name="weights">As for <see cref="Compute"/>.</param>
    /// <param name="rows">Rows of the logits at a time; the result does not depend on it but for rounding.</param>
    /// <returns>The loss and its gradients; the tensors are in the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">As for <see cref="Compute"/>.</exception>
    public static LossGradients ComputeGradients(TorchTensor images, TorchTensor texts, double scale, TorchTensor? weights = null, int rows = 1024)
    {
        PairLoss.RequirePairs(images, texts);
        using var noTape = torch.no_grad();
        using DisposeScope scope = torch.NewDisposeScope();
        (images, texts) = (images.detach(), texts.detach());
        TorchTensor w = PairLoss.Weights(weights, images), counts = w.log();
        double total = w.sum().Number(), value = 0, byScale = 0;
        long n = images.shape[0];
        TorchTensor transposed = texts.transpose(0, 1);
        TorchTensor byRow = torch.empty(n, images.dtype, images.device);                                      // r
        TorchTensor byColumn = Arithmetic.Full([n], double.NegativeInfinity, images.dtype, images.device);           // c
        PairLoss.InPieces(n, rows, (first, count) =>
        {
            TorchTensor logits = images.narrow(0, first, count).matmul(transposed).Times(scale);                   // [count, n]
            byRow.narrow(0, first, count).copy_(logits.Plus(counts.unsqueeze(0)).logsumexp(1));
            byColumn.copy_(torch.logaddexp(byColumn, logits.Plus(counts.narrow(0, first, count).unsqueeze(1)).logsumexp(0)));
        });
        TorchTensor byImages = torch.empty_like(images), byTexts = torch.zeros_like(texts);
        PairLoss.InPieces(n, rows, (first, count) =>
        {
            TorchTensor some = images.narrow(0, first, count), cosines = some.matmul(transposed), logits = cosines.Times(scale);
            TorchTensor own = w.narrow(0, first, count), r = byRow.narrow(0, first, count);
            // The weights go into the exponents: of a pair that is not there l may be far above r, and 0 times infinity is no number.
            TorchTensor gradient = (own.unsqueeze(1) * (logits.Plus(counts.unsqueeze(0)) - r.unsqueeze(1)).exp())
                .Plus(w.unsqueeze(0) * (logits.Plus(counts.narrow(0, first, count).unsqueeze(1)) - byColumn.unsqueeze(0)).exp())
                .DividedBy(2 * total);
            gradient.diagonal(first).sub_(own.DividedBy(total));
            value += (own * (r.Plus(byColumn.narrow(0, first, count)).Times(0.5) - logits.diagonal(first))).sum().Number();
            byScale += (gradient * cosines).sum().Number();
            byImages.narrow(0, first, count).copy_(gradient.matmul(texts).Times(scale));
            byTexts.AddInPlace(gradient.transpose(0, 1).matmul(some), scale);
        });
        return new LossGradients(value / total, byImages.MoveToOuterDisposeScope(), byTexts.MoveToOuterDisposeScope(), byScale, 0);
    }
}
