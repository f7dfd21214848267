using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>The part of the border that <c>clipengine_ceilings.h</c> declares.</summary>
internal static partial class NativeMethods
{
    [LibraryImport(Library, EntryPoint = "clipengine_ceiling_measure")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CeilingMeasure(int ceiling, int isa, double seconds, out double perSecond);
}
