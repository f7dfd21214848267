namespace ClipEngine.Imaging;

/// <summary>Patches of an image that keeps its shape.</summary>
/// <param name="Rows">Patches one above the other.</param>
/// <param name="Columns">Patches side by side.</param>
public readonly record struct PatchGrid(int Rows, int Columns)
{
    /// <summary>How many patches.</summary>
    public int Count => Rows * Columns;

    /// <summary>
    /// The largest grid of at most so many patches in an image's own proportions, as transformers' <c>Siglip2ImageProcessor</c> finds it: both
    /// sides are scaled by one factor and then enlarged to whole patches, and the factor is searched for by halving.
    /// </summary>
    /// <param name="height">Rows of the image, at least 1.</param>
    /// <param name="width">Columns of the image, at least 1.</param>
    /// <param name="patchSize">Pixels of a patch's side.</param>
    /// <param name="maximum">Patches, at least 1.</param>
    public static PatchGrid Fit(int height, int width, int patchSize, int maximum)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(patchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximum, 1);
        // The reference's numbers: where it stops is part of what it finds.
        const double Precision = 1e-5;
        double smallest = Precision / 10, largest = 100;
        while (largest - smallest >= Precision)
        {
            double scale = (smallest + largest) / 2;
            if (Patches(scale * height) * Patches(scale * width) <= maximum)
                smallest = scale;
            else
                largest = scale;
        }

        return new PatchGrid((int)Patches(smallest * height), (int)Patches(smallest * width));

        double Patches(double pixels) => Math.Max(1, Math.Ceiling(pixels / patchSize));
    }
}

/// <summary>
/// Turns image files into the patches of models that take images of any shape (SigLIP 2 NaFlex), as transformers 5.24 does: the image is
/// resized to the largest grid of whole patches that is allowed, and cut into them. Thread-safe.
/// </summary>
internal sealed class NaFlexPreprocessor
{
    private readonly PreprocessOptions _options;

    /// <summary>Fixes what patches are made of.</summary>
    /// <param name="options">Filter, mean, deviation and whose rules; the size is not looked at.</param>
    /// <param name="patchSize">Pixels of a patch's side.</param>
    /// <param name="maximumPatches">Patches of one image; shorter images are padded.</param>
    public NaFlexPreprocessor(PreprocessOptions options, int patchSize, int maximumPatches)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(patchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumPatches, 1);
        _options = options with { ResizeMode = ResizeMode.Squash };
        PatchSize = patchSize;
        MaximumPatches = maximumPatches;
    }

    /// <summary>Pixels of a patch's side.</summary>
    public int PatchSize { get; }

    /// <summary>Patches of one image.</summary>
    public int MaximumPatches { get; }

    /// <summary>Floats of a patch.</summary>
    public int PatchLength => PatchSize * PatchSize * 3;

    /// <summary>Decodes, resizes, normalises and cuts an image.</summary>
    /// <param name="encoded">A whole image file.</param>
    /// <param name="name">What messages call it, normally its path.</param>
    /// <param name="patches"><c>[MaximumPatches, PatchLength]</c>: patches row by row of the grid, each row, column, channel; zeros behind the last.</param>
    /// <returns>The grid; its first <see cref="PatchGrid.Count"/> patches are the image's, the others are to be masked.</returns>
    /// <exception cref="ImageException">Not an image that can be read, or one that is refused.</exception>
    public PatchGrid Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> patches)
    {
        if (patches.Length != MaximumPatches * PatchLength)
            throw new ArgumentException($"Expected {MaximumPatches} x {PatchLength} floats, found {patches.Length}.", nameof(patches));
        ImageHeader header = ImagePreprocessor.ReadHeader(encoded, name);
        PatchGrid grid = PatchGrid.Fit(header.Height, header.Width, PatchSize, MaximumPatches);
        int height = grid.Rows * PatchSize, width = grid.Columns * PatchSize;
        using var pixels = new NativeArray<float>(3 * height * width);
        Span<float> planes = pixels.GetSpan();
        new ImagePreprocessor(_options with { Height = height, Width = width }).Preprocess(encoded, name, planes);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int patch = (y / PatchSize * grid.Columns) + (x / PatchSize), place = (y % PatchSize * PatchSize) + (x % PatchSize);
                Span<float> pixel = patches.Slice((patch * PatchLength) + (3 * place), 3);
                for (int channel = 0; channel < 3; channel++)
                    pixel[channel] = planes[(channel * height * width) + (y * width) + x];
            }
        }

        patches[(grid.Count * PatchLength)..].Clear();
        return grid;
    }
}
