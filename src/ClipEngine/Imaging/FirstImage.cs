namespace ClipEngine.Imaging;

/// <summary>An image that is being decoded on another thread, for whoever asks for its pixels later.</summary>
internal sealed class FirstImage : IDisposable
{
    private readonly PreprocessOptions _options;
    private readonly Task<NativeArray<float>> _pixels;
    private volatile bool _isDisposed;

    /// <summary>Begins.</summary>
    /// <param name="options">What the pixels are made into.</param>
    /// <param name="decode">Makes them; what it throws is thrown by <see cref="TryTake"/>. It may still run when this is disposed.</param>
    /// <param name="cancellation">Cancelled before the decoder begins, it does not begin; <see cref="TryTake"/> then says so.</param>
    public FirstImage(PreprocessOptions options, Action<ImagePreprocessor, NativeArray<float>> decode, CancellationToken cancellation)
    {
        _options = options;
        _pixels = Task.Run(
            () =>
            {
                if (_isDisposed)
                    throw new OperationCanceledException("Nobody waits for this image any more.");
                var preprocessor = new ImagePreprocessor(options);
                var pixels = new NativeArray<float>(preprocessor.ElementCount);
                try
                {
                    decode(preprocessor, pixels);
                    return pixels;
                }
                catch
                {
                    pixels.Dispose();
                    throw;
                }
            },
            cancellation);
    }

    /// <summary>Waits for the pixels and copies them. False where another preprocessor would make others.</summary>
    /// <param name="preprocessor">The one that they are wanted of.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="BadInputException">The image cannot be read, or is no image.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before it began.</exception>
    public bool TryTake(IImagePreprocessor preprocessor, Span<float> pixels)
    {
        if (preprocessor is not ImagePreprocessor || preprocessor.Options != _options)
            return false;
        _pixels.GetAwaiter().GetResult().GetSpan().CopyTo(pixels);
        return true;
    }

    /// <summary>Releases the pixels: now, or when the decoder is done with them. Does not wait for it: it may be at a huge image, or at a disk that hangs, when a model is refused.</summary>
    public void Dispose()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _ = _pixels.ContinueWith(
            static pixels =>
            {
                if (pixels.IsCompletedSuccessfully)
                    pixels.Result.Dispose();
                else
                    _ = pixels.Exception; // nobody asked for the image: what is wrong with it is nobody's concern
            },
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }
}
