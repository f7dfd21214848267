namespace ClipEngine.Server.Scheduling;

/// <summary>The inputs of one request for one tower, computed in whatever company they come to.</summary>
internal sealed class Job
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _unfinished;

    /// <summary>A job whose inputs have not begun.</summary>
    /// <param name="lane">The tower.</param>
    /// <param name="items">At least one.</param>
    /// <param name="needsNormalized">Whether <see cref="Normalized"/> is wanted as well.</param>
    public Job(Lane lane, IReadOnlyList<Item> items, bool needsNormalized = false)
    {
        Lane = lane;
        Items = items;
        Features = new float[items.Count * lane.FeatureLength];
        Normalized = needsNormalized ? new float[Features.Length] : [];
        _unfinished = items.Count;
        for (int i = 0; i < items.Count; i++)
            items[i].Place(this, i);
    }

    /// <summary>The tower.</summary>
    public Lane Lane { get; }

    /// <summary>The inputs, in the request's order.</summary>
    public IReadOnlyList<Item> Items { get; }

    /// <summary><c>[inputs, features]</c>, as the tower gives them.</summary>
    public float[] Features { get; }

    /// <summary>The same, each of length 1 as the device makes it; empty unless asked for.</summary>
    public float[] Normalized { get; }

    /// <summary>The next input to begin with.</summary>
    public int Next { get; set; }

    /// <summary>Its client has gone, or one of its inputs failed: what has not begun never will.</summary>
    public bool IsCancelled { get; set; }

    /// <summary>Ends when every input has its features or was given up, and nothing of it is looked at any more; throws what went wrong with the first that failed.</summary>
    public Task Completion => _done.Task;

    /// <summary>Says that some inputs are done with.</summary>
    public void Finish(int items)
    {
        if (Interlocked.Add(ref _unfinished, -items) > 0)
            return;
        if (Items.FirstOrDefault(static item => item.Failure is not null) is { } failed)
            _done.TrySetException(failed.Failure!);
        else if (IsCancelled)
            _done.TrySetCanceled();
        else
            _done.TrySetResult();
    }
}

/// <summary>One image or sentence of a job.</summary>
/// <param name="name">What messages call it.</param>
/// <param name="cost">What it counts in the queue.</param>
internal abstract class Item(string name, int cost)
{
    /// <summary>What messages call it.</summary>
    public string Name { get; } = name;

    /// <summary>What it counts in the queue.</summary>
    public int Cost { get; } = cost;

    /// <summary>What it belongs to.</summary>
    public Job Job { get; private set; } = null!;

    /// <summary>Its number among the job's inputs.</summary>
    public int Index { get; private set; }

    /// <summary>Why it has no features.</summary>
    public Exception? Failure { get; set; }

    /// <summary>When it was admitted, and when it could go to the tower.</summary>
    public long Submitted { get; set; }

    /// <summary>When it could go to the tower.</summary>
    public long Ready { get; set; }

    /// <summary>Where its features go.</summary>
    public Span<float> Features => Job.Features.AsSpan(Index * Job.Lane.FeatureLength, Job.Lane.FeatureLength);

    /// <summary>Where those of length 1 go; empty where nobody asked for them.</summary>
    public Span<float> Normalized => Job.Normalized.Length == 0 ? default : Job.Normalized.AsSpan(Index * Job.Lane.FeatureLength, Job.Lane.FeatureLength);

    /// <summary>Gives it its place.</summary>
    public void Place(Job job, int index) => (Job, Index) = (job, index);

    /// <summary>Makes what the tower takes; may be called on any thread.</summary>
    public abstract void Prepare();

    /// <summary>Gives the memory of <see cref="Prepare"/> back.</summary>
    public abstract void Release();
}
