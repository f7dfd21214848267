using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// Examples with attribute columns, read from the first to the last: memory does not grow with their number. An attribute is a number from 0 to 1 (a
/// bit or a probability) or missing; a utility is a number above zero.
/// </summary>
/// <param name="path">The file, for messages.</param>
internal abstract class AttributeTable(string path)
{
    /// <summary>Bounds of utilities: beyond them products with the dual variables lose their digits.</summary>
    private const double SmallestUtility = 1e-6, LargestUtility = 1e6;

    /// <summary>The file, or the first of several, as the user named it.</summary>
    public string Path { get; } = path;

    /// <summary>Every file that is read.</summary>
    public virtual IReadOnlyList<string> Files => [Path];

    /// <summary>Opens a table by its kind.</summary>
    /// <param name="paths">One <c>.parquet</c> or <c>.safetensors</c> file, one or more webdataset shards (<c>.tar</c>) or folders of them, or one CSV file of any other name.</param>
    /// <exception cref="BadInputException">Several files that are no shards, or a folder without any.</exception>
    public static AttributeTable Open(IReadOnlyList<string> paths)
    {
        string[] shards = [.. paths.SelectMany(path => FilePlace.IsFolder(path) ? ShardAttributes.In(path) : [path])];
        if (shards.All(ShardAttributes.IsShard))
            return new ShardAttributes(shards);
        if (paths.Count > 1)
            throw new BadInputException("TABLE", $"{paths.Count} files were named, and {BadInputException.Escape(shards.First(static path => !ShardAttributes.IsShard(path)), 200)} is no shard (.tar).", "Name one table, or webdataset shards alone.");
        return ParquetFile.IsParquet(paths[0]) ? new ParquetAttributes(paths[0])
            : System.IO.Path.GetExtension(paths[0]).Equals(".safetensors", StringComparison.OrdinalIgnoreCase) ? new TensorAttributes(paths[0])
            : new CsvAttributes(paths[0]);
    }

    /// <summary>Reads the named columns of all rows.</summary>
    /// <param name="attributes">Columns with values from 0 to 1.</param>
    /// <param name="utility">A column with numbers above zero, or null: 1 everywhere.</param>
    /// <param name="visit">Gets the attributes (NaN where missing) and the utility of each row; the array is used again.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="BadInputException">No such file or column, a value that is none, no row; names the place.</exception>
    public abstract void Read(IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation);

    /// <summary>Writes what OpenCLIP's trainer reads: the examples, each as often as it shall be seen.</summary>
    /// <param name="times">How often, for each row in order.</param>
    /// <param name="directory">The folder; files have names of their own in it.</param>
    /// <param name="cancellation">Ends the writing.</param>
    public abstract void WriteExamples(IEnumerable<long> times, string directory, CancellationToken cancellation);

    /// <summary>Whether a value may be an attribute's; NaN is a missing one.</summary>
    protected static bool IsAttribute(double value) => double.IsNaN(value) || value is >= 0 and <= 1;

    /// <summary>Whether a value may be a utility.</summary>
    protected static bool IsUtility(double value) => value is >= SmallestUtility and <= LargestUtility;

    /// <summary>Says that a value is no attribute's.</summary>
    protected BadInputException NoAttribute(string where, double value) => Refuse(where, "a number from 0 to 1 was expected (or nothing where it is missing)", NumberText.Format(value));

    /// <summary>Says that a value is no utility.</summary>
    protected BadInputException NoUtility(string where, double value) => Refuse(where, "a utility from 0.000001 to 1000000 was expected", double.IsNaN(value) ? "nothing" : NumberText.Format(value));

    /// <summary>Says what is wrong with a value.</summary>
    protected BadInputException Refuse(string where, string expected, string found) =>
        new(Path, $"{where}: {expected}; found '{BadInputException.Escape(found, 60)}'.", "Correct the value; decimals have a point.");

    /// <summary>Says that there is nothing.</summary>
    protected BadInputException NoRows() => new(Path, "there is no row.", "Name a table with a row for each example.");
}
