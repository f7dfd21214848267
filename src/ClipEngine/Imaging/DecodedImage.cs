namespace ClipEngine.Imaging;

/// <summary>The file formats that are read, told by their content, never by a name.</summary>
internal enum ImageFormat
{
    /// <summary>Baseline, extended and progressive; gray, colour, CMYK and YCCK.</summary>
    Jpeg = 1,

    /// <summary>Every colour type and depth.</summary>
    Png = 2,

    /// <summary>Lossy and lossless; of an animation the first frame.</summary>
    WebP = 3,

    /// <summary>Windows bitmaps.</summary>
    Bmp = 4,

    /// <summary>The first frame.</summary>
    Gif = 5,
}

/// <summary>What an image's header says.</summary>
/// <param name="Format">The file format.</param>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
internal readonly record struct ImageHeader(ImageFormat Format, int Width, int Height);

/// <summary>A decoded image.</summary>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
/// <param name="Rgb"><c>[height, width, 3]</c> bytes.</param>
public sealed record DecodedImage(int Width, int Height, byte[] Rgb);
