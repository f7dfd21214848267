using ClipEngine.Native;

namespace ClipEngine.Imaging;

/// <summary>
/// Decodes images batch by batch, one batch ahead of whoever takes them, on the thread pool. Two buffers take turns, so that
/// memory does not grow with the number of images.
/// </summary>
internal sealed class ImageBatchReader : IDisposable
{
    /// <summary>No image file is larger; a decoder would refuse it anyway.</summary>
    private const long MaximumFileLength = 1 << 30;

    private readonly IImagePreprocessor _preprocessor;
    private readonly Func<int, (string Name, ReadOnlyMemory<byte> Encoded)> _source;
    private readonly CancellationTokenSource _cancellation;
    private readonly int _count, _batchSize, _imageLength;
    private float[] _next, _taken;
    private Task? _decoding;
    private int _started;

    /// <summary>Starts decoding the first batch.</summary>
    /// <param name="preprocessor">Makes the pixels.</param>
    /// <param name="count">How many images.</param>
    /// <param name="source">The name and the bytes of an image; called from several threads, in no order.</param>
    /// <param name="batchSize">Images of a batch.</param>
    /// <param name="cancellationToken">Ends the work between two images.</param>
    public ImageBatchReader(IImagePreprocessor preprocessor, int count, Func<int, (string Name, ReadOnlyMemory<byte> Encoded)> source, int batchSize, CancellationToken cancellationToken)
    {
        _preprocessor = preprocessor;
        _source = source;
        _count = count;
        _batchSize = Math.Max(1, Math.Min(batchSize, count));
        _imageLength = 3 * preprocessor.Options.Height * preprocessor.Options.Width;
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

    /// <summary>Reads a whole image file.</summary>
    /// <exception cref="BadInputException">Not there, not a regular file, or not readable; names it.</exception>
    public static ReadOnlyMemory<byte> ReadFile(string path)
    {
        if (Linux.GetStatus(path) is { Kind: not FileKind.Regular } status)
            throw new BadInputException(path, $"is no image but {(status.Kind == FileKind.Folder ? "a folder" : "a pipe or a device")}.");
        try
        {
            long length = new FileInfo(path).Length;
            return length <= MaximumFileLength
                ? File.ReadAllBytes(path)
                : throw new BadInputException(path, $"has {length} bytes; expected at most {MaximumFileLength} of an image.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException(path, $"the image cannot be read: {exception.Message}", "Correct the name, or leave it out.", exception);
        }
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
                (string name, ReadOnlyMemory<byte> encoded) = _source(start + i);
                _preprocessor.Preprocess(encoded.Span, name, buffer.AsSpan(i * _imageLength, _imageLength));
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
