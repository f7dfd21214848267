namespace ClipEngine.Imaging;

/// <summary>Decodes one image of several.</summary>
/// <param name="index">Which one.</param>
/// <param name="pixels"><c>[3, height, width]</c>, filled.</param>
internal delegate void ImageSource(int index, Span<float> pixels);

/// <summary>
/// Decodes images batch by batch, one batch ahead of whoever takes them, on the thread pool. Two buffers take turns, so that
/// memory does not grow with the number of images.
/// </summary>
internal sealed class ImageBatchReader : IDisposable
{
    private readonly ImageSource _source;
    private readonly CancellationTokenSource _cancellation;
    private readonly int _count, _batchSize, _imageLength;
    private float[] _next, _taken;
    private Task? _decoding;
    private int _started;

    /// <summary>Starts decoding the first batch.</summary>
    /// <param name="source">Decodes an image; called from several threads, in no order.</param>
    /// <param name="count">How many images.</param>
    /// <param name="imageLength">Floats of an image.</param>
    /// <param name="batchSize">Images of a batch.</param>
    /// <param name="cancellationToken">Ends the work between two images.</param>
    public ImageBatchReader(ImageSource source, int count, int imageLength, int batchSize, CancellationToken cancellationToken)
    {
        _source = source;
        _count = count;
        _batchSize = Math.Max(1, Math.Min(batchSize, count));
        _imageLength = imageLength;
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _next = new float[_batchSize * _imageLength];
        _taken = count > _batchSize ? new float[_next.Length] : _next;
        DecodeNext();
    }

    /// <summary>The next batch, in the order of the images.</summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, valid until the next call.</param>
    /// <returns>False behind the last image.</returns>
    /// <exception cref="BadInputException">An image is refused: of several in the batch the first.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public bool TryTake(out ReadOnlySpan<float> pixels)
    {
        pixels = default;
        if (_decoding is null)
            return false;
        int n = Math.Min(_batchSize, _count - (_started - 1) * _batchSize);
        _decoding.GetAwaiter().GetResult();
        (_next, _taken) = (_taken, _next);
        DecodeNext();
        pixels = _taken.AsSpan(0, n * _imageLength);
        return true;
    }

    /// <summary>Stops decoding and waits for the images that are being decoded.</summary>
    public void Dispose()
    {
        _cancellation.Cancel();
        try
        {
            _decoding?.Wait();
        }
        catch (AggregateException)
        {
            // Nobody asks for this batch any more, nor for what was wrong with it.
        }

        _cancellation.Dispose();
    }

    private void DecodeNext()
    {
        int start = _started * _batchSize, n = Math.Min(_batchSize, _count - start);
        float[] buffer = _next;
        _decoding = n <= 0 ? null : Task.Run(() => Decode(start, n, buffer), CancellationToken.None);
        _started++;
    }

    private void Decode(int start, int n, float[] buffer)
    {
        var refusals = new BadInputException?[n];
        Parallel.For(0, n, new ParallelOptions { CancellationToken = _cancellation.Token }, i =>
        {
            try
            {
                _source(start + i, buffer.AsSpan(i * _imageLength, _imageLength));
            }
            catch (BadInputException exception)
            {
                refusals[i] = exception; // which one is reported must not depend on the threads
            }
        });
        if (refusals.FirstOrDefault(refusal => refusal is not null) is { } first)
            throw first;
    }
}
