using System.Collections.Immutable;

namespace ClipEngine.Imaging;

/// <summary>
/// Everything that decides how an image file becomes the pixels of an image tower; it travels with the weights. The defaults are
/// open_clip's on a new installation; <see cref="AsTransformers"/> gives those of transformers.
/// </summary>
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

    /// <summary>The resampling filter. <see cref="ResizeMode.Shortest"/> to a rectangle that is no square always is bicubic, as in open_clip.</summary>
    public Interpolation Interpolation { get; init; } = Interpolation.Bicubic;

    /// <summary>Whose resize.</summary>
    public Resampler Resampler { get; init; } = Resampler.Pillow13;

    /// <summary>When the image becomes RGB.</summary>
    public RgbOrder RgbOrder { get; init; } = RgbOrder.Last;

    /// <summary>What becomes of transparency.</summary>
    public AlphaHandling Alpha { get; init; } = AlphaHandling.Drop;

    /// <summary>Where the centre crop begins.</summary>
    public CropStart CropStart { get; init; } = CropStart.HalfEven;

    /// <summary>How bytes become numbers.</summary>
    public Normalization Normalization { get; init; } = Normalization.InTwoSteps;

    /// <summary>Subtracted per channel (RGB) after division by 255.</summary>
    public ImmutableArray<float> Mean { get; init; } = OpenAiMean;

    /// <summary>Divides per channel after the mean was subtracted.</summary>
    public ImmutableArray<float> StandardDeviation { get; init; } = OpenAiStandardDeviation;

    /// <summary>The same sizes, filter, mean and deviation, with everything else as the default image processors of transformers 5.24 do it.</summary>
    public PreprocessOptions AsTransformers() => this with
    {
        Resampler = Resampler.Torchvision,
        RgbOrder = RgbOrder.First,
        Alpha = AlphaHandling.White,
        CropStart = CropStart.Down,
        Normalization = Normalization.InOneStep,
    };

    /// <summary>Equal where all values are, those of the arrays included.</summary>
    public bool Equals(PreprocessOptions? other) =>
        other is not null && Choices == other.Choices
        && Mean.AsSpan().SequenceEqual(other.Mean.AsSpan()) && StandardDeviation.AsSpan().SequenceEqual(other.StandardDeviation.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(Choices);
        foreach (float value in Mean.AsSpan())
            hash.Add(value);
        foreach (float value in StandardDeviation.AsSpan())
            hash.Add(value);
        return hash.ToHashCode();
    }

    /// <summary>Every choice in a line, as run records state it: <c>224 x 224, shortest, bicubic, resampler pillow-13, RGB last, alpha drop, crop half-even, normalised in two steps, mean 0.5 0.5 0.5, deviation 0.5 0.5 0.5</c>.</summary>
    public string Describe() => PreprocessNames.Describe(this);

    /// <summary>All but the arrays.</summary>
    private (int, int, ResizeMode, Interpolation, Resampler, RgbOrder, AlphaHandling, CropStart, Normalization) Choices =>
        (Height, Width, ResizeMode, Interpolation, Resampler, RgbOrder, Alpha, CropStart, Normalization);
}
