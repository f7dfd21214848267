namespace ClipEngine.Imaging;

/// <summary>Why an image was refused.</summary>
public enum ImageProblem
{
    /// <summary>The file is something else (the message names what it looks like) or of an image format that is not read.</summary>
    NotAnImage = 1,

    /// <summary>A variant of the format that is not read, such as a 12-bit JPEG.</summary>
    Unsupported = 2,

    /// <summary>The header asks for more than the limits that <see cref="ImagePreprocessor"/> states.</summary>
    TooLarge = 3,

    /// <summary>The file ends before the image does.</summary>
    Truncated = 4,

    /// <summary>The file contradicts its format.</summary>
    Corrupt = 5,

    /// <summary>There is no such file, it may not be read, or it is a folder, a pipe or a device.</summary>
    Unreadable = 6,
}

/// <summary>An image file is refused; the message names the file, what is wrong with it and what to do.</summary>
public sealed class ImageException : BadInputException
{
    /// <summary>Names the image, what is wrong and of what kind that is.</summary>
    /// <param name="source">The image's path or name, as the user wrote it.</param>
    /// <param name="kind">What kind of problem it is.</param>
    /// <param name="problem">What is wrong, in words.</param>
    public ImageException(string source, ImageProblem kind, string problem)
        : base(source, problem + ".", RemedyOf(kind)) =>
        Kind = kind;

    /// <summary>What kind of problem it is.</summary>
    public ImageProblem Kind { get; }

    private static string RemedyOf(ImageProblem kind) => kind switch
    {
        ImageProblem.NotAnImage => "Give a JPEG, PNG, WebP, BMP or GIF file, or leave this one out.",
        ImageProblem.Unsupported => "Save it again as PNG or as an ordinary JPEG.",
        ImageProblem.TooLarge => "Shrink it first, or leave it out.",
        ImageProblem.Unreadable => "Correct the name, or leave it out.",
        ImageProblem.Truncated => "Fetch or copy it again.",
        _ => "Fetch it again, or leave it out.",
    };
}
