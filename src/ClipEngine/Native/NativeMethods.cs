using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>The C border, as <c>native/include/clipengine.h</c> declares it. One partial file for each of its headers.</summary>
/// <remarks>Whoever holds native state calls <see cref="NativeLoader.EnsureLoaded"/> once before its first call here.</remarks>
internal static partial class NativeMethods
{
    internal const string Library = "libclipengine"; // with "lib" on Windows too: clipengine.dll would be ClipEngine.dll there

    [LibraryImport(Library, EntryPoint = "clipengine_abi_version")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int AbiVersion();

    [LibraryImport(Library, EntryPoint = "clipengine_struct_size", StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long StructSize(string name);

    [LibraryImport(Library, EntryPoint = "clipengine_error_message")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial long ErrorMessage(byte* buffer, long capacity);

    [LibraryImport(Library, EntryPoint = "clipengine_threads_set")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus ThreadsSet(int threads);

    [LibraryImport(Library, EntryPoint = "clipengine_threads_get")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ThreadsGet();

    [LibraryImport(Library, EntryPoint = "clipengine_threads_available")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ThreadsAvailable();
}
