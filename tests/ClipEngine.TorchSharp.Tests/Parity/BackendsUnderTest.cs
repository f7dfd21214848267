using ClipEngine.Tensors;
using ClipEngine.TorchSharp;

namespace ClipEngine.Tests.Models;

/// <summary>What the parity suite runs over in this project: libtorch on the processor in fp32 and fp64, and on the first GPU where there is one.</summary>
internal static class BackendsUnderTest
{
    public static IReadOnlyList<string> Names { get; } =
        ["cpu/Float32", "cpu/Float64", .. global::TorchSharp.torch.cuda.is_available() ? ["cuda:0/Float32"] : Array.Empty<string>()];

    public static IBackend Create(string name) => TorchBackend.Create(new TorchBackendOptions
    {
        Device = name.Split('/')[0],
        ComputeType = Enum.Parse<ElementType>(name.Split('/')[1]),
    });
}
