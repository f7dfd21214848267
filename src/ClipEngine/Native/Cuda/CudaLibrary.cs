using System.Runtime.InteropServices;
using System.Text;

namespace ClipEngine.Native;

/// <summary>
/// <c>libclipengine_cuda.so</c>: opened on demand, and function by function, because a test opens its emulated twin beside it. The functions
/// stand in <c>clipengine_cuda.h</c>.
/// </summary>
internal sealed unsafe class CudaLibrary
{
    internal const string FileName = "libclipengine_cuda.so";
    private const int AbiVersion = 3;

    private readonly delegate* unmanaged<byte*, long, long> _errorMessage;

    private CudaLibrary(string? chosen)
    {
        string path = chosen ?? FileName;
        nint library;
        try
        {
            library = chosen is null ? NativeLibrary.Load("clipengine_cuda", typeof(CudaLibrary).Assembly, searchPath: null) : NativeLibrary.Load(path);
            int found = ((delegate* unmanaged<int>)NativeLibrary.GetExport(library, "clipengine_cuda_abi_version"))();
            if (found != AbiVersion)
                throw new NativeLibraryException($"{path} is of another version: expected ABI {AbiVersion}, found {found}. Build it with 'dotnet build'.");
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException or BadImageFormatException)
        {
            throw new NativeLibraryException($"{path} could not be loaded. Build it with 'dotnet build', or add the package ClipEngine.Cuda of this version. ({exception.Message})", exception);
        }

        nint Export(string name) => NativeLibrary.GetExport(library, "clipengine_cuda_" + name);
        _errorMessage = (delegate* unmanaged<byte*, long, long>)Export("error_message");
        DeviceCount = (delegate* unmanaged<int*, NativeStatus>)Export("device_count");
        DeviceOpen = (delegate* unmanaged<int, byte*, nint*, NativeStatus>)Export("device_open");
        DeviceClose = (delegate* unmanaged<nint, void>)Export("device_close");
        DeviceDescribe = (delegate* unmanaged<nint, byte*, long, long*, NativeStatus>)Export("device_describe");
        MemoryAllocate = (delegate* unmanaged<nint, long, ulong*, NativeStatus>)Export("memory_allocate");
        MemoryFree = (delegate* unmanaged<nint, ulong, NativeStatus>)Export("memory_free");
        MemoryUpload = (delegate* unmanaged<nint, ulong, void*, long, NativeStatus>)Export("memory_upload");
        MemoryDownload = (delegate* unmanaged<nint, void*, ulong, long, NativeStatus>)Export("memory_download");
        KernelFind = (delegate* unmanaged<nint, byte*, int, long*, NativeStatus>)Export("kernel_find");
        ProductFind = (delegate* unmanaged<nint, int, int, int, int, long*, NativeStatus>)Export("product_find");
        LaunchesEnqueue = (delegate* unmanaged<nint, NativeCudaLaunch*, int, ulong*, long, NativeStatus>)Export("launches_enqueue");
        GraphCreate = (delegate* unmanaged<nint, NativeCudaLaunch*, int, ulong*, long, long*, NativeStatus>)Export("graph_create");
        GraphEnqueue = (delegate* unmanaged<nint, long, NativeStatus>)Export("graph_enqueue");
        GraphDestroy = (delegate* unmanaged<nint, long, NativeStatus>)Export("graph_destroy");
        SweepCreate = (delegate* unmanaged<nint*, int, NativeSweepPlan*, nint*, long*, NativeStatus>)Export("sweep_create");
        SweepDestroy = (delegate* unmanaged<nint, void>)Export("sweep_destroy");
        SweepRun = (delegate* unmanaged<nint, NativeSweepBatch*, nint, long, NativeStatus>)Export("sweep_run");
        FeaturesCreate = (delegate* unmanaged<nint*, int, NativeSweepBatch*, long, long, nint*, NativeStatus>)Export("features_create");
        FeaturesDestroy = (delegate* unmanaged<nint, void>)Export("features_destroy");
        FeaturesRepeat = (delegate* unmanaged<nint*, int, NativeSweepBatch*, long, long, long, nint*, NativeStatus>)Export("features_repeat");
        CeilingMeasure = (delegate* unmanaged<nint, int, double, double*, NativeStatus>)Export("ceiling_measure");
        MemoryAvailable = (delegate* unmanaged<nint, long*, NativeStatus>)Export("memory_available");
        EventCreate = (delegate* unmanaged<nint, long*, NativeStatus>)Export("event_create");
        EventDestroy = (delegate* unmanaged<nint, long, NativeStatus>)Export("event_destroy");
        EventRecord = (delegate* unmanaged<nint, long, NativeStatus>)Export("event_record");
        EventElapsed = (delegate* unmanaged<nint, long, long, double*, NativeStatus>)Export("event_elapsed");
        RangePush = (delegate* unmanaged<byte*, void>)Export("range_push");
        RangePop = (delegate* unmanaged<void>)Export("range_pop");
        RecordsRanges = ((delegate* unmanaged<int>)Export("ranges_are_recorded"))() != 0;
    }

    internal readonly delegate* unmanaged<int*, NativeStatus> DeviceCount;
    internal readonly delegate* unmanaged<int, byte*, nint*, NativeStatus> DeviceOpen;
    internal readonly delegate* unmanaged<nint, void> DeviceClose;
    internal readonly delegate* unmanaged<nint, byte*, long, long*, NativeStatus> DeviceDescribe;
    internal readonly delegate* unmanaged<nint, long, ulong*, NativeStatus> MemoryAllocate;
    internal readonly delegate* unmanaged<nint, ulong, NativeStatus> MemoryFree;
    internal readonly delegate* unmanaged<nint, ulong, void*, long, NativeStatus> MemoryUpload;
    internal readonly delegate* unmanaged<nint, void*, ulong, long, NativeStatus> MemoryDownload;
    internal readonly delegate* unmanaged<nint, byte*, int, long*, NativeStatus> KernelFind;
    internal readonly delegate* unmanaged<nint, int, int, int, int, long*, NativeStatus> ProductFind;
    internal readonly delegate* unmanaged<nint, NativeCudaLaunch*, int, ulong*, long, NativeStatus> LaunchesEnqueue;
    internal readonly delegate* unmanaged<nint, NativeCudaLaunch*, int, ulong*, long, long*, NativeStatus> GraphCreate;
    internal readonly delegate* unmanaged<nint, long, NativeStatus> GraphEnqueue;
    internal readonly delegate* unmanaged<nint, long, NativeStatus> GraphDestroy;

    internal readonly delegate* unmanaged<nint*, int, NativeSweepPlan*, nint*, long*, NativeStatus> SweepCreate;
    internal readonly delegate* unmanaged<nint, void> SweepDestroy;
    internal readonly delegate* unmanaged<nint, NativeSweepBatch*, nint, long, NativeStatus> SweepRun;
    internal readonly delegate* unmanaged<nint*, int, NativeSweepBatch*, long, long, nint*, NativeStatus> FeaturesCreate;
    internal readonly delegate* unmanaged<nint, void> FeaturesDestroy;

    // clipengine_cuda_measure.h
    internal readonly delegate* unmanaged<nint*, int, NativeSweepBatch*, long, long, long, nint*, NativeStatus> FeaturesRepeat;
    internal readonly delegate* unmanaged<nint, int, double, double*, NativeStatus> CeilingMeasure;
    internal readonly delegate* unmanaged<nint, long*, NativeStatus> MemoryAvailable;
    internal readonly delegate* unmanaged<nint, long*, NativeStatus> EventCreate;
    internal readonly delegate* unmanaged<nint, long, NativeStatus> EventDestroy;
    internal readonly delegate* unmanaged<nint, long, NativeStatus> EventRecord;
    internal readonly delegate* unmanaged<nint, long, long, double*, NativeStatus> EventElapsed;
    internal readonly delegate* unmanaged<byte*, void> RangePush;
    internal readonly delegate* unmanaged<void> RangePop;

    /// <summary>Whether a profiler listens to ranges.</summary>
    internal bool RecordsRanges { get; }

    /// <summary>Opens a library.</summary>
    /// <param name="path">Null for the one that the build or the package ClipEngine.Cuda brings.</param>
    /// <exception cref="NativeLibraryException">It is missing or another version.</exception>
    internal static CudaLibrary Open(string? path) => new(path);

    /// <summary>Throws what a status stands for; call it right behind the native call, on the same thread.</summary>
    internal void Check(NativeStatus status, string? source = null)
    {
        if (status == NativeStatus.Ok)
            return;
        byte* buffer = stackalloc byte[1024];
        long length = _errorMessage(buffer, 1024);
        throw NativeStatusExtensions.ToException(status, Encoding.UTF8.GetString(buffer, (int)Math.Min(length, 1023)), source);
    }
}
