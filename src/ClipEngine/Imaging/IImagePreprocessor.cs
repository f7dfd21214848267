namespace ClipEngine.Imaging;

/// <summary>Turns image files into the pixels that an image tower expects, as its options say. Thread-safe.</summary>
public interface IImagePreprocessor
{
    /// <summary>What the pixels are made into.</summary>
    PreprocessOptions Options { get; }

    /// <summary>Decodes, resizes, crops and converts to RGB.</summary>
    /// <param name="encoded">A whole image file.</param>
    /// <param name="name">What messages call it, normally its path.</param>
    /// <param name="crop"><c>[height, width, 3]</c> bytes, RGB.</param>
    /// <exception cref="BadInputException">Not an image that can be read, or one that is refused; names the image and the reason.</exception>
    void Crop(ReadOnlySpan<byte> encoded, string name, Span<byte> crop);

    /// <summary>The same, then normalised in fp32.</summary>
    /// <param name="encoded">A whole image file.</param>
    /// <param name="name">What messages call it, normally its path.</param>
    /// <param name="pixels"><c>[3, height, width]</c>, channels R, G, B.</param>
    /// <exception cref="BadInputException">As above.</exception>
    void Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> pixels);

    /// <summary>The same for an image that is decoded already: the same bits as for a file with these pixels.</summary>
    /// <param name="image">The pixels; not kept.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="pixels"><c>[3, height, width]</c>, channels R, G, B.</param>
    /// <exception cref="BadInputException">It is refused.</exception>
    /// <exception cref="NotSupportedException">The preprocessor takes files only.</exception>
    void Preprocess(in ImagePixels image, string name, Span<float> pixels) =>
        throw new NotSupportedException($"{GetType().Name} takes image files only, not decoded pixels.");
}
