using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

internal static unsafe partial class NativeMethods
{
    /// <summary><c>CLIPENGINE_SWEEP_CHUNK_ROWS</c>.</summary>
    internal const int SweepChunkRows = 512;

    /// <summary><c>CLIPENGINE_SWEEP_MAXIMUM_PROMPTS</c>.</summary>
    internal const int SweepMaximumPrompts = 1 << 24;

    [LibraryImport(Library, EntryPoint = "clipengine_sweep_create")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus SweepCreate(NativeSweepPlan* plan, out SweepHandle sweep, out long failedPrompt);

    [LibraryImport(Library, EntryPoint = "clipengine_sweep_destroy")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void SweepDestroy(nint sweep);

    [LibraryImport(Library, EntryPoint = "clipengine_sweep_run")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus SweepRun(SweepHandle sweep, NativeSweepBatch* batch);

    [LibraryImport(Library, EntryPoint = "clipengine_sweep_isa")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial byte* SweepInstructionSet(SweepHandle sweep);

    [LibraryImport(Library, EntryPoint = "clipengine_sweep_precision")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int SweepPrecision(SweepHandle sweep);
}

/// <summary>Owns a <c>clipengine_sweep</c>.</summary>
internal sealed class SweepHandle : SafeHandle
{
    public SweepHandle()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        NativeMethods.SweepDestroy(handle);
        return true;
    }
}

/// <summary><c>clipengine_sweep_plan</c>; the header documents every field.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeSweepPlan
{
    public void* Prompts;
    public long PromptCount;
    public long Width;
    public int* SegmentLengths;
    public long SegmentCount;
    public long GroupCount;
    public long ReplicateCount;
    public double Scale;
    public double Bias;
    public int PromptType;
    public int Activation;
    public int TopCount;
    public int Entropy;
    public int Precision;
}

/// <summary><c>clipengine_sweep_batch</c>; the header documents every field.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeSweepBatch
{
    public void* Rows;
    public long RowCount;
    public long FileOffset;
    public int File;
    public int RowType;
    public int* Groups;
    public float* Weights;
    public long WeightStride;
    public float* Probabilities;
    public int* TopIndices;
    public float* TopProbabilities;
    public float* Entropy;
    public float* Margin;
    public long* GroupRows;
    public long* ArgmaxCounts;
    public Int128* Sums;
    public Int128* WeightedSums;
    public float* Bounds;
    public Int128* SumBounds;
    public Int128* WeightedBounds;
    public long FailedRow;
    public long OpenScores;
    public float Bound;
    public float EntropyBound;
}
