using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Every backend that is present: the parity tests run over each.</summary>
internal static class BackendsUnderTest
{
    /// <summary>The toy, and the processor once for every instruction set that it has.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["toy", .. Enumerable.Range(0, CpuInformation.BestInstructionSet + 1).Select(set => $"cpu/{CpuInformation.NameOf(set)}")];

    public static IBackend Create(string name) => name switch
    {
        "toy" => new ToyBackend(),
        _ when name.StartsWith("cpu/", StringComparison.Ordinal) => CpuBackend.Create(new CpuBackendOptions
        {
            InstructionSet = (CpuInstructionSet)Enumerable.Range(0, CpuInformation.BestInstructionSet + 1).First(set => name.EndsWith($"/{CpuInformation.NameOf(set)}", StringComparison.Ordinal)),
        }),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "Unknown backend."),
    };
}
