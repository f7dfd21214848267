using System.Runtime.InteropServices;
using System.Text;

namespace ClipEngine.Native;

/// <summary>What one stage of the passes since the last <see cref="CudaProfile.Take"/> cost, all its launches together.</summary>
/// <param name="Name">The operation and, of a product, its shapes.</param>
/// <param name="Launches">How many.</param>
/// <param name="Operations">Arithmetic operations, a multiply-add counted as two; 0 where arithmetic is not the point.</param>
/// <param name="Seconds">Between CUDA events around them.</param>
internal sealed record CudaStageTime(string Name, int Launches, double Operations, double Seconds);

/// <summary>
/// Times the stages of a backend's passes with CUDA events. While it is there, passes that begin are sent off launch by launch
/// instead of as CUDA graphs, each launch in an NVTX range of its stage's name. For one thread.
/// </summary>
internal sealed class CudaProfile : IDisposable
{
    private readonly CudaBackend _backend;
    private readonly CudaDevice _device;
    private readonly HandleReference _reference;
    private readonly Stack<long> _idle = new();
    private readonly List<(CudaStage Stage, long Start, long End)> _timed = [];
    private readonly Dictionary<CudaStage, byte[]> _names = [];
    private bool _isDisposed;

    private CudaProfile(CudaBackend backend)
    {
        _backend = backend;
        _device = backend.Device;
        _reference = new HandleReference(_device);
    }

    /// <summary>Begins; only one at a time.</summary>
    /// <param name="backend">The backend.</param>
    /// <exception cref="InvalidOperationException">Another one is there.</exception>
    public static CudaProfile Start(CudaBackend backend)
    {
        ArgumentNullException.ThrowIfNull(backend);
        if (backend.Profile is not null)
            throw new InvalidOperationException("The backend is being profiled already.");
        return backend.Profile = new CudaProfile(backend);
    }

    /// <summary>The stages since the last call, in the order of their first launches; waits for them.</summary>
    public IReadOnlyList<CudaStageTime> Take()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var order = new List<CudaStage>();
        var sums = new Dictionary<CudaStage, (int Launches, double Seconds)>();
        foreach ((CudaStage stage, long start, long end) in _timed)
        {
            ref (int Launches, double Seconds) sum = ref CollectionsMarshal.GetValueRefOrAddDefault(sums, stage, out bool exists);
            if (!exists)
                order.Add(stage);
            sum = (sum.Launches + 1, sum.Seconds + (_device.Elapsed(start, end) * 1e-3));
            _idle.Push(start);
            _idle.Push(end);
        }

        _timed.Clear();
        return [.. order.Select(stage => new CudaStageTime(stage.ToString(), sums[stage].Launches, stage.Operations * sums[stage].Launches, sums[stage].Seconds))];
    }

    /// <summary>Passes run as graphs again.</summary>
    public void Dispose()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _backend.Profile = null;
        foreach ((_, long start, long end) in _timed)
        {
            _idle.Push(start);
            _idle.Push(end);
        }

        while (_idle.TryPop(out long idle))
            _device.DestroyEvent(idle);
        _reference.Dispose();
    }

    /// <summary>A stage begins: everything enqueued until <see cref="End"/> belongs to it.</summary>
    internal void Begin(in CudaStage stage)
    {
        if (!_names.TryGetValue(stage, out byte[]? name))
            _names[stage] = name = Encoding.UTF8.GetBytes(stage.ToString() + '\0');
        _device.PushRange(name);
        _timed.Add((stage, Record(), 0));
    }

    internal void End()
    {
        _timed[^1] = _timed[^1] with { End = Record() };
        _device.PopRange();
    }

    private long Record()
    {
        if (!_idle.TryPop(out long stamp))
            stamp = _device.CreateEvent();
        _device.RecordEvent(stamp);
        return stamp;
    }
}

/// <summary>What a launch is for. A product has rows, depth and columns; of all else they are 0.</summary>
internal readonly record struct CudaStage(string Kind, long Rows = 0, long Depth = 0, long Columns = 0, double Operations = 0)
{
    /// <summary>y = x W^T.</summary>
    internal static CudaStage Product(long rows, long depth, long columns) => new("product", rows, depth, columns, 2.0 * rows * depth * columns);

    public override string ToString() => Columns > 0 ? $"{Kind} [{Rows}, {Depth}] x [{Depth}, {Columns}]" : Kind;
}
