using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary><c>clipengine_cuda_launch</c>; the header documents every field.</summary>
[StructLayout(LayoutKind.Sequential)]
internal record struct NativeCudaLaunch(long Kernel, uint GridX, uint GridY, uint GridZ, uint Block, uint SharedBytes, int ArgumentCount, long FirstArgument);

/// <summary>
/// What a pass launches between an upload and a read: collected, and sent off as one. Equal passes collect equal launches down to
/// their addresses; the second time that a sequence is seen it becomes a CUDA graph, which costs one call instead of hundreds.
/// </summary>
internal sealed class CudaPlan(CudaDevice device) : IDisposable
{
    // Batch shapes in turn: full image batches, full text batches, and the last ones of either.
    private const int Remembered = 8;

    private readonly List<NativeCudaLaunch> _launches = [];
    private readonly List<ulong> _arguments = [];
    private readonly List<CudaStage> _stages = []; // of the launches, where they are profiled
    private readonly List<Sequence> _seen = [];

    /// <summary>How often a graph was sent off.</summary>
    internal long GraphLaunches { get; private set; }

    /// <summary>What times launches one by one; null where they run as graphs.</summary>
    internal CudaProfile? Profile { get; set; }

    /// <summary>Collects a launch.</summary>
    /// <param name="stage">What it is for.</param>
    /// <param name="kernel">From <see cref="CudaDevice.Kernel"/>.</param>
    /// <param name="grid">Blocks along x, y and z.</param>
    /// <param name="block">Threads of a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory of a block.</param>
    /// <param name="arguments">Each parameter in eight bytes, see <see cref="CudaDevice"/>'s methods named Slot.</param>
    internal void Add(in CudaStage stage, long kernel, (long X, long Y, long Z) grid, int block, int sharedBytes, ReadOnlySpan<ulong> arguments)
    {
        _launches.Add(new NativeCudaLaunch(kernel, checked((uint)grid.X), checked((uint)grid.Y), checked((uint)grid.Z), (uint)block, (uint)sharedBytes, arguments.Length, _arguments.Count));
        _arguments.AddRange(arguments);
        if (Profile is not null)
            _stages.Add(stage);
    }

    /// <summary>Sends off what was collected.</summary>
    internal void Flush()
    {
        if (_launches.Count == 0)
            return;
        Span<NativeCudaLaunch> launches = CollectionsMarshal.AsSpan(_launches);
        Span<ulong> arguments = CollectionsMarshal.AsSpan(_arguments);
        if (Profile is not null)
        {
            for (int i = 0; i < launches.Length; i++)
            {
                Profile.Begin(_stages[i]);
                device.Enqueue(launches.Slice(i, 1), arguments);
                Profile.End();
            }

            Clear();
            return;
        }

        device.PushRange("pass\0"u8);
        int index = Find(launches, arguments);
        if (index < 0)
        {
            device.Enqueue(launches, arguments);
            if (_seen.Count == Remembered)
                IgnoreKeys(0);
            _seen.Add(new Sequence(launches.ToArray(), arguments.ToArray(), 0));
        }
        else
        {
            if (_seen[index].Graph == 0)
                _seen[index] = _seen[index] with { Graph = device.CreateGraph(launches, arguments) };
            device.EnqueueGraph(_seen[index].Graph);
            GraphLaunches++;
        }

        device.PopRange();
        Clear();
    }

    /// <summary>Forgets what was collected and not sent off.</summary>
    internal void Clear()
    {
        _launches.Clear();
        _arguments.Clear();
        _stages.Clear();
    }

    /// <summary>Destroys the graphs; the device must still be open.</summary>
    public void Dispose()
    {
        while (_seen.Count > 0)
            IgnoreKeys(_seen.Count - 1);
    }

    private int Find(ReadOnlySpan<NativeCudaLaunch> launches, ReadOnlySpan<ulong> arguments)
    {
        for (int i = _seen.Count - 1; i >= 0; i--)
        {
            if (arguments.SequenceEqual(_seen[i].Arguments) && launches.SequenceEqual(_seen[i].Launches))
                return i;
        }

        return -1;
    }

    private void IgnoreKeys(int index)
    {
        long graph = _seen[index].Graph;
        _seen.RemoveAt(index);
        if (graph != 0)
            device.DestroyGraph(graph);
    }

    private readonly record struct Sequence(NativeCudaLaunch[] Launches, ulong[] Arguments, long Graph);
}
