using ClipEngine.Tensors;

namespace ClipEngine.TorchSharp;

/// <summary>Where and how the TorchSharp backend computes.</summary>
public sealed record TorchBackendOptions
{
    /// <summary>The device in PyTorch's words: <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>
    /// What matrix products and convolutions take in. <see cref="ElementType.Float32"/>: the reference.
    /// <see cref="ElementType.BFloat16"/> and <see cref="ElementType.Float16"/>: both operands rounded, half the memory for the weights;
    /// the processor then multiplies in fp32, a GPU in that type, whose results are rounded too. <see cref="ElementType.Float64"/>:
    /// everything in double precision, for gradient checks. Layer norms, attention, the residual stream and the last projections stay
    /// fp32 (fp64 where that is asked for).
    /// </summary>
    public ElementType ComputeType { get; init; } = ElementType.Float32;

    /// <summary>libtorch's threads on the processor, one setting for the process; null leaves it as it is.</summary>
    public int? Threads { get; init; }
}
