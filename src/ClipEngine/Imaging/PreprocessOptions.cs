using System.Collections.Immutable;

namespace ClipEngine.Imaging;

/// <summary>How an image of any shape becomes the model's rectangle.</summary>
public enum ResizeMode
{
    /// <summary>The shorter side is resized to the target, the centre is cropped (OpenCLIP's default).</summary>
    Shortest,

    /// <summary>Both sides are resized to the target; the aspect ratio changes (SigLIP, CLIPA).</summary>
    Squash,
}

/// <summary>The resampling filter, with Pillow's antialiasing.</summary>
public enum Interpolation
{
    /// <summary>Cubic, a = -0.5, support 2.</summary>
    Bicubic,

    /// <summary>Triangle, support 1.</summary>
    Bilinear,
}

/// <summary>The preprocessing that a checkpoint was trained with; it travels with the weights.</summary>
public sealed record PreprocessOptions
{
    /// <summary>OpenAI's channel means, RGB in [0, 1].</summary>
    public static readonly ImmutableArray<float> OpenAiMean = [0.48145466f, 0.4578275f, 0.40821073f];

    /// <summary>OpenAI's channel standard deviations.</summary>
    public static readonly ImmutableArray<float> OpenAiStandardDeviation = [0.26862954f, 0.26130258f, 0.27577711f];

    /// <summary>Rows of the result.</summary>
    public required int Height { get; init; }

    /// <summary>Columns of the result.</summary>
    public required int Width { get; init; }

    /// <summary>How the aspect ratio is dealt with.</summary>
    public ResizeMode ResizeMode { get; init; } = ResizeMode.Shortest;

    /// <summary>The resampling filter.</summary>
    public Interpolation Interpolation { get; init; } = Interpolation.Bicubic;

    /// <summary>Subtracted per channel (RGB) after division by 255.</summary>
    public ImmutableArray<float> Mean { get; init; } = OpenAiMean;

    /// <summary>Divides per channel after the mean was subtracted.</summary>
    public ImmutableArray<float> StandardDeviation { get; init; } = OpenAiStandardDeviation;

    /// <summary>Equal where all values are, those of the arrays included.</summary>
    public bool Equals(PreprocessOptions? other) =>
        other is not null && Height == other.Height && Width == other.Width && ResizeMode == other.ResizeMode && Interpolation == other.Interpolation
        && Mean.AsSpan().SequenceEqual(other.Mean.AsSpan()) && StandardDeviation.AsSpan().SequenceEqual(other.StandardDeviation.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(HashCode.Combine(Height, Width, ResizeMode, Interpolation));
        foreach (float value in Mean.AsSpan())
            hash.Add(value);
        foreach (float value in StandardDeviation.AsSpan())
            hash.Add(value);
        return hash.ToHashCode();
    }
}
