namespace ClipEngine.TorchSharp;

/// <summary>How a model is trained. What changes a result has no silent default.</summary>
public sealed record ClipTrainerOptions
{
    /// <summary>AdamW's step size; <see cref="ClipTrainer.LearningRate"/> follows a schedule from there.</summary>
    public required double LearningRate { get; init; }

    /// <summary>
    /// AdamW's decay of weights, applied apart from the gradient (arXiv:1711.05101). Named, because PyTorch's default is 0.01 and
    /// TorchSharp's is 0. As in open_clip it is for matrices and kernels alone: vectors (biases, the gains of norms), <c>logit_scale</c> and
    /// <c>logit_bias</c> do not decay.
    /// </summary>
    public required double WeightDecay { get; init; }

    /// <summary>AdamW's decay of the mean of gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>AdamW's decay of the mean of squared gradients; open_clip's for vision transformers.</summary>
    public double Beta2 { get; init; } = 0.98;

    /// <summary>Added to AdamW's denominator; open_clip's for vision transformers.</summary>
    public double Epsilon { get; init; } = 1e-6;

    /// <summary>
    /// Pairs that pass the towers at once with what their gradients need; null for the whole batch. A batch of any size costs the memory of
    /// this many and of its features: the features are made first, then the loss and its gradients by them, then each piece passes again.
    /// The loss is that of the whole batch, with all of its counter-examples.
    /// </summary>
    public int? PairsAtOnce { get; init; }

    /// <summary>Rows of the batch's n x n logits at a time.</summary>
    public int LogitRows { get; init; } = 1024;
}
