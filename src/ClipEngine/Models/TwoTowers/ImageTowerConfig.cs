using ClipEngine.Checkpoints;
using ClipEngine.Imaging;

namespace ClipEngine.Models;

/// <summary>An image tower as a configuration describes it: sizes and options, and how it is built of weights.</summary>
internal abstract record ImageTowerConfig
{
    /// <summary>What a model with this tower is called; null for open_clip's own towers.</summary>
    public abstract string? Family { get; }

    /// <summary>The pixels that the tower takes.</summary>
    public abstract (int Height, int Width) ImageSize { get; }

    /// <summary>How images of any shape are packed; null where every image is brought to <see cref="ImageSize"/>.</summary>
    public virtual PatchPacking? Packing => null;

    /// <summary>The preprocessing of all published models with this tower, for configurations that state none; null where they differ.</summary>
    public virtual PreprocessOptions? UsualPreprocess => null;

    /// <summary>Its sizes in a few words, such as <c>768 wide, 12 blocks, patch 16, 224 x 224 px</c>.</summary>
    public abstract string Outline { get; }

    /// <summary>The tower at another image size.</summary>
    /// <exception cref="BadInputException">It cannot run at that size.</exception>
    public virtual ImageTowerConfig AtSize((int Height, int Width) size) =>
        throw new BadInputException("image size", $"{Family ?? "the model"} runs at the size that it was trained at; open_clip does not resize such positions either.", "Leave the image size out.");

    /// <summary>Reads the tower's weights.</summary>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    public abstract IImageTower Build(WeightReader weights, int embedDimension);

    /// <summary>Refuses a size below one patch or beyond any image.</summary>
    protected static void CheckSize((int Height, int Width) size, int patch)
    {
        if (Math.Min(size.Height, size.Width) < patch)
            throw new BadInputException("image size", $"expected at least one patch, {patch} x {patch}; found {size.Height} x {size.Width}.");
        if (Math.Max(size.Height, size.Width) > OpenClipConfigReader.LargestSide)
            throw new BadInputException("image size", $"expected at most {OpenClipConfigReader.LargestSide} pixels a side; found {size.Height} x {size.Width}.");
    }
}
