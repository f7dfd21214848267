using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Scoring;

/// <summary>What a sweep's batches run on.</summary>
internal abstract unsafe class SweepEngine : IDisposable
{
    /// <summary>The instruction set or the devices.</summary>
    internal abstract string Name { get; }

    /// <summary>What products are multiplied in.</summary>
    internal abstract SweepPrecision Precision { get; }

    /// <summary>How much to give to one call.</summary>
    /// <returns>Chunks of a batch that nothing else limits, the fewest that are worth a call, and a bound for its row outputs.</returns>
    internal abstract (long Chunks, long Minimum, long OutputBytes) BatchSize(int promptCount, long width);

    /// <summary>Scores a batch whose first row is <paramref name="firstRow"/> of the images.</summary>
    internal abstract void Run(NativeSweepBatch* batch, FeatureSource images, long firstRow);

    public abstract void Dispose();

    /// <summary>An element type as the native plan and batch name it.</summary>
    internal static int NativeType(ElementType type) => type switch
    {
        ElementType.Float16 => 0,
        ElementType.BFloat16 => 1,
        ElementType.Float32 => 2,
        ElementType.Float64 => 3,
        _ => throw new ArgumentException($"Features are floating-point; found {type}.", nameof(type)),
    };

    /// <summary>Names the row in what a check throws.</summary>
    internal static void NameRow(Action check, string source, long row)
    {
        try
        {
            check();
        }
        catch (BadInputException exception) when (row >= 0)
        {
            throw new BadInputException(source, $"row {row} {exception.Problem}.");
        }
    }
}

/// <summary>The processor, through the native library's thread pool.</summary>
internal sealed unsafe class CpuSweepEngine : SweepEngine
{
    // Row outputs of a batch stay below this, or at one chunk for each thread.
    private const long OutputBytes = 64L << 20;

    // About a tenth of a second of one core: small enough to stop soon, large enough that threads rarely wait for each other.
    private const double BatchOperations = 8e9;

    private readonly SweepHandle _handle;

    private CpuSweepEngine(SweepHandle handle) => _handle = handle;

    internal override string Name => Marshal.PtrToStringUTF8((nint)NativeMethods.SweepInstructionSet(_handle))!;

    internal override SweepPrecision Precision => (SweepPrecision)NativeMethods.SweepPrecision(_handle);

    internal static CpuSweepEngine Create(NativeSweepPlan* plan, string source)
    {
        _ = CpuInformation.DefaultInstructionSet; // what is wrong with the variable is not said of the prompts
        NativeStatus status = NativeMethods.SweepCreate(plan, out SweepHandle handle, out long failedPrompt);
        NameRow(() => status.ThrowIfFailed(source), source, failedPrompt);
        return new CpuSweepEngine(handle);
    }

    internal override (long Chunks, long Minimum, long OutputBytes) BatchSize(int promptCount, long width)
    {
        long threads = NativeThreads.Count;
        long chunks = (long)(BatchOperations * threads / (2.0 * promptCount * width * ProbeSweep.ChunkRows));
        // At least eight chunks a thread, so that the last ones to finish are not waited for long; at most a million rows.
        return (Math.Clamp(chunks, 8 * threads, Math.Max(8 * threads, (1 << 20) / ProbeSweep.ChunkRows)), threads, OutputBytes);
    }

    internal override void Run(NativeSweepBatch* batch, FeatureSource images, long firstRow)
    {
        if (images.Resident is not null)
            throw new ArgumentException($"{images.Name} lies on GPUs; this sweep runs on the processor.", nameof(images));
        NativeStatus status = NativeMethods.SweepRun(_handle, batch);
        if (status != NativeStatus.Ok)
            NameRow(() => status.ThrowIfFailed(images.Name), images.Name, batch->FailedRow < 0 ? -1 : firstRow + batch->FailedRow);
    }

    public override void Dispose() => _handle.Dispose();
}

/// <summary>GPUs, each of which takes slices of a batch's rows.</summary>
internal sealed unsafe class CudaSweepEngine : SweepEngine
{
    // The last slices of a batch leave the other GPUs idle: a batch is long beside a slice, and still stops within a second.
    private const double BatchOperations = 2e13;
    private const long LargestBatch = 16L << 20;
    private const long OutputBytes = 256L << 20;

    private readonly CudaDevices _devices;
    private readonly CudaDevicesObject _sweep;

    private CudaSweepEngine(CudaDevices devices, CudaDevicesObject sweep)
    {
        _devices = devices;
        _sweep = sweep;
    }

    internal override string Name => _devices.Name;

    internal CudaDevices Devices => _devices;

    internal override SweepPrecision Precision => SweepPrecision.Float32;

    internal static CudaSweepEngine Create(CudaDevices devices, NativeSweepPlan* plan, string source)
    {
        ImmutableArray<HandleReference> held = devices.Hold();
        try
        {
            nint[] handles = [.. held.Select(static device => device.Value)];
            nint sweep = 0;
            long failedPrompt = -1;
            NativeStatus status;
            fixed (nint* list = handles)
                status = devices.Library.SweepCreate(list, handles.Length, plan, &sweep, &failedPrompt);
            NameRow(() => devices.Library.Check(status, source), source, failedPrompt);
            return new CudaSweepEngine(devices, new CudaDevicesObject(sweep, devices.Library.SweepDestroy, held));
        }
        catch
        {
            CudaDevices.Release(held);
            throw;
        }
    }

    internal override (long Chunks, long Minimum, long OutputBytes) BatchSize(int promptCount, long width)
    {
        long chunks = (long)(BatchOperations * _devices.Count / (2.0 * promptCount * width * ProbeSweep.ChunkRows));
        return (Math.Clamp(chunks, 16 * _devices.Count, LargestBatch / ProbeSweep.ChunkRows), 1, OutputBytes);
    }

    internal override void Run(NativeSweepBatch* batch, FeatureSource images, long firstRow)
    {
        using var sweep = new HandleReference(_sweep);
        using var features = new HandleReference(images.Resident?.Handle);
        NativeStatus status = _devices.Library.SweepRun(sweep.Value, batch, features.Value, firstRow);
        if (status != NativeStatus.Ok)
            NameRow(() => _devices.Library.Check(status, images.Name), images.Name, batch->FailedRow < 0 ? -1 : firstRow + batch->FailedRow);
    }

    public override void Dispose() => _sweep.Dispose();
}
