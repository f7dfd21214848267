using System.Runtime.InteropServices;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Cli;

/// <summary>Where <c>embed</c> writes: the extension decides, and is looked at before hours of work.</summary>
internal static class FeatureFile
{
    /// <summary>Refuses a name that <see cref="Write"/> could not write.</summary>
    public static void RequireKnownExtension(string path)
    {
        if (!IsNpy(path) && !IsSafetensors(path) && !TableFile.IsTable(path))
            throw new BadInputException(path, "expected a name ending in .npy, .safetensors, .parquet or .arrow.");
    }

    /// <summary>
    /// Writes the file whole or not at all: <c>.npy</c> holds the normalised features; <c>.safetensors</c> holds them under
    /// <c>NAME_normalized</c> beside those that open_clip returns, and the inputs' names as a JSON array under <c>names</c> in its metadata;
    /// <c>.parquet</c> and <c>.arrow</c> have a row for each with the columns <c>name</c> and <c>features</c>, normalised, a list of fp32.
    /// </summary>
    /// <param name="path">The final name.</param>
    /// <param name="name"><c>image_features</c> or <c>text_features</c>.</param>
    /// <param name="features">Not normalised.</param>
    /// <param name="inputs">One name for each row.</param>
    /// <param name="preprocessing">How the inputs were prepared.</param>
    public static void Write(string path, string name, FeatureMatrix features, IReadOnlyList<string> inputs, string preprocessing)
    {
        WriteRows(path, name, features.Shape, new ListedNames(inputs), preprocessing, rows => rows(0, features.Values));
    }

    /// <summary>The same, given the features as they are made: memory does not grow with their number.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="name"><c>image_features</c> or <c>text_features</c>.</param>
    /// <param name="shape">Of all features.</param>
    /// <param name="inputs">One name for each row.</param>
    /// <param name="preprocessing">How images became pixels, or sentences ids; under <c>preprocessing</c> in the metadata of <c>.safetensors</c>, <c>.parquet</c> and <c>.arrow</c>.</param>
    /// <param name="make">Calls the handler that it is given with all rows in order, not normalised.</param>
    public static void WriteRows(string path, string name, Shape shape, IRowNames inputs, string preprocessing, Action<FeatureRowHandler> make)
    {
        int width = (int)shape[^1];
        float[] normalized = [];
        ReadOnlySpan<float> Normalize(ReadOnlySpan<float> rows)
        {
            if (normalized.Length < rows.Length)
                normalized = new float[rows.Length];
            FeatureMatrix.NormalizeRows(rows, width, normalized.AsSpan(0, rows.Length));
            return normalized.AsSpan(0, rows.Length);
        }

        if (IsNpy(path))
        {
            NpyFile.Write(path, ElementType.Float32, [.. Dimensions(shape)], writer => make((_, rows) => writer.Append(Normalize(rows))));
            return;
        }

        if (TableFile.IsTable(path))
        {
            WriteTable(path, shape, inputs, preprocessing, rows => make((first, values) => rows(first, Normalize(values))));
            return;
        }

        var file = new SafetensorsWriter(new Dictionary<string, string> { ["preprocessing"] = preprocessing });
        inputs.AddTo(file, "names");
        file.AddRows(name, Dimensions(shape));
        file.AddRows($"{name}_normalized", Dimensions(shape));
        file.Write(path, tensors => make((_, rows) =>
        {
            tensors.Append(name, rows);
            tensors.Append($"{name}_normalized", Normalize(rows));
        }));
    }

    /// <summary>
    /// The same where some inputs may turn out to have no features: how many rows there are is known at the end, so they wait in a file of
    /// their own until then. The inputs that were skipped are listed beside the features.
    /// </summary>
    /// <param name="path">The final name.</param>
    /// <param name="name"><c>image_features</c>.</param>
    /// <param name="shape">Of the features of all inputs.</param>
    /// <param name="inputs">The inputs' names.</param>
    /// <param name="skipped">Those that have no features; told by <paramref name="make"/>.</param>
    /// <param name="preprocessing">As above.</param>
    /// <param name="make">Calls the handler that it is given with the rows that there are, in order, not normalised.</param>
    /// <returns>The shape of what was written.</returns>
    /// <exception cref="BadInputException">No input has features; nothing is written.</exception>
    public static Shape WriteKeptRows(string path, string name, Shape shape, IReadOnlyList<string> inputs, SkippedImages skipped, string preprocessing, Action<FeatureRowHandler> make)
    {
        const int RowsAtOnce = 256;
        int rowLength = (int)(shape.ElementCount / shape[0]);
        using FileStream waiting = AtomicFile.OpenScratch(path);
        make((_, rows) => waiting.Write(MemoryMarshal.AsBytes(rows)));
        waiting.Flush();
        waiting.Position = 0;
        int kept = (int)(waiting.Length / sizeof(float) / rowLength);
        if (kept == 0)
            throw new BadInputException("images", $"none of the {inputs.Count} images can be read.");
        Shape written = shape.Rank == 2 ? new Shape(kept, shape[1]) : new Shape(kept, shape[1], shape[2]);
        WriteRows(path, name, written, new ListedNames(skipped.Kept(inputs)), preprocessing, rows =>
        {
            float[] buffer = new float[RowsAtOnce * rowLength];
            for (int first = 0; first < kept; first += RowsAtOnce)
            {
                Span<float> part = buffer.AsSpan(0, Math.Min(RowsAtOnce, kept - first) * rowLength);
                waiting.ReadExactly(MemoryMarshal.AsBytes(part));
                rows(first, part);
            }
        });
        skipped.WriteBeside(path);
        return written;
    }

    /// <summary>Adds both forms of features to a file that is being made.</summary>
    public static void Add(SafetensorsWriter writer, string name, FeatureMatrix features, FeatureMatrix normalized)
    {
        writer.Add(name, features.Values, Dimensions(features.Shape));
        writer.Add($"{name}_normalized", normalized.Values, Dimensions(normalized.Shape));
    }

    private static void WriteTable(string path, Shape shape, IRowNames inputs, string preprocessing, Action<FeatureRowHandler> make)
    {
        if (shape.Rank != 2)
            throw new BadInputException(path, $"the model has several vectors for each input ({shape}), and a table takes one for each row.", "Write .npy or .safetensors.");
        int width = (int)shape[1];
        var name = new TextColumn("name");
        var features = new VectorColumn("features", width);
        TableFile.Write(path, [name, features], table =>
        {
            using IEnumerator<string> names = inputs.GetEnumerator();
            make((_, rows) =>
            {
                for (; !rows.IsEmpty; rows = rows[width..])
                {
                    names.MoveNext();
                    name.Add(names.Current);
                    features.Add(rows[..width]);
                    table.EndRow();
                }
            });
        }, new Dictionary<string, string> { ["preprocessing"] = preprocessing });
    }

    /// <summary>The sizes of a shape.</summary>
    public static long[] Dimensions(Shape shape)
    {
        long[] dimensions = new long[shape.Rank];
        for (int i = 0; i < dimensions.Length; i++)
            dimensions[i] = shape[i];
        return dimensions;
    }

    private static bool IsNpy(string path) => Path.GetExtension(path).Equals(".npy", StringComparison.OrdinalIgnoreCase);

    private static bool IsSafetensors(string path) => Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase);
}

/// <summary>What the rows of a file of features are called.</summary>
internal interface IRowNames
{
    /// <summary>One name for each row, in order.</summary>
    IEnumerator<string> GetEnumerator();

    /// <summary>Puts them into a file's metadata as a JSON array.</summary>
    void AddTo(SafetensorsWriter writer, string key);
}

/// <summary>Names that are in memory.</summary>
internal sealed class ListedNames(IReadOnlyList<string> names) : IRowNames
{
    /// <inheritdoc/>
    public IEnumerator<string> GetEnumerator() => names.GetEnumerator();

    /// <inheritdoc/>
    public void AddTo(SafetensorsWriter writer, string key)
    {
        byte[] text = System.Text.Encoding.UTF8.GetBytes(System.Text.Encodings.Web.JavaScriptEncoder.Default.Encode(JsonSerializer.Serialize([.. names], JsonLines.Default.StringArray)));
        writer.AddStreamedMetadata(key, text.Length, stream => stream.Write(text));
    }
}
