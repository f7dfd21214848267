namespace ClipEngine.Imaging;

/// <summary>An image that is being decoded on another thread, for whoever asks for its pixels later.</summary>
internal sealed class FirstImage : IDisposable
{
    private readonly PreprocessOptions _options;
    private readonly Task<NativeArray<float>> _pixels;

    /// <summary>Begins.</summary>
    /// <param name="options">What the pixels are made into.</param>
    /// <param name="decode">Makes them; what it throws is thrown by <see cref="TryTake"/>.</param>
    public FirstImage(PreprocessOptions options, Action<ImagePreprocessor, NativeArray<float>> decode)
    {
        _options = options;
        _pixels = Task.Run(() =>
        {
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
        });
    }

    /// <summary>Waits for the pixels and copies them. False where another preprocessor would make others.</summary>
    /// <param name="preprocessor">The one that they are wanted of.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="BadInputException">The image cannot be read, or is no image.</exception>
    public bool TryTake(IImagePreprocessor preprocessor, Span<float> pixels)
    {
        if (preprocessor is not ImagePreprocessor || preprocessor.Options != _options)
            return false;
        _pixels.GetAwaiter().GetResult().GetSpan().CopyTo(pixels);
        return true;
    }

    /// <summary>Waits for the decoder, and releases the pixels.</summary>
    public void Dispose()
    {
        ((IAsyncResult)_pixels).AsyncWaitHandle.WaitOne();
        if (_pixels.IsCompletedSuccessfully)
            _pixels.Result.Dispose();
    }
}
