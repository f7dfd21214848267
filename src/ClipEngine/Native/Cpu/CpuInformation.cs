using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>What processor this is and what of it is used.</summary>
internal static unsafe class CpuInformation
{
    /// <summary>The environment variable that forces a lower instruction set: <c>portable</c>, <c>avx2</c>, <c>avx512</c>, <c>avx512_vnni</c> or <c>avx512_bf16</c>.</summary>
    public const string Variable = "CLIPENGINE_CPU";

    /// <summary>The processor's own name, as the system reports it.</summary>
    public static string ModelName { get; } = ReadModelName();

    /// <summary>The instruction sets that processor, system and this build have, lowest first.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static IReadOnlyList<string> InstructionSets => [.. Enumerable.Range(0, BestInstructionSet + 1).Select(NameOf)];

    /// <summary>The one that is used: the best, or the lower one that <see cref="Variable"/> names.</summary>
    /// <exception cref="BadInputException"><see cref="Variable"/> names none, or one that the processor lacks.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static string InstructionSet => NameOf(DefaultInstructionSet);

    /// <summary>Every set up to the best is there: each includes those before it.</summary>
    internal static int BestInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            return NativeMethods.CpuIsaBest();
        }
    }

    internal static int DefaultInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            NativeMethods.CpuIsaDefault(out int isa).ThrowIfFailed(Variable);
            return isa;
        }
    }

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
