using ClipEngine.Audit.Runs;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Native;

namespace ClipEngine.Cli.Parts;

/// <summary>
/// Which images belong to a part: where there are at least as many inputs (image files, rows of a table, shards) as parts, whole inputs, so
/// that a task reads only its own shards; else images. The same inputs in the same order give the same parts on every machine.
/// </summary>
internal sealed class PartInputs
{
    private readonly IReadOnlyList<string> _own;
    private readonly PartNumber _number;
    private readonly bool _dividesImages;

    /// <summary>The inputs of a part.</summary>
    /// <param name="inputs">Those of the whole run, in order.</param>
    /// <param name="number">The part.</param>
    public PartInputs(IReadOnlyList<string> inputs, PartNumber number)
    {
        _number = number;
        _dividesImages = inputs.Count < number.Count;
        (long first, long end) = number.Slice(inputs.Count);
        _own = _dividesImages ? inputs : [.. inputs.Skip((int)first).Take((int)(end - first))];
        Whole = $"{inputs.Count}, SHA-256 {StageLedger.Key(inputs)}";
        Own = StageLedger.Key(_own.Select(Identity));
    }

    /// <summary>How many inputs the run has, and a hash of their names.</summary>
    public string Whole { get; }

    /// <summary>A hash of the names, sizes and times of this part's inputs.</summary>
    public string Own { get; }

    /// <summary>Opens this part's images.</summary>
    /// <exception cref="BadInputException">There are fewer images than parts, or an input cannot be used.</exception>
    /// <param name="hasDescriptions">With the captions and fields that lie beside them.</param>
    /// <param name="cancellation">Looked at between shards.</param>
    public ImageCollection Open(bool hasDescriptions, CancellationToken cancellation)
    {
        ImageCollection images = ImageCollection.Open(_own, hasDescriptions, cancellation);
        if (!_dividesImages)
            return images;
        int count = images.Count;
        (long first, long end) = _number.Slice(count);
        images.Keep((int)first, (int)end);
        if (count >= _number.Count)
            return images;
        images.Dispose();
        throw new BadInputException(PartNumber.OptionName, $"{count} images cannot be divided into {_number.Count} parts.", $"Ask for at most {count} parts.");
    }

    private static string Identity(string path)
    {
        if (Platform.GetStatus(path) is { } status)
            return $"{path} {status.Size} {status.ModifiedNanoseconds}";
        var file = new FileInfo(path);
        return $"{path} {(file.Exists ? file.Length : -1)} {file.LastWriteTimeUtc.Ticks}";
    }
}
