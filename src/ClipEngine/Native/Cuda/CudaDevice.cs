using System.Collections.Concurrent;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary><c>clipengine_cuda_operand_type</c>.</summary>
internal enum CudaOperand
{
    Float32 = 0,
    TensorFloat32 = 1,
    BFloat16 = 2,
    Float16 = 3,
    Float8 = 4,
}

/// <summary>
/// An open device: memory, kernels and launches. Thread-safe; operations run in the order of the calls. Whoever uses it holds a
/// reference on it (<see cref="HandleReference"/>) for as long, so that it closes when it is disposed and nothing lies on it any more.
/// </summary>
internal sealed unsafe class CudaDevice : SafeHandleZeroOrMinusOneIsInvalid
{
    private readonly CudaLibrary _library;
    private readonly ConcurrentDictionary<string, long> _kernels = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(CudaOperand Type, bool IsResultFloat32, int Columns, int Depth), long> _products = new();

    private CudaDevice(CudaLibrary library, nint device)
        : base(ownsHandle: true)
    {
        _library = library;
        SetHandle(device);
    }

    /// <summary>Opens a device and loads its kernels.</summary>
    /// <param name="library">The library that owns it.</param>
    /// <param name="ordinal">The driver's number of the device.</param>
    /// <param name="kernelFolder">Where compiled kernels lie and are kept; null for none.</param>
    internal static CudaDevice Open(CudaLibrary library, int ordinal, string? kernelFolder)
    {
        nint device;
        byte[]? folder = kernelFolder is null ? null : Encoding.UTF8.GetBytes(kernelFolder + '\0');
        fixed (byte* path = folder)
            library.Check(library.DeviceOpen(ordinal, path, &device), $"cuda:{ordinal}");
        return new CudaDevice(library, device);
    }

    /// <summary>Where compiled kernels are kept: the folder given, or <c>kernels</c> in the user's cache. It is created.</summary>
    internal static string KernelFolder(string? chosen)
    {
        string folder = chosen ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create), "clipengine", "kernels");
        Directory.CreateDirectory(folder);
        return folder;
    }

    /// <summary>How many devices the driver sees.</summary>
    internal static int Count(CudaLibrary library)
    {
        int count;
        library.Check(library.DeviceCount(&count));
        return count;
    }

    /// <summary>Name, memory, driver, where the kernels came from, every step down: lines of <c>key: value</c>.</summary>
    internal string Describe()
    {
        long length = 4096;
        while (true)
        {
            byte[] buffer = new byte[length + 1];
            fixed (byte* pointer = buffer)
                _library.Check(_library.DeviceDescribe(handle, pointer, buffer.Length, &length));
            if (length < buffer.Length)
                return Encoding.UTF8.GetString(buffer, 0, (int)length);
        }
    }

    internal ulong Allocate(long bytes, string? source = null)
    {
        ulong address;
        _library.Check(_library.MemoryAllocate(handle, bytes, &address), source);
        return address;
    }

    /// <summary>Frees memory once what was enqueued before has run. A device that has failed keeps it: its own close takes it back.</summary>
    internal void Free(ulong address) => _ = _library.MemoryFree(handle, address);

    internal void Upload(ulong destination, void* source, long bytes) => _library.Check(_library.MemoryUpload(handle, destination, source, bytes));

    internal void Download(void* destination, ulong source, long bytes) => _library.Check(_library.MemoryDownload(handle, destination, source, bytes));

    /// <summary>A kernel's number; asked of the driver once.</summary>
    internal long Kernel(string name, int sharedBytes)
    {
        if (_kernels.TryGetValue(name, out long kernel))
            return kernel;
        Span<byte> text = stackalloc byte[128];
        int length = Encoding.UTF8.GetBytes(name, text);
        text[length] = 0;
        fixed (byte* pointer = text)
            _library.Check(_library.KernelFind(handle, pointer, sharedBytes, &kernel));
        _kernels[name] = kernel;
        return kernel;
    }

    /// <summary>The number of a product with weights [columns, depth]; how it is computed is found out, and tried, the first time.</summary>
    internal long Product(CudaOperand type, bool isResultFloat32, int columns, int depth)
    {
        if (_products.TryGetValue((type, isResultFloat32, columns, depth), out long product))
            return product;
        _library.Check(_library.ProductFind(handle, (int)type, isResultFloat32 ? 1 : 0, columns, depth, &product));
        _products[(type, isResultFloat32, columns, depth)] = product;
        return product;
    }

    /// <summary>Enqueues launches in their order.</summary>
    internal void Enqueue(ReadOnlySpan<NativeCudaLaunch> launches, ReadOnlySpan<ulong> arguments)
    {
        fixed (NativeCudaLaunch* list = launches)
        fixed (ulong* slots = arguments)
            _library.Check(_library.LaunchesEnqueue(handle, list, launches.Length, slots, arguments.Length));
    }

    /// <summary>The same launches as a graph.</summary>
    internal long CreateGraph(ReadOnlySpan<NativeCudaLaunch> launches, ReadOnlySpan<ulong> arguments)
    {
        long graph;
        fixed (NativeCudaLaunch* list = launches)
        fixed (ulong* slots = arguments)
            _library.Check(_library.GraphCreate(handle, list, launches.Length, slots, arguments.Length, &graph));
        return graph;
    }

    internal void EnqueueGraph(long graph) => _library.Check(_library.GraphEnqueue(handle, graph));

    internal void DestroyGraph(long graph) => _ = _library.GraphDestroy(handle, graph);

    /// <summary>Device memory that nobody holds, in bytes.</summary>
    internal long FreeMemory()
    {
        long bytes;
        _library.Check(_library.MemoryAvailable(handle, &bytes));
        return bytes;
    }

    /// <summary>Operations or bytes a second; null where there is not enough memory.</summary>
    internal double? MeasureCeiling(CudaCeiling ceiling, double seconds)
    {
        double rate;
        NativeStatus status = _library.CeilingMeasure(handle, (int)ceiling, seconds, &rate);
        if (status == NativeStatus.OutOfMemory)
            return null;
        _library.Check(status);
        return rate;
    }

    internal long CreateEvent()
    {
        long stamp;
        _library.Check(_library.EventCreate(handle, &stamp));
        return stamp;
    }

    internal void DestroyEvent(long stamp) => _ = _library.EventDestroy(handle, stamp);

    internal void RecordEvent(long stamp) => _library.Check(_library.EventRecord(handle, stamp));

    /// <summary>Milliseconds between two events; waits for the second.</summary>
    internal double Elapsed(long start, long end)
    {
        double milliseconds;
        _library.Check(_library.EventElapsed(handle, start, end, &milliseconds));
        return milliseconds;
    }

    /// <summary>Begins a range of this thread's time for a profiler, where one listens.</summary>
    /// <param name="name">UTF-8, ends in a zero.</param>
    internal void PushRange(ReadOnlySpan<byte> name)
    {
        if (!_library.RecordsRanges)
            return;
        fixed (byte* text = name)
            _library.RangePush(text);
    }

    /// <summary>Ends the innermost range.</summary>
    internal void PopRange()
    {
        if (_library.RecordsRanges)
            _library.RangePop();
    }

    /// <summary>An int parameter as a slot.</summary>
    internal static ulong Slot(int value) => unchecked((uint)value);

    /// <summary>A 64-bit parameter as a slot.</summary>
    internal static ulong Slot(long value) => unchecked((ulong)value);

    /// <summary>A float parameter as a slot.</summary>
    internal static ulong Slot(float value) => BitConverter.SingleToUInt32Bits(value);

    protected override bool ReleaseHandle()
    {
        _library.DeviceClose(handle);
        return true;
    }
}
