using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace ClipEngine;

/// <summary>Hands features on to a handler on a thread of its own, in order. Bounded: a slow handler holds its maker up. Nothing is allocated per batch.</summary>
internal sealed class FeatureRowQueue : IDisposable
{
    private const int Buffers = 3;

    private readonly object _lock = new();
    private readonly FeatureRowHandler _handler;
    private readonly float[][] _rows = new float[Buffers][];
    private readonly (int First, int Length)[] _places = new (int, int)[Buffers];
    private readonly Thread _thread;
    private int _posted, _taken;
    private long _busyTicks;
    private bool _isEnded, _isAbandoned;
    private Exception? _failure;

    /// <summary>Starts the thread.</summary>
    /// <param name="capacity">Floats of the largest batch.</param>
    /// <param name="handler">Takes the features.</param>
    public FeatureRowQueue(int capacity, FeatureRowHandler handler)
    {
        _handler = handler;
        for (int i = 0; i < Buffers; i++)
            _rows[i] = new float[capacity];
        _thread = new Thread(Work) { IsBackground = true, Name = "clipengine write" };
        _thread.Start();
    }

    /// <summary>Time spent in the handler.</summary>
    public TimeSpan BusyTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _busyTicks));

    /// <summary>A free buffer, waiting for one if need be.</summary>
    /// <exception cref="Exception">What the handler threw.</exception>
    public Span<float> Rent(int length)
    {
        lock (_lock)
        {
            while (_posted - _taken == Buffers && _failure is null)
                Monitor.Wait(_lock);
            ThrowIfFailed();
            return _rows[_posted % Buffers].AsSpan(0, length);
        }
    }

    /// <summary>Hands on the buffer that was rented last.</summary>
    public void Post(int first, int length)
    {
        lock (_lock)
        {
            _places[_posted % Buffers] = (first, length);
            _posted++;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Waits until everything was taken.</summary>
    /// <exception cref="Exception">What the handler threw.</exception>
    public void Complete()
    {
        lock (_lock)
            End(abandon: false);
        _thread.Join();
        ThrowIfFailed();
    }

    /// <summary>Drops what was not taken yet, and waits for the handler to return.</summary>
    public void Dispose()
    {
        lock (_lock)
            End(abandon: true);
        _thread.Join();
    }

    private void End(bool abandon)
    {
        _isEnded = true;
        _isAbandoned |= abandon;
        Monitor.PulseAll(_lock);
    }

    private void ThrowIfFailed()
    {
        if (_failure is not null)
            ExceptionDispatchInfo.Throw(_failure);
    }

    private void Work()
    {
        while (true)
        {
            int first, length;
            lock (_lock)
            {
                while (_taken == _posted && !_isEnded)
                    Monitor.Wait(_lock);
                if (_isAbandoned || _taken == _posted)
                    return;
                (first, length) = _places[_taken % Buffers];
            }

            long start = Stopwatch.GetTimestamp();
            Exception? failure = null;
            try
            {
                _handler(first, _rows[_taken % Buffers].AsSpan(0, length));
            }
            catch (Exception exception) // it belongs to whoever makes the features, not to this thread
            {
                failure = exception;
            }

            Interlocked.Add(ref _busyTicks, Stopwatch.GetTimestamp() - start);
            lock (_lock)
            {
                _taken++;
                _failure = failure;
                Monitor.PulseAll(_lock);
                if (failure is not null)
                    return;
            }
        }
    }
}
