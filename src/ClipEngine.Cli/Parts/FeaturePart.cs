using System.Buffers;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Parts;

/// <summary>
/// A part of a run of <c>embed image</c>: features as the model gives them, with the names of their images, in a safetensors file that says
/// which part of which run it is and carries a checksum of its features. It is there whole or not at all.
/// </summary>
internal sealed class FeaturePart
{
    /// <summary>What part files end in.</summary>
    public const string Extension = ".safetensors";

    /// <summary>The features' key.</summary>
    public const string Features = "image_features";

    private const string Checksum = "checksum";
    private const string Kind = "clipengine-part-1";
    private const int ChunkLength = 1 << 20;
    private const int PieceLength = 1 << 18;

    private FeaturePart(string path, PartNumber number, PartRun run, string inputs, long images, string preprocessing, bool listsSkipped, Shape shape)
    {
        Path = path;
        Number = number;
        Run = run;
        Inputs = inputs;
        Images = images;
        Preprocessing = preprocessing;
        ListsSkipped = listsSkipped;
        Shape = shape;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Which part it is.</summary>
    public PartNumber Number { get; }

    /// <summary>The run that it belongs to.</summary>
    public PartRun Run { get; }

    /// <summary>A hash of the names, sizes and times of the inputs that it was made of.</summary>
    public string Inputs { get; }

    /// <summary>Its images, those included that could not be read.</summary>
    public long Images { get; }

    /// <summary>How images became pixels.</summary>
    public string Preprocessing { get; }

    /// <summary>Whether images that cannot be read were passed over and listed.</summary>
    public bool ListsSkipped { get; }

    /// <summary><c>[rows, width]</c>, or <c>[rows, tokens, width]</c>.</summary>
    public Shape Shape { get; }

    /// <summary>Writes a part.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="number">Which part it is.</param>
    /// <param name="run">The run that it belongs to.</param>
    /// <param name="inputs">See <see cref="Inputs"/>.</param>
    /// <param name="shape">Of the features of all its images.</param>
    /// <param name="names">The images.</param>
    /// <param name="preprocessing">How images become pixels.</param>
    /// <param name="skipped">Takes those that cannot be read; null where the first one ends the run.</param>
    /// <param name="make">Calls the handler that it is given with the rows that there are, in order, not normalised.</param>
    /// <returns>The shape of what was written.</returns>
    public static Shape Write(string path, PartNumber number, PartRun run, string inputs, Shape shape, IReadOnlyList<string> names, string preprocessing, SkippedImages? skipped, Action<FeatureRowHandler> make)
    {
        var metadata = new Dictionary<string, string>
        {
            ["kind"] = Kind,
            ["part"] = number.ToString(),
            ["run"] = run.Json,
            ["inputs"] = inputs,
            ["images"] = NumberText.Format(names.Count),
            ["preprocessing"] = preprocessing,
        };
        if (skipped is null)
        {
            WriteFile(path, metadata, shape, names, make);
            return shape;
        }

        // How many rows there are shows at the end.
        using FileStream waiting = AtomicFile.OpenScratch(path);
        make((_, rows) => waiting.Write(MemoryMarshal.AsBytes(rows)));
        waiting.Flush();
        waiting.Position = 0;
        long rowBytes = shape.ElementCount / shape[0] * sizeof(float);
        Shape written = WithRows(shape, waiting.Length / rowBytes);
        metadata["skipped"] = skipped.ToLines();
        WriteFile(path, metadata, written, skipped.Kept(names), rows =>
        {
            float[] buffer = new float[ChunkLength];
            for (long left = waiting.Length / sizeof(float); left > 0;)
            {
                Span<float> chunk = buffer.AsSpan(0, (int)Math.Min(left, buffer.Length));
                waiting.ReadExactly(MemoryMarshal.AsBytes(chunk));
                rows(0, chunk);
                left -= chunk.Length;
            }
        });
        return written;
    }

    /// <summary>The part that a file is; null where there is none.</summary>
    /// <exception cref="BadInputException">There is a file that is no part, or a damaged one.</exception>
    public static FeaturePart? TryOpen(string path) => FilePlace.IsFile(path) ? Open(path) : null;

    /// <summary>Reads what a part says of itself; not its features.</summary>
    /// <param name="path">The file.</param>
    /// <param name="sibling">Another part, probably of the same run, whose facts then serve both; null for none.</param>
    /// <exception cref="BadInputException">It is no part.</exception>
    public static FeaturePart Open(string path, FeaturePart? sibling = null)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        IReadOnlyDictionary<string, string> metadata = file.Metadata;
        bool isPart = metadata.TryGetValue("kind", out string? kind) && kind == Kind
            && file.Tensors.TryGetValue(Features, out StoredTensor features) && features.Type == ElementType.Float32 && features.Dimensions.Length is 2 or 3
            && file.Tensors.TryGetValue(Checksum, out StoredTensor checksum) && checksum.ByteLength == 16;
        if (!isPart || !metadata.TryGetValue("part", out string? number) || !metadata.TryGetValue("run", out string? run) || (run == sibling?.Run.Json ? sibling.Run : PartRun.TryParse(run)) is not { } known
            || !metadata.TryGetValue("images", out string? images) || !NumberText.TryParse(images, out long count))
        {
            throw new BadInputException(path, "is no part of 'embed image --shard'.", "Name the parts alone, or the folder that they lie in.");
        }

        StoredTensor stored = file.Tensors[Features];
        Shape shape = stored.Dimensions.Length == 2 ? new Shape(stored.Dimensions[0], stored.Dimensions[1]) : new Shape(stored.Dimensions[0], stored.Dimensions[1], stored.Dimensions[2]);
        string preprocessing = metadata.GetValueOrDefault("preprocessing", "");
        return new FeaturePart(path, PartNumber.Parse(number), known, metadata.GetValueOrDefault("inputs", ""), count, preprocessing == sibling?.Preprocessing ? sibling.Preprocessing : preprocessing, metadata.ContainsKey("skipped"), shape);
    }

    /// <summary>Whether a file is a part by what it says of itself.</summary>
    public static bool IsPart(string path)
    {
        try
        {
            Open(path);
            return true;
        }
        catch (BadInputException)
        {
            return false;
        }
    }

    /// <summary>Reads the features in pieces of whole rows and checks them.</summary>
    /// <param name="rows">Takes them in order.</param>
    /// <param name="cancellation">Looked at between pieces.</param>
    /// <exception cref="BadInputException">They are not those that were written.</exception>
    public void ReadRows(FeatureRowHandler rows, CancellationToken cancellation)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path);
        long length = file.Tensors[Features].ByteLength;
        int rowBytes = checked((int)(Shape[0] == 0 ? sizeof(float) : length / Shape[0]));
        // Pieces that stay in a processor's cache until they have been checked, normalised and written; one buffer for all parts.
        int piece = Math.Max(1, PieceLength / rowBytes) * rowBytes;
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(piece, length));
        try
        {
            var hash = new XxHash128();
            for (long start = 0; start < length; start += piece)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<byte> bytes = buffer.AsSpan(0, (int)Math.Min(piece, length - start));
                file.Read(Features, start, bytes);
                hash.Append(bytes);
                rows((int)(start / rowBytes), MemoryMarshal.Cast<byte, float>(bytes));
            }

            Span<byte> checksum = stackalloc byte[16];
            file.Read(Checksum, 0, checksum);
            if (checksum.SequenceEqual(hash.GetCurrentHash()))
                return;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        throw new BadInputException(Path, $"the features of part {Number} are not those that were written; the file is damaged.", "Remove it and make this part again.");
    }

    /// <summary>Whether the features are those that were written.</summary>
    public bool IsSound(CancellationToken cancellation)
    {
        try
        {
            ReadRows(static (_, _) => { }, cancellation);
            return true;
        }
        catch (BadInputException)
        {
            return false;
        }
    }

    /// <summary>The names of the images, in order, as JSON text of an array.</summary>
    public string ReadNames() => Text("names");

    /// <summary>The images that could not be read, one JSON object a line, numbered within the part.</summary>
    public string ReadSkipped() => Text("skipped");

    /// <summary>The same shape with another number of rows.</summary>
    public static Shape WithRows(Shape shape, long rows) => shape.Rank == 2 ? new Shape(rows, shape[1]) : new Shape(rows, shape[1], shape[2]);

    private string Text(string key)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path);
        return file.Metadata.GetValueOrDefault(key, "");
    }

    private static void WriteFile(string path, Dictionary<string, string> metadata, Shape shape, IReadOnlyList<string> names, Action<FeatureRowHandler> make)
    {
        metadata["names"] = JsonSerializer.Serialize([.. names], JsonLines.Default.StringArray);
        var writer = new SafetensorsWriter(metadata);
        var hash = new XxHash128();
        writer.Add(Features, ElementType.Float32, FeatureFile.Dimensions(shape), shape.ElementCount * sizeof(float), stream => make((_, rows) =>
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(rows);
            hash.Append(bytes);
            stream.Write(bytes);
        }));
        // Bytes come behind the features, when their checksum is known.
        writer.Add(Checksum, ElementType.UInt8, [16], 16, stream => stream.Write(hash.GetCurrentHash()));
        writer.Write(path);
    }
}
