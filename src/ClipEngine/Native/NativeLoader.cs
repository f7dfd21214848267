using System.Runtime.CompilerServices;

namespace ClipEngine.Native;

/// <summary>Loads the native libraries, each at its first use, and makes sure that they speak the same ABI as this assembly.</summary>
internal static class NativeLoader
{
    /// <summary><c>CLIPENGINE_ABI_VERSION</c> of the header that this assembly was written against.</summary>
    internal const int AbiVersion = 2;

    private const string Rebuild = "Build it with 'dotnet build', or add the package ClipEngine of this version.";
    private static volatile bool _isLoaded, _areImagesLoaded;

    /// <summary>Every struct that crosses the border of <c>libclipengine.so</c>, by its C name.</summary>
    internal static (string Name, int Size)[] StructSizes =>
    [
        ("clipengine_status", Unsafe.SizeOf<NativeStatus>()),
        ("clipengine_sweep_total", Unsafe.SizeOf<Int128>()),
        ("clipengine_sweep_plan", Unsafe.SizeOf<NativeSweepPlan>()),
        ("clipengine_sweep_batch", Unsafe.SizeOf<NativeSweepBatch>()),
        ("clipengine_cpu_attention", Unsafe.SizeOf<NativeMethods.CpuAttention>()),
        ("clipengine_cpu_block", Unsafe.SizeOf<NativeMethods.CpuBlock>()),
        ("clipengine_cpu_convolution", Unsafe.SizeOf<NativeMethods.CpuConvolution>()),
    ];

    /// <summary>The same for <c>libclipengine_image.so</c>.</summary>
    internal static (string Name, int Size)[] ImageStructSizes =>
    [
        ("clipengine_image_info", Unsafe.SizeOf<NativeImageInfo>()),
        ("clipengine_image_transform", Unsafe.SizeOf<NativeImageTransform>()),
    ];

    /// <summary>Loads <c>libclipengine.so</c> and compares; cheap after the first time.</summary>
    /// <exception cref="NativeLibraryException">The library is missing or another version.</exception>
    internal static void EnsureLoaded()
    {
        if (!_isLoaded)
            Load("libclipengine.so", NativeMethods.AbiVersion, NativeMethods.StructSize, StructSizes);
        _isLoaded = true;
    }

    /// <summary>The same for <c>libclipengine_image.so</c>, which only images need.</summary>
    /// <exception cref="NativeLibraryException">The library is missing or another version.</exception>
    internal static void EnsureImagesLoaded()
    {
        if (!_areImagesLoaded)
            Load("libclipengine_image.so", NativeMethods.ImageAbiVersion, NativeMethods.ImageStructSize, ImageStructSizes);
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

    private static void Load(string library, Func<int> version, Func<string, long> sizeOf, (string Name, int Size)[] expectedSizes)
    {
        try
        {
            Compare(library, version(), sizeOf, expectedSizes);
        }
        catch (DllNotFoundException exception)
        {
            throw new NativeLibraryException($"The native library {library} was not found or could not be loaded. {Rebuild} ({exception.Message})", exception);
        }
        catch (EntryPointNotFoundException exception)
        {
            throw new NativeLibraryException($"The {library} that was found is of another version. {Rebuild} ({exception.Message})", exception);
        }
    }
}
