using System.Runtime.CompilerServices;
using ClipEngine.Imaging;

namespace ClipEngine.Tests.Imaging;

/// <summary>What becomes of a decoder that nobody waits for any more: a model was refused, or the user gave up.</summary>
public class FirstImageTests
{
    private static readonly PreprocessOptions s_options = new() { Height = 16, Width = 16 };
    private static readonly TimeSpan s_soon = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task DisposingDoesNotWaitForTheDecoderWhosePixelsAreReleasedWhenItIsDone()
    {
        using ManualResetEventSlim begun = new(), goOn = new();
        NativeArray<float>? made = null;
        var first = new FirstImage(s_options, (_, pixels) =>
        {
            made = pixels;
            begun.Set();
            goOn.Wait();
        }, CancellationToken.None);
        Assert.True(begun.Wait(s_soon));
        try
        {
            await Task.Run(first.Dispose).WaitAsync(s_soon);
            Assert.Equal(3 * 16 * 16, made!.Length); // the decoder still writes to them
        }
        finally
        {
            goOn.Set();
        }

        Assert.True(SpinWait.SpinUntil(() => made.Length == 0, s_soon));
        first.Dispose();
    }

    [Fact]
    public void PixelsThatAreThereAreReleasedAtOnce()
    {
        NativeArray<float>? made = null;
        var first = new FirstImage(s_options, (_, pixels) =>
        {
            made = pixels;
            pixels.GetSpan().Fill(3);
        }, CancellationToken.None);
        float[] found = new float[3 * 16 * 16];
        Assert.True(first.TryTake(new ImagePreprocessor(s_options), found));
        Assert.All(found, value => Assert.Equal(3, value));
        first.Dispose();
        Assert.Equal(0, made!.Length);
    }

    [Fact]
    public void CancelledBeforeItBeginsItDoesNotBegin()
    {
        int calls = 0;
        using var first = new FirstImage(s_options, (_, _) => calls++, new CancellationToken(canceled: true));
        Assert.ThrowsAny<OperationCanceledException>(() => first.TryTake(new ImagePreprocessor(s_options), new float[3 * 16 * 16]));
        Assert.Equal(0, calls);
    }

    [Fact]
    public void WhatIsWrongWithAnImageThatNobodyAskedForIsNoUnobservedException()
    {
        var unobserved = new List<Exception>();
        void Note(object? sender, UnobservedTaskExceptionEventArgs arguments)
        {
            lock (unobserved)
                unobserved.AddRange(arguments.Exception.InnerExceptions.OfType<TimeZoneNotFoundException>());
        }

        TaskScheduler.UnobservedTaskException += Note;
        try
        {
            BeginAndDispose();
            for (int time = 0; time < 3; time++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= Note;
        }

        lock (unobserved)
            Assert.Empty(unobserved);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void BeginAndDispose()
    {
        using var decoded = new ManualResetEventSlim();
        NativeArray<float>? made = null;
        // An exception that no other test of this process throws.
        var first = new FirstImage(s_options, (_, pixels) =>
        {
            made = pixels;
            decoded.Set();
            throw new TimeZoneNotFoundException();
        }, CancellationToken.None);
        Assert.True(decoded.Wait(s_soon));
        first.Dispose();
        Assert.True(SpinWait.SpinUntil(() => made!.Length == 0, s_soon));
    }
}
