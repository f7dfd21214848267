using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// Whether a pass may be used. One operation runs at a time; a pass that another thread disposes during an operation ends when the
/// operation does, and every later one throws.
/// </summary>
internal struct PassState
{
    private const int Closed = 0, Open = 1, Busy = 2, Closing = 3;

    private int _state;
    private int _thread; // that opened the pass
    private int _operationThread; // that runs the operation; 0 for none
    private int _depth; // operations that the running one is made of, one inside the other

    /// <summary>The pass begins, on this thread.</summary>
    internal void Begin()
    {
        _thread = Environment.CurrentManagedThreadId;
        Volatile.Write(ref _state, Open);
    }

    /// <summary>An operation begins, possibly as a part of the one that this thread is running.</summary>
    /// <exception cref="ObjectDisposedException">The pass is disposed.</exception>
    /// <exception cref="InvalidOperationException">Another operation of it is running.</exception>
    internal void Enter(IPass pass)
    {
        int thread = Environment.CurrentManagedThreadId;
        if (Volatile.Read(ref _operationThread) == thread)
        {
            _depth++;
            return;
        }

        int found = Interlocked.CompareExchange(ref _state, Busy, Open);
        if (found == Open)
        {
            Volatile.Write(ref _operationThread, thread);
            return;
        }

        ObjectDisposedException.ThrowIf(found is Closed or Closing, pass);
        throw new InvalidOperationException("Another operation of this pass is running; a pass is for one thread at a time.");
    }

    /// <summary>Ends an operation that is part of another.</summary>
    /// <returns>False where it is none: then <see cref="Leave"/> ends it.</returns>
    internal bool LeavePart()
    {
        if (_depth == 0)
            return false;
        _depth--;
        return true;
    }

    /// <summary>An operation ends.</summary>
    /// <returns>Whether the pass was disposed meanwhile: the caller ends it now.</returns>
    internal bool Leave()
    {
        Volatile.Write(ref _operationThread, 0);
        if (Interlocked.CompareExchange(ref _state, Open, Busy) == Busy)
            return false;
        Volatile.Write(ref _state, Closed);
        return true;
    }

    /// <summary>The pass is disposed.</summary>
    /// <param name="mayBeReused">
    /// Whether the pass may serve another caller: not where it is disposed by another thread than the one that opened it, which may
    /// still hold it and must be told so at its next operation.
    /// </param>
    /// <returns>Whether the caller ends it now; else it is disposed already, or a running operation will end it.</returns>
    internal bool Close(out bool mayBeReused)
    {
        mayBeReused = _thread == Environment.CurrentManagedThreadId;
        while (true)
        {
            int found = Volatile.Read(ref _state);
            if (found is Closed or Closing)
                return false;
            int next = found == Open ? Closed : Closing;
            if (Interlocked.CompareExchange(ref _state, next, found) == found)
                return next == Closed;
        }
    }
}
