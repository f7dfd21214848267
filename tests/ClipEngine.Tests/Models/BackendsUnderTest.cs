using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Every backend that is present: the parity tests run over each.</summary>
internal static class BackendsUnderTest
{
    public static IReadOnlyList<string> Names { get; } = ["toy"];

    public static IBackend Create(string name) => name switch
    {
        "toy" => new ToyBackend(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "Unknown backend."),
    };
}
