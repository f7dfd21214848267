using TorchSharp;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>Whether a piece of code gives back the tensors that it makes.</summary>
/// <remarks>
/// libtorch's count is one for the whole process. Tensors that earlier tests left to the finalizer would be counted before and given
/// back in the middle: they are collected first, and a count that still fell is no leak.
/// </remarks>
internal static class LiveTensors
{
    /// <summary>The number of tensors that are alive, after everything unreachable was finalized.</summary>
    public static long Count()
    {
        for (int i = 0; i < 2; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        return torch.Tensor.TotalCount;
    }

    /// <summary>Fails if more tensors are alive than the allowed number. Nothing is collected here, which would hide a leak.</summary>
    public static void AssertAtMost(long allowed)
    {
        long now = torch.Tensor.TotalCount;
        Assert.True(now <= allowed, $"{now - allowed} tensors were not given back");
    }
}
