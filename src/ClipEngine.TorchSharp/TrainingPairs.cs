using System.Formats.Tar;
using System.Globalization;
using System.Text;
using ClipEngine.Imaging;
using CsvHelper;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// Images with captions and weights to train on: a table as open_clip reads it, or shards as <c>webdataset</c> lays them out. Captions and
/// places are in memory; images are decoded when their batch is made.
/// </summary>
public sealed class TrainingPairs : IDisposable
{
    private const string PathColumn = "filepath", CaptionColumn = "title", WeightColumn = "weight", RowColumn = "row", BalancedColumn = "q";
    private const string CaptionExtension = ".txt";

    private readonly ImageCollection _images;
    private readonly string[] _captions;
    private readonly double[] _weights;

    private TrainingPairs(ImageCollection images, string[] captions, double[] weights)
    {
        _images = images;
        _captions = captions;
        _weights = weights;
    }

    /// <summary>How many pairs.</summary>
    public int Count => _captions.Length;

    /// <summary>The captions, in the order of the data.</summary>
    public IReadOnlyList<string> Captions => _captions;

    /// <summary>How often each pair counts.</summary>
    public IReadOnlyList<double> Weights => _weights;

    /// <summary>
    /// Opens a table (<c>.csv</c>, comma or tab) with the columns <c>filepath</c>, relative to the table, and <c>title</c>, and optionally
    /// <c>weight</c>; or shards (<c>.tar</c>), of which every image needs a caption <c>key.txt</c> of the same key.
    /// </summary>
    /// <param name="paths">One table, or one or more shards.</param>
    /// <param name="weightsPath">A table with the columns <c>row</c> (from 0, over the order of the data) and <c>q</c>, as <c>clipengine balance</c> writes it, one row for each pair; null where the table itself weighs them, or nothing does.</param>
    /// <exception cref="BadInputException">What cannot be read, does not pair, or is no weight; names the file and the place.</exception>
    public static TrainingPairs Open(IReadOnlyList<string> paths, string? weightsPath = null)
    {
        ArgumentNullException.ThrowIfNull(paths);
        bool areShards = paths.Count > 0 && paths.All(ImageCollection.IsShard);
        if (!areShards && paths.Count != 1)
            throw new BadInputException("data", $"expected one table or one or more shards (.tar), found {paths.Count} files.");
        (ImageCollection images, string[] captions, double[]? weights) = areShards ? OpenShards(paths) : OpenTable(paths[0]);
        try
        {
            if (weightsPath is not null && weights is not null)
                throw new BadInputException(weightsPath, $"{paths[0]} has a column {WeightColumn} too.", "Weigh the pairs in one place.");
            if (weightsPath is not null)
                weights = ReadWeights(weightsPath, captions.Length);
            return new TrainingPairs(images, captions, weights ?? [.. Enumerable.Repeat(1.0, captions.Length)]);
        }
        catch
        {
            images.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Rows of one batch after the other without an end: every epoch is another order of all pairs whose weight is above 0, and what does not
    /// fill a batch is left out of the epoch. The same seed gives the same batches on every machine, so that a training goes on where it was.
    /// </summary>
    /// <param name="size">Pairs of a batch.</param>
    /// <param name="seed">Of the orders.</param>
    /// <param name="first">Batches that are skipped: the steps that were taken.</param>
    /// <exception cref="BadInputException">There are fewer pairs than a batch holds.</exception>
    public IEnumerable<int[]> Batches(int size, int seed, long first = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        int[] rows = [.. Enumerable.Range(0, Count).Where(row => _weights[row] > 0)];
        if (rows.Length < size)
            throw new BadInputException("data", $"{rows.Length} pairs have a weight above 0; a batch was to have {size}.", "Take smaller batches.");
        return Endless(rows, size, seed, first);
    }

    /// <summary>Decodes and tokenises some pairs, on all of this process' processors.</summary>
    /// <param name="rows">Which.</param>
    /// <param name="clip">Whose preprocessing and tokenizer.</param>
    /// <returns><c>[n, 3, height, width]</c>, <c>[n, context length]</c> and <c>[n]</c> on the processor, in the caller's dispose scope.</returns>
    /// <exception cref="BadInputException">An image cannot be read; names it.</exception>
    public (TorchTensor Pixels, TorchTensor Ids, TorchTensor Weights) Batch(IReadOnlyList<int> rows, ClipModules clip)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(clip);
        (int height, int width, int length) = (clip.Preprocessor.Options.Height, clip.Preprocessor.Options.Width, clip.Tokenizer.ContextLength);
        int size = 3 * height * width;
        float[] pixels = new float[rows.Count * size];
        int[] ids = new int[rows.Count * length];
        try
        {
            Parallel.For(0, rows.Count, i =>
            {
                _images.Preprocess(rows[i], clip.Preprocessor, pixels.AsSpan(i * size, size));
                clip.Tokenizer.Encode(_captions[rows[i]], ids.AsSpan(i * length, length));
            });
        }
        catch (AggregateException exception)
        {
            throw exception.InnerExceptions.OfType<BadInputException>().FirstOrDefault() ?? exception.InnerExceptions[0];
        }

        return (torch.tensor(pixels, [rows.Count, 3, height, width]), torch.tensor(ids, [rows.Count, length]), torch.tensor(rows.Select(row => _weights[row]).ToArray()));
    }

    /// <summary>Closes the shards.</summary>
    public void Dispose() => _images.Dispose();

    private static IEnumerable<int[]> Endless(int[] rows, int size, int seed, long first)
    {
        int batches = rows.Length / size;
        for (long epoch = first / batches; ; epoch++)
        {
            int[] order = [.. rows];
            Shuffle(order, (ulong)(uint)seed << 32 | (uint)epoch);
            for (long i = epoch == first / batches ? first % batches : 0; i < batches; i++)
                yield return order[(int)(i * size)..(int)((i + 1) * size)];
        }
    }

    /// <summary>Fisher and Yates, with SplitMix64 (Steele and others, 2014): System.Random promises no sequence from version to version.</summary>
    private static void Shuffle(int[] order, ulong state)
    {
        for (int i = order.Length - 1; i > 0; i--)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            int j = (int)((z ^ (z >> 31)) % (ulong)(i + 1));
            (order[i], order[j]) = (order[j], order[i]);
        }
    }

    private static (ImageCollection Images, string[] Captions, double[]? Weights) OpenTable(string path)
    {
        (string[] header, List<string[]> rows) = ReadTable(path);
        int file = Column(path, header, PathColumn), caption = Column(path, header, CaptionColumn), weight = Array.IndexOf(header, WeightColumn);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (rows.Count == 0)
            throw new BadInputException(path, "holds no pairs.");
        return (ImageCollection.Open(rows.Select(row => Path.Combine(folder, row[file]))), [.. rows.Select(row => row[caption])],
            weight < 0 ? null : [.. rows.Select((row, i) => Weight(path, row[weight], i))]);
    }

    private static (ImageCollection Images, string[] Captions, double[]? Weights) OpenShards(IReadOnlyList<string> paths)
    {
        var images = ImageCollection.Open(paths);
        try
        {
            Dictionary<string, string> captions = [];
            foreach (string path in paths)
            {
                using FileStream stream = File.OpenRead(path);
                using var reader = new TarReader(stream);
                while (reader.GetNextEntry() is { } entry)
                {
                    if (!entry.Name.EndsWith(CaptionExtension, StringComparison.OrdinalIgnoreCase) || entry.DataStream is null)
                        continue;
                    using var text = new StreamReader(entry.DataStream, Encoding.UTF8);
                    if (!captions.TryAdd(Key(entry.Name), text.ReadToEnd().Trim()))
                        throw new BadInputException(path, $"there are two captions of {BadInputException.Escape(Key(entry.Name))}.");
                }
            }

            return (images, [.. images.Select(image => captions.GetValueOrDefault(Key(image))
                ?? throw new BadInputException(image, $"has no caption {BadInputException.Escape(Key(image))}{CaptionExtension} in the shards.", "A sample is an image and a caption of one key."))], null);
        }
        catch
        {
            images.Dispose();
            throw;
        }
    }

    /// <summary>webdataset's key of a sample: the member's path up to the first dot of its last part.</summary>
    private static string Key(string member)
    {
        int dot = member.IndexOf('.', member.LastIndexOf('/') + 1);
        return dot < 0 ? member : member[..dot];
    }

    private static double[] ReadWeights(string path, int count)
    {
        (string[] header, List<string[]> rows) = ReadTable(path);
        int number = Column(path, header, RowColumn), weight = Column(path, header, BalancedColumn);
        double[] weights = new double[count];
        Array.Fill(weights, double.NaN);
        for (int i = 0; i < rows.Count; i++)
        {
            if (!int.TryParse(rows[i][number], NumberStyles.None, CultureInfo.InvariantCulture, out int row) || row >= count || !double.IsNaN(weights[row]))
                throw new BadInputException(path, $"row {i + 1}: '{BadInputException.Escape(rows[i][number], 40)}' is no number of a pair from 0 to {count - 1}, or the second time that it is named.");
            weights[row] = Weight(path, rows[i][weight], i);
        }

        int missing = Array.FindIndex(weights, double.IsNaN);
        return missing < 0 ? weights : throw new BadInputException(path, $"has {rows.Count} rows for {count} pairs; the first pair without a weight is {missing}.");
    }

    private static double Weight(string path, string cell, int row) =>
        double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, out double weight) && weight >= 0 && double.IsFinite(weight)
            ? weight
            : throw new BadInputException(path, $"row {row + 1}: expected a weight of at least 0, found '{BadInputException.Escape(cell, 40)}'.");

    private static int Column(string path, string[] header, string name) => Array.IndexOf(header, name) is >= 0 and int column
        ? column
        : throw new BadInputException(path, $"there is no column '{name}'; the columns are {string.Join(", ", header.Take(20).Select(static entry => $"'{BadInputException.Escape(entry, 40)}'"))}.");

    /// <summary>A table as text. Tabs separate it where its first line has one, as open_clip writes them; else commas.</summary>
    private static (string[] Header, List<string[]> Rows) ReadTable(string path)
    {
        try
        {
            using var text = new StreamReader(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
            string first = File.ReadLines(path).FirstOrDefault() ?? "";
            using CsvReader reader = CsvReader.Create(text, new CsvReaderOptions { Separator = first.Contains('\t') ? '\t' : ',', HasHeader = false, TrackLineNumbers = true, MaxRecordSize = 1 << 20, MalformedData = CsvMalformedDataHandling.Throw });
            var rows = new List<string[]>();
            while (reader.Read())
            {
                if (rows.Count > 0 && reader.FieldCount != rows[0].Length)
                    throw new BadInputException(path, $"line {reader.LineNumber} has {reader.FieldCount} cells, the header has {rows[0].Length}.", "Quote cells that hold a separator.");
                rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(reader.GetString)]);
            }

            if (rows.Count == 0)
                throw new BadInputException(path, "the file is empty; a header row was expected.", "Give a table whose first row names its columns.");
            return (rows[0], rows[1..]);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException or DecoderFallbackException or CsvFormatException)
        {
            throw new BadInputException(path, exception is DecoderFallbackException ? "the file is not UTF-8." : BadInputException.Escape(exception.Message, 300), innerException: exception);
        }
    }
}
