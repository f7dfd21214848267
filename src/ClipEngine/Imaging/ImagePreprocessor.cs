using ClipEngine.Native;

namespace ClipEngine.Imaging;

/// <summary>
/// Decodes JPEG, PNG, WebP, BMP and GIF, resizes, crops and converts to RGB in native code: the same bytes as open_clip's and
/// transformers' image processors make, whichever <see cref="PreprocessOptions"/> describe. Orientation tags are ignored, and 16-bit gray
/// is clipped at 255, as they do.
/// </summary>
/// <remarks>
/// Limits, checked in the header before memory is taken: 178,956,970 pixels, 1,000,000 columns or rows, 100 scans of a progressive
/// JPEG, and no more pixels than the file's length can hold. A truncated or damaged file is refused, never shown half.
/// Thread-safe; each call works on the calling thread alone.
/// </remarks>
public sealed class ImagePreprocessor : IImagePreprocessor
{
    /// <summary>The largest side of a result.</summary>
    public const int MaximumSide = 8192;

    internal const int MaximumImageSide = 1_000_000;
    internal const int MaximumPixelCount = 178_956_970;

    private readonly NativeImageTransform _transform;

    /// <summary>Fixes what the pixels are made into.</summary>
    /// <param name="options">Sizes, filter, whose rules, mean and standard deviation.</param>
    /// <exception cref="BadInputException">A size, mean or standard deviation that makes no sense, or choices that exclude each other.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public ImagePreprocessor(PreprocessOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Height is < 1 or > MaximumSide || options.Width is < 1 or > MaximumSide)
            throw new BadInputException("preprocessing", $"an image size of {options.Width} x {options.Height}; expected sides of 1 to {MaximumSide}.");
        if (options.Mean.IsDefault || options.Mean.Length != 3 || options.StandardDeviation.IsDefault || options.StandardDeviation.Length != 3)
            throw new BadInputException("preprocessing", "mean and standard deviation must have 3 values each, for R, G and B.");
        for (int channel = 0; channel < 3; channel++)
        {
            if (!float.IsFinite(options.Mean[channel]) || !float.IsFinite(options.StandardDeviation[channel]) || options.StandardDeviation[channel] <= 0)
                throw new BadInputException("preprocessing", $"mean {options.Mean[channel]} and standard deviation {options.StandardDeviation[channel]} of channel {channel}; expected finite numbers, the latter above 0.");
        }

        new PreprocessOverrides().Apply(options); // refuses what excludes each other
        NativeLoader.EnsureImagesLoaded();
        Options = options;
        _transform = new NativeImageTransform
        {
            Height = options.Height,
            Width = options.Width,
            ResizeMode = options.ResizeMode == ResizeMode.Squash ? 1 : 0,
            Interpolation = options.Interpolation == Interpolation.Bilinear ? 1 : 0,
            Resampler = options.Resampler switch { Resampler.Pillow12 => 1, Resampler.Torchvision => 2, _ => 0 },
            RgbOrder = options.RgbOrder == RgbOrder.First ? 1 : 0,
            Alpha = options.Alpha == AlphaHandling.White ? 1 : 0,
            CropStart = options.CropStart == CropStart.Down ? 1 : 0,
            Normalization = options.Normalization == Normalization.InOneStep ? 1 : 0,
        };
        for (int channel = 0; channel < 3; channel++)
        {
            _transform.Mean[channel] = options.Mean[channel];
            _transform.StandardDeviation[channel] = options.StandardDeviation[channel];
        }
    }

    /// <inheritdoc/>
    public PreprocessOptions Options { get; }

    /// <summary>Bytes of a crop, floats of a preprocessed image: <c>3 · height · width</c>.</summary>
    public int ElementCount => 3 * Options.Height * Options.Width;

    /// <summary>The instruction set that resizing uses in this process: <c>portable</c>, <c>avx2</c> or <c>avx512</c>. All give the same bytes.</summary>
    internal static string Kernels
    {
        get
        {
            NativeLoader.EnsureImagesLoaded();
            return System.Runtime.InteropServices.Marshal.PtrToStringUTF8(NativeMethods.ImageKernels())!;
        }
    }

    /// <summary>Reads the header alone.</summary>
    /// <param name="encoded">An image file, or as much of its beginning as holds the header.</param>
    /// <param name="name">What messages call it, normally its path.</param>
    /// <exception cref="ImageException">Not an image that can be read, or one beyond the limits.</exception>
    internal static unsafe ImageHeader ReadHeader(ReadOnlySpan<byte> encoded, string name)
    {
        NativeLoader.EnsureImagesLoaded();
        NativeImageInfo info;
        fixed (byte* pointer = encoded)
            Check(NativeMethods.ImageProbe(pointer, encoded.Length, &info), name);
        return new ImageHeader((ImageFormat)info.Format, info.Width, info.Height);
    }

    /// <summary>Decodes a whole image to RGB, without resizing; alpha is left out.</summary>
    /// <param name="encoded">A whole image file.</param>
    /// <param name="name">What messages call it, normally its path.</param>
    /// <exception cref="ImageException">Not an image that can be read, or one that is refused.</exception>
    public static unsafe DecodedImage Decode(ReadOnlySpan<byte> encoded, string name)
    {
        ImageHeader header = ReadHeader(encoded, name);
        long memory = EnterBudget(encoded, name);
        byte[] rgb;
        try
        {
            rgb = new byte[3L * header.Width * header.Height];
            fixed (byte* pointer = encoded)
            fixed (byte* destination = rgb)
                Check(NativeMethods.ImageDecode(pointer, encoded.Length, destination, rgb.LongLength), name);
        }
        finally
        {
            DecodeBudget.Leave(memory);
        }

        return new DecodedImage(header.Width, header.Height, rgb);
    }

    /// <inheritdoc/>
    public unsafe void Crop(ReadOnlySpan<byte> encoded, string name, Span<byte> crop)
    {
        CheckLength(crop.Length, nameof(crop));
        NativeImageTransform transform = _transform;
        long memory = EnterBudget(encoded, name);
        try
        {
            fixed (byte* pointer = encoded)
            fixed (byte* destination = crop)
                Check(NativeMethods.ImageCrop(pointer, encoded.Length, &transform, destination), name);
        }
        finally
        {
            DecodeBudget.Leave(memory);
        }
    }

    /// <inheritdoc/>
    public unsafe void Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> pixels)
    {
        CheckLength(pixels.Length, nameof(pixels));
        NativeImageTransform transform = _transform;
        long memory = EnterBudget(encoded, name);
        try
        {
            fixed (byte* pointer = encoded)
            fixed (float* destination = pixels)
                Check(NativeMethods.ImagePreprocess(pointer, encoded.Length, &transform, destination), name);
        }
        finally
        {
            DecodeBudget.Leave(memory);
        }
    }

    /// <inheritdoc/>
    public unsafe void Preprocess(in ImagePixels image, string name, Span<float> pixels)
    {
        CheckLength(pixels.Length, nameof(pixels));
        ArgumentOutOfRangeException.ThrowIfLessThan(image.Width, 1, nameof(image));
        NativeImageTransform transform = _transform;
        fixed (byte* pointer = image.Data)
        fixed (float* destination = pixels)
            Check(NativeMethods.ImagePreprocessPixels(pointer, image.Width, image.Height, image.Stride, (int)image.Layout, &transform, destination), name);
    }

    /// <summary>Reads a file and makes its crop. Of a large file no more is read than the image needs.</summary>
    /// <param name="path">An ordinary file of at most 1 GiB of image.</param>
    /// <param name="crop"><c>[height, width, 3]</c> bytes, RGB.</param>
    /// <exception cref="ImageException">The file cannot be read, is not an image that can be read, or is refused.</exception>
    public void CropFile(string path, Span<byte> crop) => ImageFile.Crop(this, path, crop);

    /// <summary>Reads a file and makes its pixels, as <see cref="CropFile"/> and <see cref="Preprocess(ReadOnlySpan{byte}, string, Span{float})"/> do.</summary>
    /// <param name="path">An ordinary file of at most 1 GiB of image.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="ImageException">The file cannot be read, is not an image that can be read, or is refused.</exception>
    public void PreprocessFile(string path, Span<float> pixels) => ImageFile.Preprocess(this, path, pixels);

    /// <summary>Waits until there is memory for what the header promises.</summary>
    /// <returns>What was taken, to be given back.</returns>
    private static unsafe long EnterBudget(ReadOnlySpan<byte> encoded, string name)
    {
        NativeImageInfo info;
        fixed (byte* pointer = encoded)
            Check(NativeMethods.ImageProbe(pointer, encoded.Length, &info), name);
        return DecodeBudget.Enter(info.Memory) ? info.Memory
            : throw new ImageException(name, ImageProblem.TooLarge, $"decoding {info.Width} x {info.Height} pixels of this kind takes about {info.Memory >> 20} MiB of memory at once, and {DecodeBudget.Limit >> 20} MiB are allowed ({DecodeBudget.Variable} says otherwise)");
    }

    private static void Check(NativeStatus status, string name)
    {
        // A refusal without a problem is not about the image.
        if (status == NativeStatus.BadInput && NativeMethods.ImageProblem() is not 0 and var problem)
            throw new ImageException(name, (ImageProblem)problem, BadInputException.Escape(LastMessage(), 400));
        if (status != NativeStatus.Ok)
            throw NativeStatusExtensions.ToException(status, LastMessage(), name);
    }

    private static unsafe string LastMessage()
    {
        Span<byte> buffer = stackalloc byte[1024];
        fixed (byte* pointer = buffer)
        {
            long length = NativeMethods.ImageErrorMessage(pointer, buffer.Length);
            return System.Text.Encoding.UTF8.GetString(buffer[..(int)Math.Min(length, buffer.Length - 1)]);
        }
    }

    private void CheckLength(int length, string parameter)
    {
        if (length != ElementCount)
            throw new ArgumentException($"Expected {ElementCount} elements for 3 x {Options.Height} x {Options.Width}, found {length}.", parameter);
    }
}
