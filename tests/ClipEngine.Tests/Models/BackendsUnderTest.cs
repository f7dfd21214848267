using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Every backend that is present: the parity tests run over each.</summary>
internal static class BackendsUnderTest
{
    /// <summary>The instruction sets that the processor has, and the tile registers in software.</summary>
    public static IReadOnlyList<string> InstructionSets { get; } = [.. CpuInformation.InstructionSets, "amx_emulated"];

    /// <summary>The toy, and the processor once for every instruction set.</summary>
    public static IReadOnlyList<string> Names { get; } = ["toy", .. InstructionSets.Select(static set => $"cpu/{set}")];

    public static IBackend Create(string name) => name switch
    {
        "toy" => new ToyBackend(),
        _ when name.StartsWith("cpu/", StringComparison.Ordinal) => CpuBackend.Create(new CpuBackendOptions
        {
            InstructionSet = name["cpu/".Length..],
        }),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "Unknown backend."),
    };
}
