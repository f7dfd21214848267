namespace ClipEngine;

/// <summary>Waits of calls that are not asynchronous.</summary>
internal static class Blocking
{
    /// <summary>Waits in a way that the thread pool sees, so that it lends another thread where the waiting one is its own.</summary>
    public static T Wait<T>(ValueTask<T> task) => task.IsCompleted ? task.GetAwaiter().GetResult() : task.AsTask().GetAwaiter().GetResult();
}
