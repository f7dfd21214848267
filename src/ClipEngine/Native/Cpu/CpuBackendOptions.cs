using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>How the CPU backend computes.</summary>
public sealed record CpuBackendOptions
{
    /// <summary>
    /// Threads that work on one operation, or null to leave the pool as it is (at first: <see cref="NativeThreads.Available"/>).
    /// The pool is one for the process, so this is <see cref="NativeThreads.Count"/>. Features do not depend on it.
    /// </summary>
    public int? Threads { get; init; }

    /// <summary>
    /// What linear layers, patch embeddings and, in bf16, attention are computed in; sums, norms and softmax are fp32 throughout, and convolutions and
    /// the last projections stay fp32. <see cref="ElementType.Float32"/>: the reference. <see cref="ElementType.BFloat16"/>: both
    /// operands rounded to bf16, half the memory; attention only with the instruction sets <c>avx512_bf16</c> and <c>amx</c>. <see cref="ElementType.Float16"/>: weights kept as fp16,
    /// inputs and patch embeddings fp32, half the memory. <see cref="ElementType.Int8"/>: a scale for each output channel of a weight and for each token or patch, a quarter of the memory.
    /// </summary>
    public ElementType ComputeType { get; init; } = ElementType.Float32;

    /// <summary>The instruction set by the name that <c>clipengine devices</c> shows, <c>avx512_vnni</c> for one, or null for the fastest that is there or what <c>CLIPENGINE_CPU</c> names.</summary>
    public string? InstructionSet { get; init; }
}
