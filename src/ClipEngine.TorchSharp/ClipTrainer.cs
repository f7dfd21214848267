using ClipEngine.Tensors;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// Trains a model by AdamW: batches of any size in the memory of a part, gradients collected over several batches, mixed precision, and
/// a state that can be saved and gone on with.
/// </summary>
/// <remarks>
/// Mixed precision is the <see cref="ClipModules"/>' compute type: with bf16 or fp16 products take rounded operands while parameters,
/// gradients of parameters, norms, softmax and the loss stay fp32. With fp16 the loss is scaled so that small gradients do not vanish, and
/// a step whose gradients overflow is left out and the scale halved (arXiv:1710.03740, section 3.2).
/// </remarks>
/// <example>
/// <code>
/// using ClipModules clip = ClipModules.Load("models/ViT-B-32");
/// using var trainer = new ClipTrainer(clip, new() { LearningRate = 1e-5, WeightDecay = 0.1, PairsAtOnce = 64 });
/// foreach (var (pixels, ids, weights) in batches)
///     Console.WriteLine(trainer.Step(pixels, ids, weights));
/// trainer.Save("tuned");
/// </code>
/// </example>
public sealed partial class ClipTrainer : IDisposable
{
    private readonly ClipModules _clip;
    private readonly ClipTrainerOptions _options;
    private readonly AdamW _optimizer;
    private int _accumulated, _finiteSteps;

    /// <summary>Prepares training; the model is put in the state <c>train()</c>.</summary>
    /// <param name="clip">The model, which stays the caller's.</param>
    /// <param name="options">How to train.</param>
    public ClipTrainer(ClipModules clip, ClipTrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(clip);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.PairsAtOnce ?? 1, 1, nameof(options));
        _clip = clip;
        _options = options;
        _optimizer = new AdamW(clip.named_parameters(), options);
        LossScale = clip.ComputeType == ElementType.Float16 ? 65536 : 1;
        clip.train();
        _optimizer.ZeroGradients();
    }

    /// <summary>Steps so far, those before a <see cref="Resume"/> and those that fp16 left out included: how many batches (or groups of batches) were used.</summary>
    public long Steps { get; private set; }

    /// <summary>The size of the next step.</summary>
    public double LearningRate
    {
        get => _optimizer.LearningRate;
        set => _optimizer.LearningRate = value;
    }

    /// <summary>The factor on fp16's gradients on their way through the towers; 1 in other types.</summary>
    public double LossScale { get; private set; }

    /// <summary>One step on one batch: <see cref="Accumulate"/> and <see cref="Apply"/>.</summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <param name="ids"><c>[n, length]</c>, row i belonging to image i.</param>
    /// <param name="weights"><c>[n]</c>, how often each pair counts; null for once.</param>
    /// <returns>The loss of the batch before the step, in nats.</returns>
    public double Step(TorchTensor pixels, TorchTensor ids, TorchTensor? weights = null)
    {
        double loss = Accumulate(pixels, ids, weights);
        Apply();
        return loss;
    }

    /// <summary>
    /// Adds a batch's gradients to those since the last step. Counter-examples are those of the batch alone: several batches are not
    /// one large one, for which there is <see cref="ClipTrainerOptions.PairsAtOnce"/>.
    /// </summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <param name="ids"><c>[n, length]</c>, row i belonging to image i.</param>
    /// <param name="weights"><c>[n]</c>, how often each pair counts; null for once.</param>
    /// <returns>The loss of the batch, in nats.</returns>
    public double Accumulate(TorchTensor pixels, TorchTensor ids, TorchTensor? weights = null)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        ArgumentNullException.ThrowIfNull(ids);
        using DisposeScope scope = torch.NewDisposeScope();
        long count = pixels.shape[0], piece = Math.Min(count, _options.PairsAtOnce ?? count);
        if (ids.shape[0] != count || count == 0)
            throw new ArgumentException($"expected as many sentences as images, found {ids.shape[0]} and {count}.", nameof(ids));
        TorchTensor images = Encode(pixels, piece, _clip.EncodeImages), texts = Encode(ids, piece, _clip.EncodeTexts);
        double scale = Math.Exp(_clip.LogitScale.Number());
        LossGradients loss = _clip.LogitBias is { } bias
            ? SigmoidLoss.ComputeGradients(images, texts, scale, bias.Number(), weights, _options.LogitRows)
            : ContrastiveLoss.ComputeGradients(images, texts, scale, weights, _options.LogitRows);
        Backward(pixels, piece, _clip.EncodeImages, images, loss.Images);
        Backward(ids, piece, _clip.EncodeTexts, texts, loss.Texts);
        _clip.LogitScale.exp().Times(loss.Scale * LossScale).sum().backward();
        if (_clip.LogitBias is { } shift)
            shift.Times(loss.Bias * LossScale).sum().backward();
        _accumulated++;
        return loss.Value;
    }

    /// <summary>Takes the step: AdamW on the mean of the gradients of the batches since the last one, then <see cref="ClipModules.ClampLogitScale"/>.</summary>
    /// <returns>False where fp16's gradients overflowed: nothing was changed but <see cref="LossScale"/>.</returns>
    /// <exception cref="InvalidOperationException">There was no batch.</exception>
    public bool Apply()
    {
        if (_accumulated == 0)
            throw new InvalidOperationException("There is no batch since the last step.");
        using DisposeScope scope = torch.NewDisposeScope(); // gradients that are looked at are managed objects of their own
        bool isFinite = Unscale(1 / (LossScale * _accumulated));
        if (isFinite)
        {
            _optimizer.Step();
            _clip.ClampLogitScale();
        }

        Steps++;
        if (_clip.ComputeType == ElementType.Float16)
            Rescale(isFinite);
        _optimizer.ZeroGradients();
        _accumulated = 0;
        return isFinite;
    }

    /// <summary>Releases the optimiser; the model stays the caller's.</summary>
    public void Dispose() => _optimizer.Dispose();

    /// <summary>As open_clip: <c>p.ndim &lt; 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n</c> does not decay, and all that this names has less than two dimensions.</summary>
    /// <summary>Features of a whole batch. With a tape where it passes in one piece, else without, for the loss alone.</summary>
    private TorchTensor Encode(TorchTensor input, long piece, Func<TorchTensor, bool, TorchTensor> encode)
    {
        long count = input.shape[0];
        if (piece == count)
            return encode(input, true);
        using var noTape = torch.no_grad();
        _clip.UpdatesStatistics = false;
        try
        {
            var parts = new List<TorchTensor>();
            PairLoss.InPieces(count, piece, (first, length) => parts.Add(encode(input.narrow(0, first, length), true).DetachFromDisposeScope()));
            TorchTensor features = torch.cat(parts, 0);
            parts.ForEach(static part => part.Dispose());
            return features;
        }
        finally
        {
            _clip.UpdatesStatistics = true;
        }
    }

    private void Backward(TorchTensor input, long piece, Func<TorchTensor, bool, TorchTensor> encode, TorchTensor features, TorchTensor gradient)
    {
        TorchTensor scaled = LossScale == 1 ? gradient : gradient.Times(LossScale);
        if (features.requires_grad)
        {
            features.backward([scaled]);
            return;
        }

        PairLoss.InPieces(input.shape[0], piece, (first, length) => encode(input.narrow(0, first, length), true).backward([scaled.narrow(0, first, length)]));
    }

    /// <summary>Divides all gradients by what they were multiplied with.</summary>
    /// <returns>Whether all are finite; not asked where nothing was scaled.</returns>
    private bool Unscale(double factor)
    {
        if (factor == 1)
            return true;
        using var noTape = torch.no_grad();
        TorchTensor? sum = null;
        foreach (AdamW.Moments moments in _optimizer.States)
        {
            if (moments.Parameter.grad is not { } gradient)
                continue;
            gradient.MultiplyInPlace(factor);
            if (LossScale != 1)
                sum = sum is null ? gradient.sum() : sum.Plus(gradient.sum()); // not finite where any element is not
        }

        return sum is null || double.IsFinite(sum.Number());
    }

    private void Rescale(bool isFinite)
    {
        const int StepsToGrow = 2000;
        _finiteSteps = isFinite ? _finiteSteps + 1 : 0;
        if (!isFinite)
        {
            LossScale = Math.Max(1, LossScale / 2);
        }
        else if (_finiteSteps == StepsToGrow)
        {
            LossScale *= 2;
            _finiteSteps = 0;
        }
    }
}
