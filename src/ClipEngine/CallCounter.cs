namespace ClipEngine;

/// <summary>
/// Counts the calls in progress on something that can be disposed at any time, so that what they use is released exactly once: by
/// <see cref="Close"/> where nothing runs, else by the last call when it ends. Nothing waits, so a call may close what it runs on.
/// </summary>
/// <param name="release">What to do once, when it is closed and no call is left. It must not throw.</param>
internal sealed class CallCounter(Action release)
{
    // Twice the number of calls in progress, plus 1 once closed.
    private long _state;

    /// <summary>Whether <see cref="Close"/> was called; calls that began before may still run.</summary>
    public bool IsClosed => (Interlocked.Read(ref _state) & 1) != 0;

    /// <summary>Begins a call; disposing the result ends it.</summary>
    /// <param name="owner">Named by the exception.</param>
    /// <exception cref="ObjectDisposedException">Closed.</exception>
    public Call Enter(object owner)
    {
        long state = Interlocked.Read(ref _state);
        while (true)
        {
            ObjectDisposedException.ThrowIf((state & 1) != 0, owner);
            long found = Interlocked.CompareExchange(ref _state, state + 2, state);
            if (found == state)
                return new Call(this);
            state = found;
        }
    }

    /// <summary>Lets no further call begin. May be called again.</summary>
    public void Close()
    {
        if (Interlocked.Or(ref _state, 1) == 0)
            release();
    }

    private void Leave()
    {
        if (Interlocked.Add(ref _state, -2) == 1)
            release();
    }

    /// <summary>A call in progress. Dispose it exactly once.</summary>
    internal readonly struct Call(CallCounter counter) : IDisposable
    {
        public void Dispose() => counter.Leave();
    }
}
