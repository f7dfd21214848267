using System.Collections.Concurrent;

namespace ClipEngine.Testing;

/// <summary>Disposes something while threads call it, as often as is asked for.</summary>
public static class UnderLoad
{
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(2);

    /// <summary>How often a test disposes: some times, and a thousand with <c>CLIPENGINE_LONG=1</c>.</summary>
    public static int Rounds => Environment.GetEnvironmentVariable("CLIPENGINE_LONG") == "1" ? 1000 : 12;

    /// <summary>
    /// Calls on several threads until each has met an <see cref="ObjectDisposedException"/>, and disposes at a random moment meanwhile.
    /// Afterwards a call must throw it at once.
    /// </summary>
    /// <param name="seed">Decides the moment.</param>
    /// <param name="call">May be run by several threads at once. Anything else that it throws fails the test.</param>
    /// <param name="dispose">Run once.</param>
    /// <param name="threadCount">How many threads call; fewer where they only wait for each other.</param>
    public static void Dispose(int seed, Action call, Action dispose, int threadCount = 4)
    {
        var random = new Random(seed);
        var failures = new ConcurrentQueue<Exception>();
        int calls = 0;
        var threads = new Thread[threadCount];
        for (int i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(() =>
            {
                try
                {
                    while (true)
                    {
                        call();
                        Interlocked.Increment(ref calls);
                    }
                }
                catch (ObjectDisposedException)
                {
                    // That is how a thread learns of it.
                }
                catch (Exception exception)
                {
                    failures.Enqueue(exception);
                }
            })
            { IsBackground = true };
            threads[i].Start();
        }

        // At the very first call, in the middle of one, or after some.
        int wanted = random.Next(2 * threadCount);
        SpinWait.SpinUntil(() => Volatile.Read(ref calls) >= wanted || !failures.IsEmpty, Longest);
        Thread.SpinWait(random.Next(20_000));
        dispose();
        foreach (Thread thread in threads)
        {
            if (!thread.Join(Longest))
                throw new TimeoutException($"a call did not end within {Longest} of disposing");
        }

        if (!failures.IsEmpty)
            throw new AggregateException("a call threw something else than ObjectDisposedException", failures);
        try
        {
            call();
        }
        catch (ObjectDisposedException)
        {
            return;
        }

        throw new InvalidOperationException("a call behind disposing did not throw ObjectDisposedException");
    }
}
