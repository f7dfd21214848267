using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>Loads the native libraries, each at its first use, and makes sure that they speak the same ABI as this assembly.</summary>
internal static class NativeLoader
{
    /// <summary><c>CLIPENGINE_ABI_VERSION</c> of the header that this assembly was written against.</summary>
    internal const int AbiVersion = 2;

    private const string Rebuild = "Build it with 'dotnet build', or add the package ClipEngine of this version.";
    private static readonly Lock s_lock = new();
    private static volatile bool _isLoaded, _areImagesLoaded;
    private static bool s_looksInRuntimes;

    /// <summary>Every struct that crosses the border of <c>libclipengine</c>, by its C name.</summary>
    internal static (string Name, int Size)[] StructSizes =>
    [
        ("clipengine_status", Unsafe.SizeOf<NativeStatus>()),
        ("clipengine_sweep_total", Unsafe.SizeOf<Int128>()),
        ("clipengine_sweep_plan", Unsafe.SizeOf<NativeSweepPlan>()),
        ("clipengine_sweep_batch", Unsafe.SizeOf<NativeSweepBatch>()),
        ("clipengine_cpu_attention", Unsafe.SizeOf<NativeMethods.CpuAttention>()),
        ("clipengine_cpu_block", Unsafe.SizeOf<NativeMethods.CpuBlock>()),
        ("clipengine_cpu_convolution", Unsafe.SizeOf<NativeMethods.CpuConvolution>()),
        ("clipengine_cpu_convolution_block", Unsafe.SizeOf<NativeMethods.CpuConvolutionBlock>()),
        ("clipengine_cpu_read", Unsafe.SizeOf<NativeMethods.CpuRead>()),
    ];

    /// <summary>The same for <c>libclipengine_image</c>.</summary>
    internal static (string Name, int Size)[] ImageStructSizes =>
    [
        ("clipengine_image_info", Unsafe.SizeOf<NativeImageInfo>()),
        ("clipengine_image_transform", Unsafe.SizeOf<NativeImageTransform>()),
    ];

    /// <summary>Loads <c>libclipengine</c> and compares; cheap after the first time.</summary>
    /// <exception cref="NativeLibraryException">The library is missing or another version.</exception>
    internal static void EnsureLoaded()
    {
        if (!_isLoaded)
            Load(NativeMethods.Library, NativeMethods.AbiVersion, NativeMethods.StructSize, StructSizes);
        _isLoaded = true;
    }

    /// <summary>The same for <c>libclipengine_image</c>, which only images need.</summary>
    /// <exception cref="NativeLibraryException">The library is missing or another version.</exception>
    internal static void EnsureImagesLoaded()
    {
        if (!_areImagesLoaded)
            Load(NativeMethods.ImageLibrary, NativeMethods.ImageAbiVersion, NativeMethods.ImageStructSize, ImageStructSizes);
        _areImagesLoaded = true;
    }

    /// <summary>Throws unless version and struct sizes agree.</summary>
    /// <param name="library">The library's file.</param>
    /// <param name="version">Its ABI version.</param>
    /// <param name="sizeOf">Its size of a struct by its C name; -1 where it has none.</param>
    /// <param name="expectedSizes">Ours.</param>
    internal static void Compare(string library, int version, Func<string, long> sizeOf, (string Name, int Size)[] expectedSizes)
    {
        if (version != AbiVersion)
            throw new NativeLibraryException($"The {library} that was found is of another version: expected ABI {AbiVersion}, found {version}. {Rebuild}");
        foreach ((string name, int expected) in expectedSizes)
        {
            long found = sizeOf(name);
            if (found != expected)
                throw new NativeLibraryException($"The {library} that was found is of another version: {name} has {found} bytes there, expected {expected}. {Rebuild}");
        }
    }

    /// <summary>Why there is no native library for a system, in one sentence that names those that have one; null where there should be one.</summary>
    /// <param name="runtimeIdentifier">.NET's name of the system: <c>linux-musl-x64</c>, <c>osx-arm64</c>.</param>
    /// <param name="platform">The operating system.</param>
    /// <param name="architecture">The process's.</param>
    internal static string? WhyUnsupported(string runtimeIdentifier, OSPlatform platform, Architecture architecture)
    {
        bool isMusl = runtimeIdentifier.Contains("musl", StringComparison.Ordinal) || runtimeIdentifier.StartsWith("alpine", StringComparison.Ordinal);
        bool isSupported = platform == OSPlatform.Windows ? architecture == Architecture.X64
            : platform == OSPlatform.Linux && !isMusl && architecture is Architecture.X64 or Architecture.Arm64;
        return isSupported ? null : $"ClipEngine runs on linux-x64 and linux-arm64 with glibc 2.31 or newer and on win-x64, and this is {runtimeIdentifier}.";
    }

    private static OSPlatform CurrentPlatform() => OperatingSystem.IsWindows() ? OSPlatform.Windows : OperatingSystem.IsLinux() ? OSPlatform.Linux : OSPlatform.Create("OTHER");

    /// <summary>
    /// One folder may hold the libraries of several systems, as the tool's package does: <c>runtimes/linux-arm64/native</c>. This system's are looked for
    /// there first, because the file beside the assembly may be another's.
    /// </summary>
    private static nint Find(string library, Assembly assembly, DllImportSearchPath? searchPath)
    {
        string system = OperatingSystem.IsWindows() ? "win" : "linux", architecture = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "x64";
        string path = Path.Combine(AppContext.BaseDirectory, "runtimes", $"{system}-{architecture}", "native", FileName(library));
        return File.Exists(path) && NativeLibrary.TryLoad(path, out nint handle) ? handle : 0;
    }

    private static string FileName(string library) => library + (OperatingSystem.IsWindows() ? ".dll" : ".so");

    private static void Load(string name, Func<int> version, Func<string, long> sizeOf, (string Name, int Size)[] expectedSizes)
    {
        lock (s_lock)
        {
            if (!s_looksInRuntimes)
                NativeLibrary.SetDllImportResolver(typeof(NativeLoader).Assembly, Find);
            s_looksInRuntimes = true;
        }

        string library = FileName(name);
        try
        {
            Compare(library, version(), sizeOf, expectedSizes);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException &&
            WhyUnsupported(RuntimeInformation.RuntimeIdentifier, CurrentPlatform(), RuntimeInformation.ProcessArchitecture) is { } reason)
        {
            throw new NativeLibraryException(reason, exception);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            throw new NativeLibraryException($"The native library {library} was not found or could not be loaded. {Rebuild} ({exception.Message})", exception);
        }
        catch (EntryPointNotFoundException exception)
        {
            throw new NativeLibraryException($"The {library} that was found is of another version. {Rebuild} ({exception.Message})", exception);
        }
    }
}
