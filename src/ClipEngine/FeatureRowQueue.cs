using System.Diagnostics;
using System.Threading.Channels;

namespace ClipEngine;

/// <summary>Hands features on to a handler on the thread pool, in order. Bounded: a slow handler holds their maker up. Nothing is allocated per batch but where one side waits.</summary>
internal sealed class FeatureRowQueue : IDisposable
{
    private const int Buffers = 3;

    private readonly FeatureRowHandler _handler;
    private readonly Channel<Batch> _free = Channel.CreateBounded<Batch>(new BoundedChannelOptions(Buffers) { SingleReader = true, SingleWriter = true });
    private readonly Channel<Batch> _filled = Channel.CreateBounded<Batch>(new BoundedChannelOptions(Buffers) { SingleReader = true, SingleWriter = true });
    private readonly Task _work;
    private Batch? _rented;
    private long _busyTicks;
    private volatile bool _isAbandoned;

    /// <summary>Begins to wait for features.</summary>
    /// <param name="capacity">Floats of the largest batch.</param>
    /// <param name="handler">Takes the features.</param>
    public FeatureRowQueue(int capacity, FeatureRowHandler handler)
    {
        _handler = handler;
        for (int i = 0; i < Buffers; i++)
            _free.Writer.TryWrite(new Batch(new float[capacity]));
        _work = Task.Run(WorkAsync);
    }

    /// <summary>Time spent in the handler.</summary>
    public TimeSpan BusyTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _busyTicks));

    /// <summary>A free buffer, waiting for one if need be.</summary>
    /// <exception cref="Exception">What the handler threw.</exception>
    public Span<float> Rent(int length)
    {
        if (_work.IsFaulted)
            _work.GetAwaiter().GetResult();
        // Ends only with what the handler threw.
        Blocking.Wait(_free.Reader.WaitToReadAsync());
        _free.Reader.TryRead(out _rented);
        return _rented!.Rows.AsSpan(0, length);
    }

    /// <summary>Hands on the buffer that was rented last.</summary>
    public void Post(int first, int length)
    {
        _rented!.First = first;
        _rented.Length = length;
        _filled.Writer.TryWrite(_rented);
    }

    /// <summary>Waits until everything was taken.</summary>
    /// <exception cref="Exception">What the handler threw.</exception>
    public void Complete()
    {
        _filled.Writer.TryComplete();
        _work.GetAwaiter().GetResult();
    }

    /// <summary>Drops what was not taken yet, and waits for the handler to return.</summary>
    public void Dispose()
    {
        _isAbandoned = true;
        _filled.Writer.TryComplete();
        Task.WhenAny(_work).Wait();
        _ = _work.Exception; // told by Rent or Complete
    }

    private async Task WorkAsync()
    {
        try
        {
            while (await _filled.Reader.WaitToReadAsync().ConfigureAwait(false))
            {
                while (_filled.Reader.TryRead(out Batch? batch))
                {
                    if (_isAbandoned)
                        return;
                    long start = Stopwatch.GetTimestamp();
                    _handler(batch.First, batch.Rows.AsSpan(0, batch.Length));
                    Interlocked.Add(ref _busyTicks, Stopwatch.GetTimestamp() - start);
                    _free.Writer.TryWrite(batch);
                }
            }
        }
        catch (Exception exception) // it belongs to whoever makes the features
        {
            _free.Writer.TryComplete(exception);
            throw;
        }
    }

    private sealed class Batch(float[] rows)
    {
        public float[] Rows { get; } = rows;

        public int First { get; set; }

        public int Length { get; set; }
    }
}
