using System.Diagnostics;

namespace ClipEngine.Server.Scheduling;

/// <summary>
/// Brings the inputs of all requests through the towers of a device: a few threads prepare them (decode, tokenise), one runs the towers over
/// batches. A batch is as large as the tower takes, or what is there once its first input has waited for the time set, or when no more are on
/// their way. What an input's features are does not depend on the batch.
/// </summary>
internal sealed class Scheduler : IDisposable
{
    private readonly object _lock = new();
    private readonly IReadOnlyList<Lane> _lanes;
    private readonly int _capacity;
    private readonly TimeSpan _wait;
    private readonly Telemetry _telemetry;
    private readonly Thread[] _threads;
    private int _admitted;
    private int _nextToPrepare, _nextToEncode;
    private bool _isEnding;
    private double _costPerSecond;
    private long _lastBatch = Stopwatch.GetTimestamp();

    /// <summary>Starts the threads.</summary>
    /// <param name="lanes">All towers of all models on the device.</param>
    /// <param name="capacity">What inputs that wait or are computed may cost together.</param>
    /// <param name="wait">How long an input waits for others.</param>
    /// <param name="preparers">Threads that prepare.</param>
    /// <param name="telemetry">Told of batches and times.</param>
    public Scheduler(IReadOnlyList<Lane> lanes, int capacity, TimeSpan wait, int preparers, Telemetry telemetry)
    {
        _lanes = lanes;
        _capacity = capacity;
        _wait = wait;
        _telemetry = telemetry;
        _threads =
        [
            .. Enumerable.Range(0, preparers).Select(i => new Thread(Prepare) { Name = $"prepare {i}", IsBackground = true }),
            new Thread(Encode) { Name = "towers", IsBackground = true },
        ];
        foreach (Thread thread in _threads)
            thread.Start();
    }

    /// <summary>What the inputs that wait or are computed cost.</summary>
    public int Admitted => Volatile.Read(ref _admitted);

    /// <summary>Whether a request of the least cost would be admitted.</summary>
    public bool HasRoom => Admitted < _capacity;

    /// <summary>The last batch failed for another reason than its inputs: the device is not well.</summary>
    public bool IsFailing { get; private set; }

    /// <summary>When what is in the queue may be done, in whole seconds, at least 1.</summary>
    public int SecondsToWait
    {
        get
        {
            double rate = Volatile.Read(ref _costPerSecond);
            return rate <= 0 ? 1 : (int)Math.Clamp(Math.Ceiling(Admitted / rate), 1, 60);
        }
    }

    /// <summary>Takes a request in or refuses it at once; one that is larger than the queue is taken when nothing else is there.</summary>
    /// <param name="cost">Of all its inputs.</param>
    public bool TryAdmit(int cost)
    {
        lock (_lock)
        {
            if (_isEnding || (_admitted > 0 && _admitted + (long)cost > _capacity))
                return false;
            _admitted += cost;
            return true;
        }
    }

    /// <summary>Gives back what <see cref="TryAdmit"/> took, of inputs that were never submitted.</summary>
    public void Leave(int cost)
    {
        lock (_lock)
            _admitted -= cost;
    }

    /// <summary>Computes the job's inputs, which were admitted; each gives back its cost when it is done.</summary>
    /// <param name="job">Not submitted before.</param>
    /// <param name="cancellation">The client has gone: what has not begun is left.</param>
    /// <exception cref="BadInputException">An input is refused.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing of the job is looked at any more.</exception>
    public async Task RunAsync(Job job, CancellationToken cancellation)
    {
        long now = Stopwatch.GetTimestamp();
        lock (_lock)
        {
            foreach (Item item in job.Items)
                item.Submitted = now;
            job.Lane.Waiting.Enqueue(job);
            Monitor.PulseAll(_lock);
        }

        await using CancellationTokenRegistration registration = cancellation.UnsafeRegister(static (state, _) => (((Scheduler Self, Job Job))state!).Self.Cancel((((Scheduler Self, Job Job))state).Job), (this, job));
        await job.Completion;
    }

    /// <summary>Ends the threads. Jobs that are not done never will be.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isEnding = true;
            Monitor.PulseAll(_lock);
        }

        foreach (Thread thread in _threads)
            thread.Join();
    }

    private void Cancel(Job job)
    {
        int left;
        lock (_lock)
        {
            job.IsCancelled = true;
            left = job.Items.Count - job.Next;
            for (int i = job.Next; i < job.Items.Count; i++)
                _admitted -= job.Items[i].Cost;
            job.Next = job.Items.Count;
        }

        if (left > 0)
            job.Finish(left);
    }

    private void Prepare()
    {
        while (TakeToPrepare() is { } item)
        {
            long start = Stopwatch.GetTimestamp();
            try
            {
                item.Prepare();
            }
            catch (Exception exception) // told to the one who asked; the others go on
            {
                item.Failure = exception;
            }

            _telemetry.Stage("prepare", item.Job.Lane, Stopwatch.GetElapsedTime(start));
            if (item.Failure is not null)
                Cancel(item.Job);
            bool isDone = item.Failure is not null || item.Job.IsCancelled;
            lock (_lock)
            {
                item.Job.Lane.Preparing--;
                item.Ready = Stopwatch.GetTimestamp();
                if (!isDone)
                    item.Job.Lane.Ready.Enqueue(item);
                Monitor.PulseAll(_lock);
            }

            if (isDone)
                Finish(item);
        }
    }

    private Item? TakeToPrepare()
    {
        lock (_lock)
        {
            while (!_isEnding)
            {
                for (int i = 0; i < _lanes.Count; i++)
                {
                    Lane lane = _lanes[(_nextToPrepare + i) % _lanes.Count];
                    // A batch in the tower and one behind it: prepared images are large.
                    while (lane.Waiting.Count > 0 && lane.Ready.Count + lane.Preparing < 2 * lane.BatchSize)
                    {
                        Job job = lane.Waiting.Dequeue();
                        if (job.Next == job.Items.Count)
                            continue; // cancelled
                        Item item = job.Items[job.Next++];
                        if (job.Next < job.Items.Count)
                            lane.Waiting.Enqueue(job);
                        lane.Preparing++;
                        _nextToPrepare = (_nextToPrepare + i + 1) % _lanes.Count;
                        return item;
                    }
                }

                Monitor.Wait(_lock);
            }

            return null;
        }
    }

    private void Encode()
    {
        var batch = new List<Item>();
        while (TakeBatch(batch) is { } lane)
        {
            for (int i = batch.Count - 1; i >= 0; i--)
            {
                if (!batch[i].Job.IsCancelled)
                    continue;
                Finish(batch[i]);
                batch.RemoveAt(i);
            }

            if (batch.Count == 0)
                continue;
            long start = Stopwatch.GetTimestamp();
            Run(lane, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(batch));
            TimeSpan time = Stopwatch.GetElapsedTime(start);
            _telemetry.Batch(lane, batch, start, time);
            Measure(batch);
            foreach (Item item in batch)
                Finish(item);
        }
    }

    /// <summary>Runs a batch; one that fails is run input by input, so that only the one at fault fails, and a device short of memory gets less at once.</summary>
    private void Run(Lane lane, Span<Item> batch)
    {
        try
        {
            lane.Encode(batch);
            IsFailing = false;
        }
        catch (Exception exception) // told to those who asked
        {
            if (batch.Length == 1)
            {
                batch[0].Failure = exception is BadInputException bad ? new BadInputException(batch[0].Name, bad.Problem, bad.Remedy, bad) : exception;
                IsFailing = exception is not BadInputException;
                return;
            }

            for (int i = 0; i < batch.Length; i++)
                Run(lane, batch.Slice(i, 1));
        }
    }

    private Lane? TakeBatch(List<Item> batch)
    {
        batch.Clear();
        lock (_lock)
        {
            while (!_isEnding)
            {
                TimeSpan sleep = Timeout.InfiniteTimeSpan;
                for (int i = 0; i < _lanes.Count; i++)
                {
                    Lane lane = _lanes[(_nextToEncode + i) % _lanes.Count];
                    if (lane.Ready.Count == 0)
                        continue;
                    bool isComplete = lane.Ready.Count >= lane.BatchSize || (lane.Preparing == 0 && lane.Waiting.Count == 0);
                    TimeSpan left = _wait - Stopwatch.GetElapsedTime(lane.Ready.Peek().Ready);
                    if (!isComplete && left > TimeSpan.Zero)
                    {
                        sleep = sleep == Timeout.InfiniteTimeSpan || left < sleep ? left : sleep;
                        continue;
                    }

                    while (batch.Count < lane.BatchSize && lane.Ready.TryDequeue(out Item? item))
                        batch.Add(item);
                    _nextToEncode = (_nextToEncode + i + 1) % _lanes.Count;
                    Monitor.PulseAll(_lock);
                    return lane;
                }

                // Whole milliseconds; none would not sleep at all.
                Monitor.Wait(_lock, sleep == Timeout.InfiniteTimeSpan ? Timeout.Infinite : Math.Max(1, (int)sleep.TotalMilliseconds));
            }

            return null;
        }
    }

    private void Finish(Item item)
    {
        item.Release();
        lock (_lock)
            _admitted -= item.Cost;
        item.Job.Finish(1);
    }

    /// <summary>How fast the queue empties, over the last batches.</summary>
    private void Measure(List<Item> batch)
    {
        long now = Stopwatch.GetTimestamp();
        double seconds = Math.Max(Stopwatch.GetElapsedTime(_lastBatch, now).TotalSeconds, 1e-4), rate = batch.Sum(static item => item.Cost) / seconds;
        _lastBatch = now;
        _costPerSecond = _costPerSecond <= 0 ? rate : (0.9 * _costPerSecond) + (0.1 * rate);
    }
}
