using ClipEngine.Native;

namespace ClipEngine.Imaging;

/// <summary>Reads image files for decoding: no more of them than an image needs, no pipe or device, no memory of a size that a file merely claims.</summary>
internal static class ImageFile
{
    /// <summary>The largest image file that is read.</summary>
    public const long MaximumLength = 1L << 30;

    /// <summary>Nearly every image is whole within this; what is appended to one (an archive, a video) is not loaded.</summary>
    public const int FirstPart = 64 << 20;

    /// <summary>Decodes the file to the model's pixels.</summary>
    /// <param name="preprocessor">Makes the pixels.</param>
    /// <param name="path">The file, as messages name it.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="BadInputException">The file cannot be read, or is no image.</exception>
    public static void Preprocess(IImagePreprocessor preprocessor, string path, Span<float> pixels)
    {
        using FileBytes file = Open(path);
        try
        {
            preprocessor.Preprocess(file.Bytes, path, pixels);
        }
        catch (ImageException exception) when (exception.Kind == ImageProblem.Truncated && file.ReadRest())
        {
            preprocessor.Preprocess(file.Bytes, path, pixels);
        }
    }

    /// <summary>Decodes the file to the crop before scaling.</summary>
    /// <param name="preprocessor">Makes the crop.</param>
    /// <param name="path">The file, as messages name it.</param>
    /// <param name="crop"><c>[height, width, 3]</c>.</param>
    /// <exception cref="BadInputException">The file cannot be read, or is no image.</exception>
    public static void Crop(IImagePreprocessor preprocessor, string path, Span<byte> crop)
    {
        using FileBytes file = Open(path);
        try
        {
            preprocessor.Crop(file.Bytes, path, crop);
        }
        catch (ImageException exception) when (exception.Kind == ImageProblem.Truncated && file.ReadRest())
        {
            preprocessor.Crop(file.Bytes, path, crop);
        }
    }

    private static FileBytes Open(string path)
    {
        if (Platform.GetStatus(path) is { Kind: not FileKind.Regular } status)
            throw new ImageException(path, ImageProblem.Unreadable, $"expected an ordinary file, found a {(status.Kind == FileKind.Folder ? "folder" : "pipe, socket or device")}");
        try
        {
            return new FileBytes(path);
        }
        // A disk that fails is not the image's fault; it comes out as it is.
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException or PathTooLongException or UnauthorizedAccessException)
        {
            throw new ImageException(path, ImageProblem.Unreadable, $"the image cannot be read: {BadInputException.Escape(exception.Message, 300).TrimEnd('.')}");
        }
    }

    /// <summary>The beginning of a file, and on request the rest, in memory that is given back at once.</summary>
    private sealed class FileBytes : IDisposable
    {
        private readonly string _path;
        private readonly Microsoft.Win32.SafeHandles.SafeFileHandle _handle;
        private readonly long _length;
        private NativeArray<byte>? _buffer;
        private int _read;

        public FileBytes(string path)
        {
            _path = path;
            _handle = File.OpenHandle(path, options: FileOptions.SequentialScan);
            try
            {
                _length = RandomAccess.GetLength(_handle);
                Read((int)Math.Min(_length, FirstPart));
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        public ReadOnlySpan<byte> Bytes => _buffer!.GetSpan()[.._read];

        /// <summary>Reads what lies behind the first part. False where there is nothing.</summary>
        public bool ReadRest()
        {
            if (_length <= _read)
                return false;
            if (_length > MaximumLength)
                throw new ImageException(_path, ImageProblem.TooLarge, $"the file has {_length} bytes; at most {MaximumLength} of an image are read");
            Read((int)_length);
            return true;
        }

        public void Dispose()
        {
            _handle.Dispose();
            _buffer?.Dispose();
            _read = 0;
        }

        private void Read(int length)
        {
            if (_buffer is null)
                _buffer = new NativeArray<byte>(length);
            else
                _buffer.Grow(length);
            while (_read < length)
            {
                int count = RandomAccess.Read(_handle, _buffer.GetSpan()[_read..length], _read);
                if (count == 0)
                    break; // it has shrunk meanwhile: what is missing is found out when decoding
                _read += count;
            }
        }
    }
}
