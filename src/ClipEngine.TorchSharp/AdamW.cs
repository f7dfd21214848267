using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// AdamW: weight decay apart from the gradient (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2), as
/// <c>torch.optim.AdamW</c> computes it.
/// </summary>
/// <remarks>TorchSharp's own passes numbers that may be finalized while they are read (<see cref="Arithmetic"/>).</remarks>
internal sealed class AdamW : IDisposable
{
    private readonly ClipTrainerOptions _options;
    private readonly Moments[] _moments;

    /// <summary>With moments of zero.</summary>
    /// <param name="parameters">What is trained. Those of two dimensions and more decay.</param>
    /// <param name="options">The constants.</param>
    public AdamW(IEnumerable<(string Name, Parameter Value)> parameters, ClipTrainerOptions options)
    {
        _options = options;
        LearningRate = options.LearningRate;
        using var noTape = torch.no_grad();
        _moments = [.. parameters.Select(static parameter => new Moments(parameter.Name, parameter.Value,
            torch.zeros_like(parameter.Value).DetachFromDisposeScope(), torch.zeros_like(parameter.Value).DetachFromDisposeScope()))];
    }

    /// <summary>The next step's.</summary>
    public double LearningRate { get; set; }

    /// <summary>Steps so far: t of the bias corrections.</summary>
    public long Steps { get; set; }

    /// <summary>Means of the gradients and of their squares, by parameter.</summary>
    public IReadOnlyList<Moments> States => _moments;

    /// <summary>Updates every parameter that has a gradient.</summary>
    public void Step()
    {
        using var noTape = torch.no_grad();
        Steps++;
        double first = 1 - Math.Pow(_options.Beta1, Steps), second = 1 - Math.Pow(_options.Beta2, Steps);
        foreach (Moments moments in _moments)
        {
            using DisposeScope scope = torch.NewDisposeScope();
            if (moments.Parameter.grad is not { } gradient)
                continue;
            if (moments.Parameter.dim() >= 2)
                moments.Parameter.MultiplyInPlace(1 - (LearningRate * _options.WeightDecay));
            moments.Mean.MultiplyInPlace(_options.Beta1).AddInPlace(gradient, 1 - _options.Beta1);
            moments.Square.MultiplyInPlace(_options.Beta2).AddProductInPlace(gradient, gradient, 1 - _options.Beta2);
            TorchTensor root = moments.Square.sqrt().DividedBy(Math.Sqrt(second)).AddInPlace(_options.Epsilon);
            moments.Parameter.AddQuotientInPlace(moments.Mean, root, -LearningRate / first);
        }
    }

    /// <summary>Forgets the gradients.</summary>
    public void ZeroGradients()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        foreach (Moments moments in _moments)
            moments.Parameter.grad?.zero_();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Moments moments in _moments)
        {
            moments.Mean.Dispose();
            moments.Square.Dispose();
        }
    }

    /// <summary>A parameter and what AdamW remembers of it.</summary>
    /// <param name="Name">Its key in the checkpoint.</param>
    /// <param name="Parameter">The parameter.</param>
    /// <param name="Mean">Of its gradients, <c>exp_avg</c>, in its own shape.</param>
    /// <param name="Square">Of their squares, <c>exp_avg_sq</c>.</param>
    internal sealed record Moments(string Name, Parameter Parameter, TorchTensor Mean, TorchTensor Square);
}
