using System.Buffers.Binary;
using System.Text;
using ClipEngine.Imaging;

namespace ClipEngine.Tests.Imaging;

/// <summary>Files that are cut off, lie about their size or are something else.</summary>
public class ImageRefusalTests
{
    [Theory]
    [InlineData("gray.jpg")]
    [InlineData("progressive.jpg")]
    [InlineData("cmyk.jpg")]
    [InlineData("one.png")]
    [InlineData("small.png")]
    [InlineData("gray16.png")]
    [InlineData("lossy.webp")]
    [InlineData("lossless.webp")]
    public void EveryBeginningOfAFileIsRefused(string name)
    {
        byte[] whole = ImageFiles.Sample(name);
        foreach (int length in Lengths(whole.Length))
        {
            ImageException exception = ImageFiles.Refusal(whole[..length], name);
            Assert.True(exception.Kind is ImageProblem.Truncated or ImageProblem.NotAnImage or ImageProblem.Corrupt, $"{name} cut to {length}: {exception.Message}");
            Assert.StartsWith(name, exception.Message);
            Assert.True(exception.Message.Length <= 500);
        }
    }

    [Theory]
    [InlineData("plain.bmp")]
    [InlineData("first-frame.gif")]
    public void ABeginningWithAllPixelsShowsThemAndAnyOtherIsRefused(string name)
    {
        byte[] whole = ImageFiles.Sample(name);
        byte[] expected = ImageFiles.Crop(whole);
        foreach (int length in Lengths(whole.Length))
        {
            try
            {
                Assert.Equal(expected, ImageFiles.Crop(whole[..length]));
                Assert.InRange(length, whole.Length - 3, whole.Length); // a GIF's end mark, the padding of a BMP's last row
            }
            catch (ImageException exception)
            {
                Assert.True(exception.Kind is ImageProblem.Truncated or ImageProblem.NotAnImage);
            }
        }
    }

    [Fact]
    public void BombsAreRefusedFromTheHeader()
    {
        byte[] jpeg = ImageFiles.Sample("gray.jpg");
        int frame = ImageFiles.JpegMarker(jpeg, 0xC0);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 5), 65500);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 7), 65500);
        byte[] gif = ImageFiles.Sample("first-frame.gif");
        BinaryPrimitives.WriteUInt16LittleEndian(gif.AsSpan(6), 65535);
        BinaryPrimitives.WriteUInt16LittleEndian(gif.AsSpan(8), 65535);
        byte[][] bombs =
        [
            ImageFiles.Png(1, 500_000_000, 8, 2, []),
            ImageFiles.Png(65_535, 65_535, 1, 0, []),
            ImageFiles.Png(50_000, 50_000, 8, 0, new byte[1000]),
            ImageFiles.Png(13_378, 13_378, 8, 0, []),
            ImageFiles.Bmp(100_000, 100_000, 24, 54, 72),
            ImageFiles.Bmp(30_000, -30_000, 32, 54, 72),
            jpeg,
            gif,
        ];
        foreach (byte[] bomb in bombs)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            ImageException exception = Assert.Throws<ImageException>(() => ImagePreprocessor.ReadHeader(bomb, "bomb"));
            Assert.Equal(ImageProblem.TooLarge, exception.Kind);
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
        }
    }

    [Fact]
    public void AHeaderThatPromisesMoreThanTheFileCanHoldIsRefusedBeforeAnythingIsAllocated()
    {
        byte[] jpeg = ImageFiles.Sample("gray.jpg");
        int frame = ImageFiles.JpegMarker(jpeg, 0xC0);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 5), 13_000);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 7), 13_000);
        byte[][] files =
        [
            ImageFiles.Png(13_377, 13_377, 8, 2, new byte[100]), // just inside the limit of pixels
            ImageFiles.Bmp(13_000, 13_000, 24, 54, 500),
            ImageFiles.Bmp(10, 10, 24, 0x7FFFFFFF, 500),
            jpeg[..2000],
        ];
        foreach (byte[] file in files)
            Assert.Equal(ImageProblem.Truncated, Assert.Throws<ImageException>(() => ImagePreprocessor.ReadHeader(file, "short")).Kind);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("   \n", "white space")]
    [InlineData("<!DOCTYPE html><html><body>404 Not Found", "HTML page")]
    [InlineData("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>", "SVG")]
    [InlineData("%PDF-1.7\n", "PDF")]
    [InlineData("a caption, not an image", "text")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer")]
    [InlineData("\0\0\0\u0018ftypheic\0\0\0\0", "HEIF")]
    [InlineData("II*\0\u0008\0\0\0", "TIFF")]
    [InlineData("PK\u0003\u0004", "zip archive")]
    [InlineData("\u0001\u0002\u0003", "01 02 03")]
    public void WhatIsNoImageIsNamed(string content, string expected)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(content);
        ImageException exception = Assert.Throws<ImageException>(() => ImagePreprocessor.ReadHeader(bytes, "cat.jpg"));
        Assert.Equal(ImageProblem.NotAnImage, exception.Kind);
        Assert.Contains(expected, exception.Message);
    }

    [Fact]
    public void ContentDecidesAndNotTheName() =>
        Assert.Equal(ImageFormat.Png, ImagePreprocessor.ReadHeader(ImageFiles.Sample("one.png"), "one.jpg").Format);

    [Theory]
    [InlineData(0u, 5u)]
    [InlineData(5u, 0u)]
    public void AnImageWithoutPixelsIsRefused(uint width, uint height)
    {
        Assert.Equal(ImageProblem.Corrupt, ImageFiles.Refusal(ImageFiles.Png(width, height, 8, 0, [0])).Kind);
        Assert.Equal(ImageProblem.Corrupt, ImageFiles.Refusal(ImageFiles.Bmp((int)width, (int)height, 24, 54, 100)).Kind);
    }

    [Fact]
    public void TextsAndProfilesThatInflateToMuchAreNotInflated()
    {
        byte[] bomb = [(byte)'n', 0, 0, .. ImageFiles.Deflate(new byte[100_000_000])];
        byte[] row = [0, 10, 20, 30];
        byte[] plain = ImageFiles.Png(1, 1, 8, 2, row);
        byte[] loaded = ImageFiles.Png(1, 1, 8, 2, row, ("iCCP", bomb), ("zTXt", bomb));
        Assert.Equal(ImageFiles.Crop(plain), ImageFiles.Crop(loaded));
    }

    [Fact]
    public void AMillionTinyChunksAreReadInOneGo()
    {
        byte[] row = [0, 10, 20, 30];
        var chunks = new (string, byte[])[100_000];
        Array.Fill(chunks, ("teXt", []));
        Assert.Equal(ImageFiles.Crop(ImageFiles.Png(1, 1, 8, 2, row)), ImageFiles.Crop(ImageFiles.Png(1, 1, 8, 2, row, chunks)));
    }

    [Fact]
    public void ThousandsOfScansAreRefused()
    {
        // The first scan stands alone: repeated, it is legal and says the same again.
        byte[] jpeg = ImageFiles.Sample("progressive.jpg");
        int start = ImageFiles.JpegMarker(jpeg, 0xDA);
        int end = start + 2;
        while (jpeg[end] != 0xFF || jpeg[end + 1] == 0)
            end++;
        byte[] many = [.. jpeg[..start], .. Enumerable.Repeat(jpeg[start..end], 500).SelectMany(scan => scan), .. jpeg[end..]];
        byte[] few = [.. jpeg[..start], .. Enumerable.Repeat(jpeg[start..end], 50).SelectMany(scan => scan), .. jpeg[end..]];
        Assert.Equal(ImageFiles.Crop(jpeg), ImageFiles.Crop(few));
        Assert.Equal(ImageProblem.TooLarge, ImageFiles.Refusal(many).Kind);
    }

    [Theory]
    [InlineData("gray.jpg")]
    [InlineData("small.png")]
    [InlineData("lossy.webp")]
    [InlineData("plain.bmp")]
    [InlineData("first-frame.gif")]
    public void WhatLiesBehindTheImageIsIgnored(string name)
    {
        byte[] whole = ImageFiles.Sample(name);
        byte[] tailed = [.. whole, .. "PK\u0003\u0004"u8, .. new byte[100_000]];
        Assert.Equal(ImageFiles.Crop(whole), ImageFiles.Crop(tailed));
    }

    [Fact]
    public void BrokenExifDataIsIgnored()
    {
        byte[] jpeg = ImageFiles.Sample("exif-rotated.jpg");
        byte[] expected = ImageFiles.Crop(jpeg);
        int exif = ImageFiles.JpegMarker(jpeg, 0xE1);
        int length = BinaryPrimitives.ReadUInt16BigEndian(jpeg.AsSpan(exif + 2));
        jpeg.AsSpan(exif + 10, length - 8).Fill(0xFF);
        Assert.Equal(expected, ImageFiles.Crop(jpeg));
    }

    [Fact]
    public void TwelveBitJpegsAndOddComponentsAreUnsupported()
    {
        byte[] deep = ImageFiles.Sample("gray.jpg");
        deep[ImageFiles.JpegMarker(deep, 0xC0) + 4] = 12;
        Assert.Equal(ImageProblem.Unsupported, ImageFiles.Refusal(deep).Kind);
    }

    [Fact]
    public void HostileNamesAreEscaped()
    {
        ImageException exception = ImageFiles.Refusal([], "evil\u001b[2J\u202e.jpg");
        Assert.DoesNotContain('\u001b', exception.Message);
        Assert.DoesNotContain('\u202e', exception.Message);
        Assert.Equal("evil\u001b[2J\u202e.jpg", exception.InputSource);
    }

    [Fact]
    public void ManyThreadsSeeTheSamePixels()
    {
        byte[][] files = [ImageFiles.Sample("wide-420.jpg"), ImageFiles.Sample("rgba.png"), ImageFiles.Sample("lossy.webp"), ImageFiles.Sample("gray.jpg")[..5000]];
        byte[][] expected = [.. files[..3].Select(file => ImageFiles.Crop(file))];
        Parallel.For(0, 64, i =>
        {
            if (i % 4 == 3)
                Assert.Equal(ImageProblem.Truncated, ImageFiles.Refusal(files[3]).Kind);
            else
                Assert.Equal(expected[i % 4], ImageFiles.Crop(files[i % 4]));
        });
    }

    [Theory]
    [InlineData(1, 10_000)]
    [InlineData(10_000, 1)]
    public void ExtremeShapesAreResized(int width, int height)
    {
        byte[] raw = new byte[(1 + width) * height];
        for (int y = 0; y < height; y++)
            raw.AsSpan((y * (1 + width)) + 1, width).Fill(77);
        Assert.All(ImageFiles.Crop(ImageFiles.Png((uint)width, (uint)height, 8, 0, raw)), value => Assert.Equal(77, value));
    }

    [Fact]
    public void ABufferOfAnotherLengthIsTheCallersMistake()
    {
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 8, Width = 8 });
        Assert.Throws<ArgumentException>(() => preprocessor.Crop(ImageFiles.Sample("one.png"), "one.png", new byte[191]));
        Assert.Throws<ArgumentException>(() => preprocessor.Preprocess(ImageFiles.Sample("one.png"), "one.png", new float[193]));
    }

    [Fact]
    public void OptionsThatMakeNoSenseAreRefused()
    {
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 0, Width = 8 }));
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 8, Width = 8193 }));
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 8, Width = 8, Mean = [0, 0] }));
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 8, Width = 8, StandardDeviation = [1, 0, 1] }));
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(new PreprocessOptions { Height = 8, Width = 8, Mean = [float.NaN, 0, 0] }));
    }

    /// <summary>All short lengths, all of the last ones, and a spread between.</summary>
    private static IEnumerable<int> Lengths(int whole) =>
        Enumerable.Range(0, whole).Where(length => length < 60 || length >= whole - 20 || length % Math.Max(1, whole / 60) == 0);
}
