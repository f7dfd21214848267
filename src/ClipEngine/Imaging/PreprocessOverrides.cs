namespace ClipEngine.Imaging;

/// <summary>What a user asks for in place of the preprocessing that belongs to a model; null leaves the model's own.</summary>
public sealed record PreprocessOverrides
{
    /// <summary>Whose resize. torchvision's takes RGB: with it <see cref="RgbOrder"/> is <see cref="RgbOrder.First"/> unless it is given.</summary>
    public Resampler? Resampler { get; init; }

    /// <summary>When the image becomes RGB.</summary>
    public RgbOrder? RgbOrder { get; init; }

    /// <summary>What becomes of transparency.</summary>
    public AlphaHandling? Alpha { get; init; }

    /// <summary>The options with what is asked for in them.</summary>
    /// <param name="options">The model's own.</param>
    /// <exception cref="BadInputException">The choices exclude each other.</exception>
    public PreprocessOptions Apply(PreprocessOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Resampler resampler = Resampler ?? options.Resampler;
        RgbOrder order = RgbOrder ?? (Resampler == Imaging.Resampler.Torchvision ? Imaging.RgbOrder.First : options.RgbOrder);
        if (resampler == Imaging.Resampler.Torchvision && order == Imaging.RgbOrder.Last)
            throw new BadInputException("preprocessing", "the resampler torchvision works on RGB, so images cannot become RGB last.", "Leave out --rgb last, or take --resampler pillow-13 or pillow-12 with it.");
        return options with { Resampler = resampler, RgbOrder = order, Alpha = Alpha ?? options.Alpha };
    }

    /// <summary>Reads a choice by its name in options and specs.</summary>
    /// <param name="resampler">pillow-13, pillow-12, torchvision, or null.</param>
    /// <param name="rgb">last, first, or null.</param>
    /// <param name="alpha">drop, white, or null.</param>
    /// <param name="prefix">What messages put before the names: <c>--</c> for options, nothing for keys of a spec.</param>
    /// <exception cref="BadInputException">A name that is none of these.</exception>
    public static PreprocessOverrides Parse(string? resampler, string? rgb, string? alpha, string prefix = "") => new()
    {
        Resampler = Choose(prefix + "resampler", resampler, PreprocessNames.Resamplers, PreprocessNames.NameOf),
        RgbOrder = Choose(prefix + "rgb", rgb, PreprocessNames.RgbOrders, PreprocessNames.NameOf),
        Alpha = Choose(prefix + "alpha", alpha, PreprocessNames.Alphas, PreprocessNames.NameOf),
    };

    private static T? Choose<T>(string option, string? text, T[] values, Func<T, string> nameOf)
        where T : struct
    {
        if (text is null)
            return null;
        foreach (T value in values)
        {
            if (nameOf(value) == text)
                return value;
        }

        string expected = string.Join(", ", values.SkipLast(1).Select(nameOf)) + " or " + nameOf(values[^1]);
        throw new BadInputException(option, $"expected {expected}, found '{BadInputException.Escape(text, 60)}'.", "docs/exactness.md says what each means.");
    }
}
