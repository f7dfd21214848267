using System.Runtime.InteropServices;

namespace ClipEngine.Devices;

/// <summary>
/// What TorchSharp needs of the system, found out without loading it: its own loader prints a page to standard output, copies
/// libtorch beside the program and then blames a package that is there.
/// </summary>
internal static class TorchSharpRequirements
{
    /// <summary>The one symbol of GLIBCXX_3.4.32 that TorchSharp 0.107's library uses; libtorch itself asks for less.</summary>
    private const string Symbol = "_ZSt21ios_base_library_initv";

    /// <summary>One sentence that says what the system lacks; null where it has everything.</summary>
    public static string? FindMissing()
    {
        if (!OperatingSystem.IsLinux())
            return null;
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return $"TorchSharp has no library for Linux on {RuntimeInformation.ProcessArchitecture}; its packages have one for x64";
        if (!NativeLibrary.TryLoad("libstdc++.so.6", out nint library))
            return "TorchSharp needs the C++ runtime libstdc++.so.6, which this system does not have";
        bool isNewEnough = NativeLibrary.TryGetExport(library, Symbol, out _);
        NativeLibrary.Free(library);
        return isNewEnough ? null
            : "TorchSharp needs GLIBCXX_3.4.32, which this system's libstdc++.so.6 does not have; Debian 13, Ubuntu 24.04, Fedora 39 and later systems have it";
    }
}
