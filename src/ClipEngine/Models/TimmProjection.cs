using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>What open_clip puts behind a tower of timm (<c>timm_proj</c>).</summary>
internal enum TimmProjectionKind
{
    /// <summary><c>head.proj</c>, without bias (<c>linear</c>).</summary>
    Linear,

    /// <summary>Two layers with GELU between them, the first twice as wide as a feature; only that one has a bias (<c>mlp</c>).</summary>
    Mlp,

    /// <summary>timm's own classifier is the projection, with bias (null).</summary>
    Own,
}

/// <summary>The projection behind a tower of timm, from the pooled vector to a feature.</summary>
internal sealed class TimmProjection
{
    private readonly Weight? _expandWeight, _expandBias, _bias;
    private readonly Weight _weight;

    /// <summary>Reads the projection.</summary>
    /// <param name="kind">Which of them.</param>
    /// <param name="width">Of the pooled vector.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    /// <param name="classifier">What the trunk calls its own classifier.</param>
    public TimmProjection(TimmProjectionKind kind, int width, int embedDimension, WeightReader weights, string classifier)
    {
        switch (kind)
        {
            case TimmProjectionKind.Linear:
                _weight = weights.Read("head.proj.weight", WeightRole.Linear, embedDimension, width);
                break;
            case TimmProjectionKind.Mlp:
                _expandWeight = weights.Read("head.mlp.fc1.weight", WeightRole.Linear, 2 * embedDimension, width);
                _expandBias = weights.Read("head.mlp.fc1.bias", WeightRole.Vector, 2 * embedDimension);
                _weight = weights.Read("head.mlp.fc2.weight", WeightRole.Linear, embedDimension, 2 * embedDimension);
                break;
            default:
                _weight = weights.Read($"trunk.{classifier}.weight", WeightRole.Linear, embedDimension, width);
                _bias = weights.Read($"trunk.{classifier}.bias", WeightRole.Vector, embedDimension);
                break;
        }
    }

    /// <summary>Enqueues the projection.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="pooled"><c>[n, width]</c>.</param>
    /// <returns><c>[n, embed_dim]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor pooled)
    {
        long mark = pass.EnterScope();
        Tensor x = _expandWeight is null ? pooled : pass.Linear(pooled, _expandWeight, _expandBias, new Epilogue { Activation = Activation.Gelu });
        return pass.LeaveScope(mark, pass.Linear(x, _weight, _bias));
    }
}
