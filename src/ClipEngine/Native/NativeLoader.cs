using System.Runtime.CompilerServices;

namespace ClipEngine.Native;

/// <summary>Loads <c>libclipengine.so</c> once and makes sure that it speaks the same ABI as this assembly.</summary>
internal static class NativeLoader
{
    /// <summary><c>CLIPENGINE_ABI_VERSION</c> of the header that this assembly was written against.</summary>
    internal const int AbiVersion = 2;

    private const string Rebuild = "Build it with 'dotnet build', or copy the libclipengine.so of this ClipEngine beside ClipEngine.dll.";
    private static volatile bool _loaded;

    /// <summary>Every struct that crosses the border, by its C name.</summary>
    internal static (string Name, int Size)[] StructSizes =>
    [
        ("clipengine_status", Unsafe.SizeOf<NativeStatus>()),
        ("clipengine_image_info", Unsafe.SizeOf<NativeImageInfo>()),
        ("clipengine_image_transform", Unsafe.SizeOf<NativeImageTransform>()),
        ("clipengine_sweep_total", Unsafe.SizeOf<Int128>()),
        ("clipengine_sweep_plan", Unsafe.SizeOf<NativeSweepPlan>()),
        ("clipengine_sweep_batch", Unsafe.SizeOf<NativeSweepBatch>()),
        ("clipengine_cpu_attention", Unsafe.SizeOf<NativeMethods.CpuAttention>()),
        ("clipengine_cpu_block", Unsafe.SizeOf<NativeMethods.CpuBlock>()),
        ("clipengine_cpu_convolution", Unsafe.SizeOf<NativeMethods.CpuConvolution>()),
    ];

    /// <summary>Loads and compares; cheap after the first time.</summary>
    /// <exception cref="NativeLibraryException">The library is missing or another version.</exception>
    internal static void EnsureLoaded()
    {
        if (_loaded)
            return;
        try
        {
            Compare(NativeMethods.AbiVersion(), NativeMethods.StructSize);
        }
        catch (DllNotFoundException exception)
        {
            throw new NativeLibraryException($"The native library libclipengine.so was not found or could not be loaded. {Rebuild} ({exception.Message})", exception);
        }
        catch (EntryPointNotFoundException exception)
        {
            throw new NativeLibraryException($"The libclipengine.so that was found is of another version. {Rebuild} ({exception.Message})", exception);
        }

        _loaded = true;
    }

    /// <summary>Throws unless version and struct sizes agree.</summary>
    /// <param name="version">The library's ABI version.</param>
    /// <param name="sizeOf">The library's size of a struct by its C name; -1 where it has none.</param>
    internal static void Compare(int version, Func<string, long> sizeOf)
    {
        if (version != AbiVersion)
            throw new NativeLibraryException($"The libclipengine.so that was found is of another version: expected ABI {AbiVersion}, found {version}. {Rebuild}");
        foreach ((string name, int expected) in StructSizes)
        {
            long found = sizeOf(name);
            if (found != expected)
                throw new NativeLibraryException($"The libclipengine.so that was found is of another version: {name} has {found} bytes there, expected {expected}. {Rebuild}");
        }
    }
}
