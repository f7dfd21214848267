using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>What processor this is and what of it is used.</summary>
internal static unsafe class CpuInformation
{
    /// <summary>The processor's own name, as the system reports it.</summary>
    internal static string ModelName { get; } = ReadModelName();

    /// <summary>The best instruction set that the processor and the system have.</summary>
    internal static int BestInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            return NativeMethods.CpuIsaBest();
        }
    }

    /// <summary>The best, or the lower one that <c>CLIPENGINE_CPU</c> names.</summary>
    /// <exception cref="BadInputException">It names none, or one that the processor lacks.</exception>
    internal static int DefaultInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            NativeMethods.CpuIsaDefault(out int isa).ThrowIfFailed("CLIPENGINE_CPU");
            return isa;
        }
    }

    /// <summary>An instruction set's name.</summary>
    internal static string NameOf(int instructionSet) => Marshal.PtrToStringUTF8((nint)NativeMethods.CpuIsaName(instructionSet)) ?? "unknown";

    private static string ReadModelName()
    {
        try
        {
            foreach (string line in File.ReadLines("/proc/cpuinfo"))
            {
                int colon = line.IndexOf(':', StringComparison.Ordinal);
                if (colon > 0 && line.StartsWith("model name", StringComparison.Ordinal))
                    return line[(colon + 1)..].Trim();
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // No such file outside Linux: the architecture says enough.
        }

        return RuntimeInformation.ProcessArchitecture.ToString();
    }
}
