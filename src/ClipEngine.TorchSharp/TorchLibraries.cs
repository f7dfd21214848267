using System.Runtime.InteropServices;
using ClipEngine.Devices;
using TorchSharp;

namespace ClipEngine.TorchSharp;

/// <summary>
/// Whether libtorch can be loaded, asked of the system before TorchSharp asks: where it cannot, TorchSharp searches the NuGet folder,
/// copies libtorch beside the program, prints to standard output what it tried, and names the wrong cause.
/// </summary>
internal static class TorchLibraries
{
    private static readonly Lazy<string?> s_missing = new(Look);

    /// <summary>One sentence that says why TorchSharp cannot be used here; null where it can.</summary>
    public static string? FindMissing() => s_missing.Value;

    /// <summary>Why there is no CUDA device, where libtorch itself can be loaded; null where there is one.</summary>
    public static string? FindMissingForCuda()
    {
        if (!TryLoad(OperatingSystem.IsWindows() ? "torch_cuda" : "libtorch_cuda.so"))
            return "this libtorch is the one for processors; build with -p:LibTorchPackage=libtorch-cuda-12.8-linux-x64 or another for CUDA";
        return torch.TryInitializeDeviceType(DeviceType.CUDA) && torch.cuda.device_count() > 0 ? null : "libtorch finds no CUDA device (NVIDIA's driver must be installed)";
    }

    private static string? Look()
    {
        if (TorchSharpRequirements.FindMissing() is { } missing)
            return missing;
        // In TorchSharp's own order; what is loaded stays loaded, and TorchSharp finds it by the same names.
        foreach (string name in new[] { "torch_cpu", "LibTorchSharp" })
        {
            if (!TryLoad(name))
                return $"the library {name} cannot be loaded; the program must be built with a libtorch (LibTorchPackage in Directory.Packages.props), and TorchSharp {Version} needs that of its own version";
        }

        return null;
    }

    /// <summary>TorchSharp's version, as its package is called.</summary>
    public static string Version => typeof(torch).Assembly.GetName().Version?.ToString(3) ?? "of unknown version";

    private static bool TryLoad(string name) => NativeLibrary.TryLoad(name, typeof(torch).Assembly, null, out _);
}
