using System.Diagnostics;
using System.Threading.Channels;

namespace ClipEngine.Imaging;

/// <summary>Makes the pixels of one image.</summary>
/// <param name="index">Which.</param>
/// <param name="pixels"><c>[3, height, width]</c>.</param>
internal delegate void ImageDecode(int index, Span<float> pixels);

/// <summary>
/// Decodes images on the thread pool, batch by batch and in order, while whoever takes the batches computes on an earlier one.
/// </summary>
/// <remarks>
/// <para>Memory: <c>BatchesAhead + 1</c> batches, outside the managed heap, whatever the number of images. Nothing is allocated per image; a batch that has to be waited for costs a task.</para>
/// <para>An image that is refused leaves zeros in its place and its exception in the batch; the others of the batch are not held up.</para>
/// <para>Use: <c>while (pool.TryTake(out ImageBatch batch)) …</c>; a batch is valid until the next call. One thread takes, any thread may cancel.</para>
/// </remarks>
internal sealed class ImageDecodePool : IDisposable
{
    /// <summary>Batches that are decoded while one is being computed on.</summary>
    internal const int BatchesAhead = 2;

    private readonly ImageDecode _decode;
    private readonly CancellationToken _cancellation;
    private readonly CancellationTokenRegistration _registration;
    private readonly int _count, _batchSize, _imageLength;
    private readonly Slot[] _slots;
    private readonly Channel<Slot> _images; // a slot once for each of its images, in order; written by whoever takes the batches
    private readonly Channel<Slot> _finished; // in the order in which they were finished
    private readonly Task[] _workers;
    private int _nextBatch; // the next to be taken; those before it are free again but for the last
    private long _decodeTicks;
    private volatile bool _isStopped;

    /// <summary>Starts decoding.</summary>
    /// <param name="count">How many images.</param>
    /// <param name="imageLength">Floats of one image.</param>
    /// <param name="batchSize">Images of a batch; the last may be smaller.</param>
    /// <param name="threads">Images that are decoded at once, at least 1.</param>
    /// <param name="decode">Makes the pixels of one image; called from several threads at once.</param>
    /// <param name="cancellation">Ends the work between two images.</param>
    public ImageDecodePool(int count, int imageLength, int batchSize, int threads, ImageDecode decode, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        _count = count;
        _imageLength = imageLength;
        _batchSize = Math.Max(1, Math.Min(batchSize, count));
        _decode = decode;
        _cancellation = cancellation;
        int batches = (count + _batchSize - 1) / _batchSize;
        _slots = new Slot[Math.Min(batches, BatchesAhead + 1)];
        _images = Channel.CreateBounded<Slot>(new BoundedChannelOptions(Math.Max(1, _slots.Length * _batchSize)) { SingleWriter = true });
        _finished = Channel.CreateBounded<Slot>(new BoundedChannelOptions(BatchesAhead + 1) { SingleReader = true });
        for (int batch = 0; batch < _slots.Length; batch++)
        {
            _slots[batch] = new Slot(new NativeArray<float>(checked(_batchSize * imageLength)), new BadInputException?[_batchSize]);
            Begin(batch);
        }

        _registration = cancellation.UnsafeRegister(static state => ((ImageDecodePool)state!).Stop(failure: null), this);
        _workers = new Task[Math.Min(threads, count)];
        for (int i = 0; i < _workers.Length; i++)
            _workers[i] = Task.Run(WorkAsync, CancellationToken.None);
    }

    /// <summary>Time spent decoding so far, summed over the threads.</summary>
    public TimeSpan DecodeTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _decodeTicks));

    /// <summary>The next batch, in the order of the images.</summary>
    /// <param name="batch">Valid until the next call.</param>
    /// <returns>False behind the last image.</returns>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public bool TryTake(out ImageBatch batch)
    {
        batch = default;
        int taken = _nextBatch, length = BatchLength(taken);
        if (length <= 0)
            return false;
        if (taken > 0)
            Begin(taken - 1 + _slots.Length); // in the place of the batch that was taken last
        Slot slot = _slots[taken % _slots.Length];
        while (Volatile.Read(ref slot.Left) > 0)
        {
            // Batches may be finished out of order; each that is wakes the taker, who looks for the one it needs. Stopping ends the wait too.
            bool isFinished = Blocking.Wait(_finished.Reader.WaitToReadAsync(CancellationToken.None));
            _cancellation.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(!isFinished, this);
            _finished.Reader.TryRead(out _);
        }

        _cancellation.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(slot.Pixels.Length == 0, this);
        _nextBatch = taken + 1;
        batch = new ImageBatch(taken * _batchSize, length, slot.Pixels.GetSpan()[..(length * _imageLength)], slot.Refusals.AsSpan(0, length));
        return true;
    }

    /// <summary>Stops decoding and waits for the images that are being decoded.</summary>
    public void Dispose()
    {
        _registration.Dispose();
        Stop(failure: null);
        Task.WaitAll(_workers, CancellationToken.None);
        foreach (Slot slot in _slots)
            slot.Pixels.Dispose();
    }

    private int BatchLength(int batch) => Math.Min(_batchSize, _count - (batch * _batchSize));

    /// <summary>Hands the images of a batch to the workers.</summary>
    private void Begin(int batch)
    {
        int length = BatchLength(batch);
        if (length <= 0)
            return;
        Slot slot = _slots[batch % _slots.Length];
        Array.Clear(slot.Refusals);
        slot.First = batch * _batchSize;
        slot.Next = 0;
        Volatile.Write(ref slot.Left, length);
        for (int i = 0; i < length; i++)
            _images.Writer.TryWrite(slot); // there is room for all images of all slots
    }

    private void Stop(Exception? failure)
    {
        _isStopped = true;
        _images.Writer.TryComplete();
        _finished.Writer.TryComplete(failure);
    }

    private async Task WorkAsync()
    {
        while (await _images.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            while (!_isStopped && _images.Reader.TryRead(out Slot? slot))
            {
                Decode(slot, Interlocked.Increment(ref slot.Next) - 1);
                await Task.Yield(); // other work of the process gets its turn between two images
            }

            if (_isStopped)
                return;
        }
    }

    private void Decode(Slot slot, int place)
    {
        Span<float> pixels = slot.Pixels.GetSpan().Slice(place * _imageLength, _imageLength);
        long start = Stopwatch.GetTimestamp();
        try
        {
            _decode(slot.First + place, pixels);
        }
        catch (BadInputException exception)
        {
            slot.Refusals[place] = exception;
            pixels.Clear();
        }
        catch (Exception exception) // it belongs to whoever takes the batches, not to this thread
        {
            Stop(exception);
            return;
        }
        finally
        {
            Interlocked.Add(ref _decodeTicks, Stopwatch.GetTimestamp() - start);
        }

        if (Interlocked.Decrement(ref slot.Left) == 0)
            _finished.Writer.TryWrite(slot); // where there is no room, the taker has signs to read before it waits, and looks again behind each
    }

    private sealed class Slot(NativeArray<float> pixels, BadInputException?[] refusals)
    {
        /// <summary>Images of it that are still to be decoded.</summary>
        public int Left;

        /// <summary>The place of the next one to be decoded.</summary>
        public int Next;

        /// <summary>The index of the image in its first place.</summary>
        public int First { get; set; }

        public NativeArray<float> Pixels { get; } = pixels;

        public BadInputException?[] Refusals { get; } = refusals;
    }
}

/// <summary>Decoded images that follow one another.</summary>
internal readonly ref struct ImageBatch(int first, int count, ReadOnlySpan<float> pixels, ReadOnlySpan<BadInputException?> refusals)
{
    /// <summary>The index of the first.</summary>
    public int First { get; } = first;

    /// <summary>How many.</summary>
    public int Count { get; } = count;

    /// <summary><c>[count, 3, height, width]</c>; zeros where an image was refused.</summary>
    public ReadOnlySpan<float> Pixels { get; } = pixels;

    /// <summary><c>[count]</c>: why an image was refused, or null.</summary>
    public ReadOnlySpan<BadInputException?> Refusals { get; } = refusals;

    /// <summary>Throws the refusal of the first image that has one, for callers that want all or nothing.</summary>
    public void ThrowIfRefused()
    {
        foreach (BadInputException? refusal in Refusals)
        {
            if (refusal is not null)
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(refusal);
        }
    }
}
