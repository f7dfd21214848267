namespace ClipEngine.Native;

/// <summary>The one thread pool of the native library. Results never depend on its size.</summary>
public static class NativeThreads
{
    /// <summary>Processors this process may use: its affinity mask, cut by the cgroup's CPU quota.</summary>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static int Available
    {
        get
        {
            NativeLoader.EnsureLoaded();
            return NativeMethods.ThreadsAvailable();
        }
    }

    /// <summary>Threads that work on one operation, the calling one included; <see cref="Available"/> unless set. Setting waits for work in progress.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 1.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static int Count
    {
        get
        {
            NativeLoader.EnsureLoaded();
            return NativeMethods.ThreadsGet();
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            NativeLoader.EnsureLoaded();
            NativeMethods.ThreadsSet(value).ThrowIfFailed();
        }
    }
}
