using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>Pixels, bytes and streams against the file: the same bits.</summary>
public sealed class ImageInputTests
{
    public static TheoryData<int, int, ResizeMode, Interpolation> Targets => new()
    {
        { 32, 32, ResizeMode.Shortest, Interpolation.Bicubic },
        { 24, 40, ResizeMode.Shortest, Interpolation.Bicubic },
        { 33, 17, ResizeMode.Squash, Interpolation.Bilinear },
        { 600, 600, ResizeMode.Shortest, Interpolation.Bicubic },
    };

    [Theory]
    [MemberData(nameof(Targets))]
    public void DecodedPixelsGiveTheBitsOfTheFileInEveryLayoutAndStride(int height, int width, ResizeMode mode, Interpolation interpolation)
    {
        // Decoded pixels are RGB, so files must become RGB before they are resized too.
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = height, Width = width, ResizeMode = mode, Interpolation = interpolation, RgbOrder = RgbOrder.First });
        float[] expected = new float[preprocessor.ElementCount], found = new float[expected.Length];
        int compared = 0;
        foreach (string path in Directory.EnumerateFiles(TestData.Path("preprocess", "images")).Where(ImageCollection.IsImage))
        {
            byte[] encoded = File.ReadAllBytes(path);
            preprocessor.Preprocess(encoded, path, expected);
            DecodedImage image = ImagePreprocessor.Decode(encoded, path);
            foreach (PixelLayout layout in Enum.GetValues<PixelLayout>())
            {
                foreach (int gap in new[] { 0, 1, 61 })
                {
                    (byte[] pixels, int stride) = Lay(image, layout, gap);
                    found.AsSpan().Fill(float.NaN);
                    preprocessor.Preprocess(new ImagePixels(pixels, image.Width, image.Height, layout, stride), path, found);
                    Assert.True(expected.AsSpan().SequenceEqual(found), $"{path} as {layout} with {gap} bytes between rows");
                    compared++;
                }
            }
        }

        Assert.True(compared > 100);
    }

    [Fact]
    public async Task BytesAndStreamsGiveTheBitsOfTheFile()
    {
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 32, Width = 32 });
        string path = TestData.Path("preprocess", "images", "gray.jpg");
        byte[] encoded = File.ReadAllBytes(path);
        float[] expected = new float[preprocessor.ElementCount], found = new float[expected.Length];
        preprocessor.PreprocessFile(path, expected);
        ImageInput loaded = ImageInput.FromStream(new Trickle(encoded, isAsyncOnly: true));
        await loaded.LoadAsync(default);
        foreach (ImageInput input in new[] { path, ImageInput.FromBytes(encoded), ImageInput.FromStream(new MemoryStream(encoded)), ImageInput.FromStream(new Trickle(encoded, isAsyncOnly: false)), loaded })
        {
            found.AsSpan().Clear();
            input.Preprocess(preprocessor, found);
            Assert.Equal(expected, found);
        }
    }

    [Fact]
    public void AStreamIsReadFromWhereItStandsAndOnce()
    {
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 32, Width = 32 });
        byte[] encoded = File.ReadAllBytes(TestData.Path("preprocess", "images", "gray.jpg"));
        var stream = new MemoryStream([1, 2, 3, .. encoded]) { Position = 3 };
        ImageInput input = ImageInput.FromStream(stream, "upload");
        input.Preprocess(preprocessor, new float[preprocessor.ElementCount]);
        Assert.True(stream.CanRead); // it stays the caller's
        Assert.Contains("upload", Assert.Throws<InvalidOperationException>(() => input.Preprocess(preprocessor, new float[preprocessor.ElementCount])).Message);
        var truncated = ImageInput.FromStream(new MemoryStream(encoded, 0, encoded.Length / 2), "half");
        Assert.Equal(("half", ImageProblem.Truncated), Problem(() => truncated.Preprocess(preprocessor, new float[preprocessor.ElementCount])));
        var broken = ImageInput.FromStream(new Broken(), "broken");
        Assert.Equal(("broken", ImageProblem.Unreadable), Problem(() => broken.Preprocess(preprocessor, new float[preprocessor.ElementCount])));

        static (string, ImageProblem) Problem(Action action)
        {
            var exception = Assert.Throws<ImageException>(action);
            return (exception.InputSource, exception.Kind);
        }
    }

    [Fact]
    public void SizesThatMakeNoSenseAreRefusedBeforeAnythingIsRead()
    {
        byte[] pixels = new byte[3 * 4 * 2];
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageInput.FromPixels(pixels, 0, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageInput.FromPixels(pixels, 4, -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageInput.FromPixels(pixels, 4, 2, stride: 11));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageInput.FromPixels(pixels, 4, 2, stride: -12));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageInput.FromPixels(pixels, 4, 2, (PixelLayout)9));
        Assert.Throws<ArgumentException>(() => ImageInput.FromPixels(pixels, 4, 2, stride: 13));
        Assert.Throws<ArgumentException>(() => ImageInput.FromPixels(pixels, 4, 2, PixelLayout.Rgba));
        Assert.Throws<ArgumentException>(() => ImageInput.FromPixels(pixels, int.MaxValue / 4000, 3));
        Assert.Equal(ImageProblem.TooLarge, Assert.Throws<ImageException>(() => ImageInput.FromPixels(pixels, 1 << 20, 1 << 20)).Kind);
        Assert.Equal(ImageProblem.TooLarge, Assert.Throws<ImageException>(() => ImageInput.FromPixels(pixels, int.MaxValue, int.MaxValue)).Kind);
        ImageInput.FromPixels(pixels.AsMemory(0, 23), 4, 1, stride: 13); // the last row need not reach its stride
        Assert.Throws<ArgumentOutOfRangeException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 2, Width = 2 }).Preprocess(default(ImagePixels), "none", new float[12]));
    }

    /// <summary>The pixels in a layout, with bytes between the rows that must not be looked at.</summary>
    private static (byte[] Pixels, int Stride) Lay(DecodedImage image, PixelLayout layout, int gap)
    {
        int size = layout is PixelLayout.Rgba or PixelLayout.Bgra ? 4 : 3, stride = (image.Width * size) + gap;
        byte[] pixels = new byte[(stride * (image.Height - 1)) + (image.Width * size)];
        Array.Fill(pixels, (byte)0xA5);
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
            {
                for (int c = 0; c < 3; c++)
                    pixels[(y * stride) + (x * size) + (layout is PixelLayout.Bgr or PixelLayout.Bgra ? 2 - c : c)] = image.Rgb[(((y * image.Width) + x) * 3) + c];
            }
        }

        return (pixels, stride);
    }

    /// <summary>A few bytes at a time, of unknown length; as a web request's body it may refuse to be read synchronously.</summary>
    private sealed class Trickle(byte[] bytes, bool isAsyncOnly) : Stream
    {
        private int _position;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => isAsyncOnly ? throw new InvalidOperationException("Synchronous operations are disallowed.") : Take(buffer.AsSpan(offset, count));

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Yield();
            return Take(buffer.Span);
        }

        public override void Flush()
        {
            // Nothing is written.
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        private int Take(Span<byte> buffer)
        {
            int count = Math.Min(Math.Min(buffer.Length, 97), bytes.Length - _position);
            bytes.AsSpan(_position, count).CopyTo(buffer);
            _position += count;
            return count;
        }
    }

    private sealed class Broken : MemoryStream
    {
        public override int Read(Span<byte> buffer) => throw new IOException("the line is dead");
    }
}
