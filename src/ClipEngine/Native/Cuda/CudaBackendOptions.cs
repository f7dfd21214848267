using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>How the CUDA backend computes.</summary>
public sealed record CudaBackendOptions
{
    /// <summary>The driver's number of the device.</summary>
    public int Device { get; init; }

    /// <summary>
    /// What matrix products and attention take in: <see cref="ElementType.Float32"/> (true fp32, no tensor cores),
    /// <see cref="ElementType.BFloat16"/> or <see cref="ElementType.Float16"/>. Sums, layer norms, softmax and the residual
    /// stream are fp32 throughout.
    /// </summary>
    public ElementType ComputeType { get; init; } = ElementType.Float32;

    /// <summary>
    /// With <see cref="ElementType.Float32"/>: products on tensor cores in tf32, whose operands keep 10 bits of mantissa; their
    /// sums, attention and all else stay fp32.
    /// </summary>
    public bool Tf32 { get; init; }

    /// <summary>
    /// With <see cref="ElementType.BFloat16"/>: linear layers multiply fp8 (e4m3), weights with a scale for each output channel,
    /// activations with a scale for each token; sums are the tensor cores' own. Attention, the patch embedding and the final projection
    /// stay bf16. For GPUs of compute capability 8.9 and later.
    /// </summary>
    public bool Fp8 { get; init; }

    /// <summary>Where compiled kernels lie and are kept; null for the folder <c>kernels</c> in the user's cache.</summary>
    public string? KernelFolder { get; init; }

    /// <summary>The library to open; tests name the emulated twin.</summary>
    internal string? LibraryPath { get; init; }
}
