using System.Diagnostics;

namespace ClipEngine.Imaging;

/// <summary>Makes the pixels of one image.</summary>
/// <param name="index">Which.</param>
/// <param name="pixels"><c>[3, height, width]</c>.</param>
internal delegate void ImageDecode(int index, Span<float> pixels);

/// <summary>
/// Decodes images on threads of its own, batch by batch and in order, while whoever takes the batches computes on an earlier one.
/// </summary>
/// <remarks>
/// <para>Memory: <c>BatchesAhead + 1</c> batches, whatever the number of images. Nothing is allocated per image or batch, refusals apart.</para>
/// <para>An image that is refused leaves zeros in its place and its exception in the batch; the others of the batch are not held up.</para>
/// <para>Use: <c>while (reader.TryTake(out ImageBatch batch)) …</c>; a batch is valid until the next call. One thread takes, any thread may cancel.</para>
/// </remarks>
internal sealed class ImageDecodePool : IDisposable
{
    /// <summary>Batches that are decoded while one is being computed on.</summary>
    internal const int BatchesAhead = 2;

    private readonly object _lock = new();
    private readonly ImageDecode _decode;
    private readonly CancellationToken _cancellation;
    private readonly CancellationTokenRegistration _registration;
    private readonly int _count, _batchSize, _imageLength;
    private readonly Slot[] _slots;
    private readonly Thread[] _threads;
    private int _nextImage; // the next to be decoded
    private int _nextBatch; // the next to be taken; those before it are free again but for the last
    private long _decodeTicks;
    private Exception? _failure;
    private bool _stopped;

    /// <summary>Starts decoding.</summary>
    /// <param name="count">How many images.</param>
    /// <param name="imageLength">Floats of one image.</param>
    /// <param name="batchSize">Images of a batch; the last may be smaller.</param>
    /// <param name="threads">Decoding threads, at least 1.</param>
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
        for (int i = 0; i < _slots.Length; i++)
            _slots[i] = new Slot(new float[checked(_batchSize * imageLength)], new BadInputException?[_batchSize], BatchLength(i)) { Batch = i };
        _registration = cancellation.Register(static state => ((ImageDecodePool)state!).Stop(), this);
        _threads = new Thread[Math.Min(threads, count)];
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Work) { IsBackground = true, Name = $"clipengine decode {i}" };
            _threads[i].Start();
        }
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
        lock (_lock)
        {
            int taken = _nextBatch;
            if (BatchLength(taken) <= 0)
                return false;
            Slot slot = _slots[taken % _slots.Length];
            if (taken > 0)
                Free(taken - 1);
            while (slot.Left > 0 && _failure is null && !_stopped)
                Monitor.Wait(_lock);
            _cancellation.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_stopped, this);
            if (_failure is not null)
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
            _nextBatch = taken + 1;
            int length = BatchLength(taken);
            batch = new ImageBatch(taken * _batchSize, length, slot.Pixels.AsSpan(0, length * _imageLength), slot.Refusals.AsSpan(0, length));
            return true;
        }
    }

    /// <summary>Stops decoding and waits for the images that are being decoded.</summary>
    public void Dispose()
    {
        _registration.Dispose();
        Stop();
        foreach (Thread thread in _threads)
            thread.Join();
    }

    private int BatchLength(int batch) => Math.Min(_batchSize, _count - batch * _batchSize);

    /// <summary>Hands a batch's slot on to the batch that will use it next.</summary>
    private void Free(int batch)
    {
        Slot slot = _slots[batch % _slots.Length];
        slot.Batch = batch + _slots.Length;
        slot.Left = Math.Max(0, BatchLength(slot.Batch));
        Array.Clear(slot.Refusals);
        Monitor.PulseAll(_lock);
    }

    private void Stop()
    {
        lock (_lock)
        {
            _stopped = true;
            Monitor.PulseAll(_lock);
        }
    }

    private void Work()
    {
        while (true)
        {
            int image;
            Slot slot;
            lock (_lock)
            {
                while (!_stopped && _nextImage < _count && _slots[_nextImage / _batchSize % _slots.Length].Batch != _nextImage / _batchSize)
                    Monitor.Wait(_lock);
                if (_stopped || _failure is not null || _nextImage >= _count)
                    return;
                image = _nextImage++;
                slot = _slots[image / _batchSize % _slots.Length];
            }

            int place = image % _batchSize;
            Span<float> pixels = slot.Pixels.AsSpan(place * _imageLength, _imageLength);
            BadInputException? refusal = null;
            Exception? failure = null;
            long start = Stopwatch.GetTimestamp();
            try
            {
                _decode(image, pixels);
            }
            catch (BadInputException exception)
            {
                refusal = exception;
                pixels.Clear();
            }
            catch (Exception exception) // it belongs to whoever takes the batches, not to this thread
            {
                failure = exception;
            }

            Interlocked.Add(ref _decodeTicks, Stopwatch.GetTimestamp() - start);
            lock (_lock)
            {
                slot.Refusals[place] = refusal;
                _failure ??= failure;
                if (--slot.Left == 0 || failure is not null)
                    Monitor.PulseAll(_lock);
            }
        }
    }

    private sealed class Slot(float[] pixels, BadInputException?[] refusals, int left)
    {
        public float[] Pixels { get; } = pixels;

        public BadInputException?[] Refusals { get; } = refusals;

        /// <summary>Which batch it holds or is about to hold.</summary>
        public int Batch { get; set; }

        /// <summary>Images of it that are still to be decoded.</summary>
        public int Left { get; set; } = left;
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
