namespace ClipEngine.Imaging;

/// <summary>The order of the bytes of a decoded pixel.</summary>
public enum PixelLayout
{
    /// <summary>Three bytes: red, green, blue (ImageSharp's <c>Rgb24</c>).</summary>
    Rgb,

    /// <summary>Three bytes: blue, green, red (OpenCV, many cameras).</summary>
    Bgr,

    /// <summary>Four bytes: red, green, blue and one that is not looked at (SkiaSharp's <c>Rgba8888</c> and <c>Rgb888x</c>, ImageSharp's <c>Rgba32</c>).</summary>
    Rgba,

    /// <summary>Four bytes: blue, green, red and one that is not looked at (SkiaSharp's <c>Bgra8888</c>, Windows bitmaps).</summary>
    Bgra,
}

/// <summary>A decoded image in memory, as a view: rows of pixels from top to bottom, nothing copied.</summary>
/// <remarks>Alpha is dropped, as it is for image files: colours that were multiplied with it stay so.</remarks>
public readonly ref struct ImagePixels
{
    /// <summary>A view of pixels.</summary>
    /// <param name="data">Row after row; at least <c>stride · (height - 1) + width · bytes of a pixel</c>.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="height">Rows.</param>
    /// <param name="layout">The order of a pixel's bytes.</param>
    /// <param name="stride">Bytes from one row to the next; 0 where the rows follow one another without a gap.</param>
    /// <exception cref="ArgumentOutOfRangeException">A width, height, stride or layout that makes no sense.</exception>
    /// <exception cref="ArgumentException">There are fewer bytes than that.</exception>
    /// <exception cref="ImageException">More pixels than image files may have.</exception>
    public ImagePixels(ReadOnlySpan<byte> data, int width, int height, PixelLayout layout = PixelLayout.Rgb, int stride = 0)
    {
        Stride = Check(data.Length, width, height, layout, stride);
        Data = data;
        Width = width;
        Height = height;
        Layout = layout;
    }

    /// <summary>Row after row.</summary>
    public ReadOnlySpan<byte> Data { get; }

    /// <summary>Pixels of a row.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>The order of a pixel's bytes.</summary>
    public PixelLayout Layout { get; }

    /// <summary>Bytes from one row to the next.</summary>
    public int Stride { get; }

    /// <summary>Checks the arguments of the constructor.</summary>
    /// <returns>The stride.</returns>
    internal static int Check(int length, int width, int height, PixelLayout layout, int stride)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(stride);
        if (!Enum.IsDefined(layout))
            throw new ArgumentOutOfRangeException(nameof(layout), layout, "no layout of pixels.");
        if (width > ImagePreprocessor.MaximumImageSide || height > ImagePreprocessor.MaximumImageSide || (long)width * height > ImagePreprocessor.MaximumPixelCount)
            throw new ImageException("pixels", ImageProblem.TooLarge, $"the image has {width} x {height} pixels; at most {ImagePreprocessor.MaximumPixelCount}, and sides of at most {ImagePreprocessor.MaximumImageSide}, are taken");
        long row = (long)width * (layout is PixelLayout.Rgba or PixelLayout.Bgra ? 4 : 3);
        if (stride == 0)
            stride = checked((int)row);
        if (stride < row)
            throw new ArgumentOutOfRangeException(nameof(stride), stride, $"a row of {width} pixels has {row} bytes.");
        long needed = ((long)stride * (height - 1)) + row;
        return length >= needed ? stride : throw new ArgumentException($"{width} x {height} pixels, {stride} bytes from row to row, take {needed} bytes; found {length}.", nameof(length));
    }
}
