namespace ClipEngine.Native;

/// <summary>Something that a processor does at a highest rate, whatever the program.</summary>
internal enum ProcessorCeiling
{
    /// <summary>Operations of fused multiply-adds on fp32 in registers, two each.</summary>
    Float32 = 0,

    /// <summary>Operations of TDPBF16PS (<c>amx</c>) or VDPBF16PS in registers; not where the instruction set lacks them.</summary>
    BFloat16 = 1,

    /// <summary>Operations of TDPBUSD (<c>amx</c>) or VPDPBUSD on 8-bit integers in registers; not where the instruction set lacks them.</summary>
    Int8 = 2,

    /// <summary>Bytes read from memory that no cache holds (512 MiB).</summary>
    MemoryRead = 3,
}

/// <summary>What this processor can do at best, measured: the figures that everything else is a share of.</summary>
internal static class ProcessorCeilings
{
    /// <summary>Measures on all threads of <see cref="NativeThreads"/>.</summary>
    /// <param name="ceiling">What.</param>
    /// <param name="time">About how long it may take; some tenths of a second are enough.</param>
    /// <param name="instructionSet">A name of <see cref="CpuInformation.InstructionSets"/>; null for the one that is used by default.</param>
    /// <returns>Operations or bytes a second, the best of several runs; null where the instruction set has no such instruction, or there is not enough memory.</returns>
    /// <exception cref="BadInputException">There is no such instruction set, or it cannot be used here.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static double? Measure(ProcessorCeiling ceiling, TimeSpan time, string? instructionSet = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero);
        NativeStatus status = NativeMethods.CeilingMeasure((int)ceiling, instructionSet is null ? CpuInformation.DefaultInstructionSet : CpuInformation.InstructionSetOf(instructionSet), time.TotalSeconds, out double rate);
        if (status is NativeStatus.Unsupported or NativeStatus.OutOfMemory)
            return null;
        status.ThrowIfFailed();
        return rate;
    }
}
