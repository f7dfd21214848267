using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary>How a device computes, in the words that all of them share. A device that has no such way refuses.</summary>
public sealed record BackendOptions
{
    /// <summary>What matrix products are computed in; fp32 is the reference.</summary>
    public ElementType ComputeType { get; init; } = ElementType.Float32;

    /// <summary>With fp32 on a GPU: products on tensor cores with 10 bits of mantissa.</summary>
    public bool Tf32 { get; init; }

    /// <summary>With bf16 on a GPU: linear layers in 8-bit floating point (e4m3).</summary>
    public bool Fp8 { get; init; }

    /// <summary>Processor threads, one setting for the process; null leaves it as it is.</summary>
    public int? Threads { get; init; }

    /// <summary>On the processor: the instruction set by the name that <c>clipengine devices</c> shows, <c>avx512_vnni</c> for one; null for the fastest, or what <c>CLIPENGINE_CPU</c> names.</summary>
    public string? InstructionSet { get; init; }

    /// <summary>The compute type as <see cref="Parse"/> reads it.</summary>
    public string TypeName => (Tf32, Fp8, ComputeType) switch
    {
        (true, _, _) => "tf32",
        (_, true, _) => "fp8",
        (_, _, ElementType.Float32) => "fp32",
        (_, _, ElementType.BFloat16) => "bf16",
        (_, _, ElementType.Float16) => "fp16",
        (_, _, ElementType.Int8) => "int8",
        (_, _, ElementType.Float64) => "fp64",
        _ => ComputeType.ToString(),
    };

    /// <summary>Reads the name of a compute type.</summary>
    /// <param name="name"><c>fp32</c>, <c>bf16</c>, <c>fp16</c>, <c>int8</c>, <c>tf32</c> or <c>fp8</c>.</param>
    /// <param name="source">The option or file that says so, for the message.</param>
    /// <exception cref="BadInputException">It is none of these.</exception>
    public static BackendOptions Parse(string name, string source)
    {
        ElementType type = name switch
        {
            "fp32" or "tf32" => ElementType.Float32,
            "bf16" or "fp8" => ElementType.BFloat16,
            "fp16" => ElementType.Float16,
            "int8" => ElementType.Int8,
            _ => throw new BadInputException(source, $"expected fp32, bf16, fp16, int8, tf32 or fp8, found '{BadInputException.Escape(name ?? "")}'."),
        };
        return new BackendOptions { ComputeType = type, Tf32 = name == "tf32", Fp8 = name == "fp8" };
    }
}
