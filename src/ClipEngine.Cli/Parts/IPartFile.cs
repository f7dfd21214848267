using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Parts;

/// <summary>What a part of the images is written to.</summary>
internal interface IPartFile
{
    /// <summary>Which part.</summary>
    PartNumber Number { get; }

    /// <summary>The file of its features.</summary>
    string Path { get; }

    /// <summary>Whether the captions and fields that lie beside the images are written too.</summary>
    bool NeedsDescriptions { get; }

    /// <summary>Whether the part is there, of the same run, made of the same inputs, and whole.</summary>
    bool IsThere(PartRun run, string inputs, CancellationToken cancellation);

    /// <summary>Writes the part.</summary>
    /// <param name="run">The run that it belongs to.</param>
    /// <param name="inputs">A hash of its inputs.</param>
    /// <param name="shape">Of the features of all its images.</param>
    /// <param name="images">The images.</param>
    /// <param name="preprocessing">How they become pixels.</param>
    /// <param name="skipped">Those that could not be read; told by <paramref name="make"/>.</param>
    /// <param name="listsSkipped">Whether such images may be; else the first one ends the run.</param>
    /// <param name="make">Calls the handler that it is given with the rows that there are, in order, not normalised.</param>
    /// <returns>The shape of what was written.</returns>
    Shape Write(PartRun run, string inputs, Shape shape, ImageCollection images, string preprocessing, SkippedImages skipped, bool listsSkipped, Action<FeatureRowHandler> make);
}

/// <summary>A part that <c>merge</c> puts together with others: see <see cref="FeaturePart"/>.</summary>
/// <param name="whole">The file that all parts make together.</param>
/// <param name="number">Which part.</param>
internal sealed class FeaturePartFile(string whole, PartNumber number) : IPartFile
{
    /// <inheritdoc/>
    public PartNumber Number => number;

    /// <inheritdoc/>
    public string Path { get; } = number.FileBeside(whole, FeaturePart.Extension);

    /// <inheritdoc/>
    public bool NeedsDescriptions => false;

    /// <inheritdoc/>
    public bool IsThere(PartRun run, string inputs, CancellationToken cancellation)
    {
        try
        {
            return FeaturePart.TryOpen(Path) is { } part && part.Number == number && part.Run.Key == run.Key && part.Inputs == inputs && part.IsSound(cancellation);
        }
        catch (BadInputException exception)
        {
            Console.Error.WriteLine($"clipengine: is made again: {exception.Message}");
            return false;
        }
    }

    /// <inheritdoc/>
    public Shape Write(PartRun run, string inputs, Shape shape, ImageCollection images, string preprocessing, SkippedImages skipped, bool listsSkipped, Action<FeatureRowHandler> make) =>
        FeaturePart.Write(Path, number, run, inputs, shape, images, preprocessing, listsSkipped ? skipped : null, make);
}
