namespace ClipEngine.Imaging;

/// <summary>
/// An image that goes into a model: a file, the bytes of a file, a stream of them, or pixels that are decoded already. All give the same
/// features for the same pixels, bit for bit; decoded ones are RGB, so those of a file of another mode only with <see cref="RgbOrder.First"/>.
/// </summary>
/// <remarks>Nothing is read or copied before the image's turn comes; what was given must not change or be released before the call that takes it returns.</remarks>
/// <example><code>
/// ImageInput file = "cat.jpg";                                            // a path
/// ImageInput upload = ImageInput.FromStream(request.Body, "upload");      // read once, by the call that takes it
/// ImageInput frame = ImageInput.FromPixels(bgr, 1920, 1080, PixelLayout.Bgr);
/// </code></example>
public sealed class ImageInput
{
    /// <summary>Bytes that are taken for a stream whose length nobody knows; doubled as needed.</summary>
    private const int FirstStreamBytes = 1 << 18;

    private readonly Kind _kind;
    private readonly ReadOnlyMemory<byte> _bytes;
    private readonly Stream? _stream;
    private readonly int _width, _height, _stride;
    private readonly PixelLayout _layout;
    private NativeArray<byte>? _loaded;
    private int _loadedLength;
    private int _streamReads;

    private ImageInput(Kind kind, string name, ReadOnlyMemory<byte> bytes = default, Stream? stream = null)
    {
        _kind = kind;
        Name = name;
        _bytes = bytes;
        _stream = stream;
    }

    private ImageInput(string name, ReadOnlyMemory<byte> pixels, int width, int height, PixelLayout layout, int stride)
        : this(Kind.Pixels, name, pixels)
    {
        _stride = ImagePixels.Check(pixels.Length, width, height, layout, stride);
        _width = width;
        _height = height;
        _layout = layout;
    }

    private enum Kind
    {
        File,
        Bytes,
        Stream,
        Pixels,
    }

    /// <summary>What messages call it: the path, or the name given.</summary>
    public string Name { get; }

    /// <summary>An image file.</summary>
    /// <param name="path">JPEG, PNG, WebP, BMP or GIF.</param>
    public static implicit operator ImageInput(string path) => FromFile(path);

    /// <summary>An image file.</summary>
    /// <param name="path">JPEG, PNG, WebP, BMP or GIF.</param>
    public static ImageInput FromFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new ImageInput(Kind.File, path);
    }

    /// <summary>The bytes of an image file.</summary>
    /// <param name="encoded">A whole JPEG, PNG, WebP, BMP or GIF file.</param>
    /// <param name="name">What messages call it.</param>
    public static ImageInput FromBytes(ReadOnlyMemory<byte> encoded, string name = "image")
    {
        ArgumentNullException.ThrowIfNull(name);
        return new ImageInput(Kind.Bytes, name, encoded);
    }

    /// <summary>A stream that holds an image file from where it stands to its end. It stays the caller's, and can be taken once; asynchronous calls read it asynchronously.</summary>
    /// <param name="stream">JPEG, PNG, WebP, BMP or GIF, of at most 1 GiB.</param>
    /// <param name="name">What messages call it.</param>
    public static ImageInput FromStream(Stream stream, string name = "image")
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(name);
        return new ImageInput(Kind.Stream, name, stream: stream);
    }

    /// <summary>Pixels that are decoded already.</summary>
    /// <param name="pixels">Row after row, from top to bottom; at least <c>stride · (height - 1) + width · bytes of a pixel</c>.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="height">Rows.</param>
    /// <param name="layout">The order of a pixel's bytes.</param>
    /// <param name="stride">Bytes from one row to the next; 0 where the rows follow one another without a gap.</param>
    /// <param name="name">What messages call it.</param>
    /// <exception cref="ArgumentException">A width, height, stride or layout that makes no sense, or fewer bytes than that.</exception>
    /// <exception cref="ImageException">More pixels than image files may have.</exception>
    public static ImageInput FromPixels(ReadOnlyMemory<byte> pixels, int width, int height, PixelLayout layout = PixelLayout.Rgb, int stride = 0, string name = "pixels")
    {
        ArgumentNullException.ThrowIfNull(name);
        return new ImageInput(name, pixels, width, height, layout, stride);
    }

    /// <summary>Brings in what has to be waited for; the rest is read where the pixels are made.</summary>
    /// <exception cref="BadInputException">The stream cannot be read, or is too long.</exception>
    internal async ValueTask LoadAsync(CancellationToken cancellationToken)
    {
        if (_kind is not Kind.Stream)
            return;
        NativeArray<byte> buffer = BeginRead();
        try
        {
            int length = 0;
            while (await _stream!.ReadAsync(Room(buffer, length), cancellationToken).ConfigureAwait(false) is > 0 and int read)
                length += read;
            EndRead(buffer, length);
        }
        catch (Exception exception)
        {
            buffer.Dispose();
            if (exception is IOException)
                throw Unreadable(exception);
            throw;
        }
    }

    /// <summary>Makes the model's pixels.</summary>
    /// <exception cref="BadInputException">It cannot be read, or is no image; names it.</exception>
    internal void Preprocess(IImagePreprocessor preprocessor, Span<float> pixels)
    {
        switch (_kind)
        {
            case Kind.File:
                ImageFile.Preprocess(preprocessor, Name, pixels);
                break;
            case Kind.Bytes:
                preprocessor.Preprocess(_bytes.Span, Name, pixels);
                break;
            case Kind.Pixels:
                preprocessor.Preprocess(new ImagePixels(_bytes.Span, _width, _height, _layout, _stride), Name, pixels);
                break;
            default:
                if (_loaded is null)
                    Load();
                using (NativeArray<byte> encoded = Interlocked.Exchange(ref _loaded, null)!)
                    preprocessor.Preprocess(encoded.GetSpan()[.._loadedLength], Name, pixels);
                break;
        }
    }

    /// <summary>Gives back what <see cref="LoadAsync"/> brought in, where nobody will make pixels of it.</summary>
    internal void Abandon() => Interlocked.Exchange(ref _loaded, null)?.Dispose();

    private void Load()
    {
        NativeArray<byte> buffer = BeginRead();
        try
        {
            int length = 0;
            while (_stream!.Read(Room(buffer, length).Span) is > 0 and int read)
                length += read;
            EndRead(buffer, length);
        }
        catch (Exception exception)
        {
            buffer.Dispose();
            if (exception is IOException)
                throw Unreadable(exception);
            throw;
        }
    }

    private NativeArray<byte> BeginRead()
    {
        if (Interlocked.Increment(ref _streamReads) > 1)
            throw new InvalidOperationException($"The stream of {BadInputException.Escape(Name)} has been read already; make an input for each call.");
        long length = _stream!.CanSeek ? _stream.Length - _stream.Position : FirstStreamBytes;
        // One byte more: that the end is reached shows without growing.
        return new NativeArray<byte>((int)Math.Clamp(length + 1, 1, ImageFile.FirstPart));
    }

    private Memory<byte> Room(NativeArray<byte> buffer, int length)
    {
        if (length > ImageFile.MaximumLength)
            throw new ImageException(Name, ImageProblem.TooLarge, $"the stream has more than {ImageFile.MaximumLength} bytes, which is as much of an image as is read");
        if (length == buffer.Length)
            buffer.Grow((int)Math.Min(2L * length, ImageFile.MaximumLength + 1));
        return buffer.Memory[length..];
    }

    private void EndRead(NativeArray<byte> buffer, int length)
    {
        _loadedLength = length;
        _loaded = buffer;
    }

    private ImageException Unreadable(Exception exception) =>
        new(Name, ImageProblem.Unreadable, $"the stream cannot be read: {BadInputException.Escape(exception.Message, 300).TrimEnd('.')}");
}
