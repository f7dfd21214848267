using System.Globalization;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>What processor this is and what of it is used.</summary>
internal static unsafe class CpuInformation
{
    // As clipengine_cpu.h counts them.
    private const int Avx512BFloat16 = 4;
    private const int NeonMatrix = 7;
    private const int Amx = 8;
    private const int AmxEmulated = 9;

    private const long RatesKnown = 0;
    private const long RatesKept = 2;

    /// <summary>The environment variable that forces an instruction set: <c>portable</c>, <c>avx2</c>, <c>avx512</c>, <c>avx512_vnni</c>, <c>avx512_bf16</c>, <c>neon</c>, <c>neon_dot</c>, <c>neon_matrix</c>, <c>amx</c> or <c>amx_emulated</c>.</summary>
    public const string Variable = "CLIPENGINE_CPU";

    /// <summary>The processor's own name, as the system reports it.</summary>
    public static string ModelName { get; } = ReadModelName();

    /// <summary>The instruction sets that processor, system and this build have, lowest first. <c>amx_emulated</c>, which runs anywhere and is for tests, is not among them.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static IReadOnlyList<string> InstructionSets => [.. Enumerable.Range(0, AmxEmulated).Where(set => WhyMissing(set) is null).Select(NameOf)];

    /// <summary>Names of all instruction sets that there are kernels for, lowest first.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static IReadOnlyList<string> AllInstructionSets => [.. Enumerable.Range(0, AmxEmulated + 1).Select(NameOf)];

    /// <summary>The one of <see cref="InstructionSets"/> that computes fastest here; see <see cref="BFloat16Products"/>.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static string FastestInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            return NameOf(NativeMethods.CpuIsaBest());
        }
    }

    /// <summary>
    /// What multiplies bf16 by default, and how fast against fp32: the instruction where it is the faster, by what is known of the processor's
    /// model or else by a measurement of some 20 ms that is kept in the user's cache folder; otherwise fp32 products of widened operands.
    /// </summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static string BFloat16Products
    {
        get
        {
            NativeLoader.EnsureLoaded();
            int best = NativeMethods.CpuIsaBest();
            NativeMethods.CpuRatesGet(out NativeMethods.CpuRates rates).ThrowIfFailed();
            string source = rates.Source switch
            {
                RatesKnown => "known of this processor",
                RatesKept => $"measured before: {RatesFile}",
                _ => "measured now",
            };
            return best switch
            {
                Amx => string.Create(CultureInfo.InvariantCulture, $"tile registers (TDPBF16PS), {rates.Tiles:F1} times the rate of fp32 ({source})"),
                NeonMatrix => "BFMMLA",
                Avx512BFloat16 => string.Create(CultureInfo.InvariantCulture, $"VDPBF16PS, {rates.Pairs:F1} times the rate of fp32 ({source})"),
                _ when rates.Pairs > 0 => string.Create(CultureInfo.InvariantCulture, $"widened to fp32, because VDPBF16PS reaches {rates.Pairs:F2} of its rate ({source})"),
                _ => "widened to fp32: the processor has no instruction for them",
            };
        }
    }

    private static string RatesFile => Marshal.PtrToStringUTF8((nint)NativeMethods.CpuRatesFile()) ?? "";

    /// <summary>Why AMX, Intel's tile registers, is not used: it is not in the processor, or the system or a container denies it; null where it can be used.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static string? WhyNoAmx => WhyMissing(Amx);

    /// <summary>The one that is used: the fastest, or the one that <see cref="Variable"/> names.</summary>
    /// <exception cref="BadInputException"><see cref="Variable"/> names none, or one that cannot be used here; the message says why.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static string InstructionSet => NameOf(DefaultInstructionSet);

    internal static int DefaultInstructionSet
    {
        get
        {
            NativeLoader.EnsureLoaded();
            NativeMethods.CpuIsaDefault(out int isa).ThrowIfFailed(Variable);
            return isa;
        }
    }

    /// <summary>The number of a set that can be used here.</summary>
    /// <exception cref="BadInputException">There is no such set, or it cannot be used here.</exception>
    internal static int InstructionSetOf(string name)
    {
        NativeLoader.EnsureLoaded();
        int found = AllInstructionSets.ToList().IndexOf(name);
        if (found < 0)
            throw new BadInputException("the instruction set", $"expected {string.Join(", ", AllInstructionSets)}; found '{BadInputException.Escape(name)}'.");
        return WhyMissing(found) is { } reason
            ? throw new BadInputException($"the instruction set {name}", $"{reason}.", $"There are {string.Join(", ", InstructionSets)}.")
            : found;
    }

    private static string? WhyMissing(int instructionSet)
    {
        NativeLoader.EnsureLoaded();
        if (NativeMethods.CpuIsaCheck(instructionSet) == NativeStatus.Ok)
            return null;
        string message = NativeStatusExtensions.LastMessage();
        int colon = message.IndexOf(": ", StringComparison.Ordinal);
        return colon < 0 ? message : message[(colon + 2)..];
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
