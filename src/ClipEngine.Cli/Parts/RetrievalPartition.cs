using System.Globalization;
using System.IO.Hashing;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Parts;

/// <summary>
/// A partition in the layout of clip-retrieval, from which it and autofaiss go on: <c>img_emb/img_emb_NN.npy</c> (normalised, float16) and
/// <c>metadata/metadata_NN.parquet</c> with a row for each. NN counts from 0, padded to the width of the number of partitions; a part of a run is a partition.
/// </summary>
/// <remarks>Columns: <c>image_path</c> (the sample's key), <c>caption</c> where there are captions, then the fields of the descriptions without the columns that the layout has itself.</remarks>
internal sealed class RetrievalPartition : IPartFile
{
    private const string RunKey = "clipengine";

    private static readonly string[] s_ownColumns = ["image_path", "caption", "metadata"];

    /// <summary>The partition that is part of a run.</summary>
    /// <param name="folder">The folder of the layout.</param>
    /// <param name="number">The part.</param>
    public RetrievalPartition(string folder, PartNumber number)
    {
        string padded = (number.Index - 1).ToString(CultureInfo.InvariantCulture).PadLeft(number.Count.ToString(CultureInfo.InvariantCulture).Length, '0');
        Number = number;
        Path = System.IO.Path.Combine(folder, "img_emb", $"img_emb_{padded}.npy");
        Metadata = System.IO.Path.Combine(folder, "metadata", $"metadata_{padded}.parquet");
    }

    /// <inheritdoc/>
    public PartNumber Number { get; }

    /// <summary>The file of features.</summary>
    public string Path { get; }

    /// <inheritdoc/>
    public bool NeedsDescriptions => true;

    /// <summary>The table, written behind it.</summary>
    public string Metadata { get; }

    /// <inheritdoc/>
    public bool IsThere(PartRun run, string inputs, CancellationToken cancellation)
    {
        if (!FilePlace.IsFile(Metadata) || !FilePlace.IsFile(Path))
            return false;
        try
        {
            using ParquetFile table = ParquetFile.Open(Metadata);
            return table.Metadata.TryGetValue(RunKey, out string? found) && found == Mark(run, inputs);
        }
        catch (BadInputException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public Shape Write(PartRun run, string inputs, Shape shape, ImageCollection images, string preprocessing, SkippedImages skipped, bool listsSkipped, Action<FeatureRowHandler> make)
    {
        if (shape.Rank != 2)
            throw new BadInputException("--clip-retrieval", $"the model makes a feature of every token ({shape}); the layout takes one for each image.", "Write .npy or .safetensors with --out.");
        int width = (int)shape[1];
        using FileStream waiting = AtomicFile.OpenScratch(Path);
        float[] normalized = [];
        Half[] halves = [];
        make((_, rows) =>
        {
            if (normalized.Length < rows.Length)
            {
                normalized = new float[rows.Length];
                halves = new Half[rows.Length];
            }

            FeatureMatrix.NormalizeRows(rows, width, normalized.AsSpan(0, rows.Length));
            TensorPrimitives.ConvertToHalf(normalized.AsSpan(0, rows.Length), halves);
            waiting.Write(MemoryMarshal.AsBytes(halves.AsSpan(0, rows.Length)));
        });
        long kept = waiting.Length / 2 / width;
        if (kept == 0)
            throw new BadInputException("images", $"none of the {images.Count} images can be read.");
        // The table says that the partition is whole: it is gone before its features change.
        if (FilePlace.IsFile(Metadata))
            File.Delete(Metadata);
        waiting.Flush();
        waiting.Position = 0;
        NpyFile.Write(Path, ElementType.Float16, [kept, width], writer =>
        {
            Half[] buffer = new Half[1 << 16];
            for (long left = kept * width; left > 0;)
            {
                Span<Half> piece = buffer.AsSpan(0, (int)Math.Min(left, buffer.Length));
                waiting.ReadExactly(MemoryMarshal.AsBytes(piece));
                writer.Append<Half>(piece);
                left -= piece.Length;
            }
        });
        HashSet<int> gone = [.. skipped.Skipped.Select(static entry => entry.Index)];
        WriteTable(images, [.. Enumerable.Range(0, images.Count).Where(index => !gone.Contains(index))], Mark(run, inputs));
        if (listsSkipped)
            skipped.WriteBeside(Path);
        return new Shape(kept, width);
    }

    private static string Mark(PartRun run, string inputs) => Convert.ToHexStringLower(XxHash128.Hash(System.Text.Encoding.UTF8.GetBytes($"{run.Key} {inputs}")));

    /// <summary>Reads the descriptions twice, once for the columns and their types, so that they are never all in memory.</summary>
    private void WriteTable(ImageCollection images, int[] kept, string mark)
    {
        bool hasCaptions = false;
        var kinds = new Dictionary<string, FieldKind>();
        var order = new List<string>();
        foreach (int index in kept)
        {
            ImageDescription description = images.Describe(index);
            hasCaptions |= description.Caption is not null;
            foreach ((string name, object? value) in description.Fields)
            {
                if (s_ownColumns.Contains(name))
                    continue;
                if (!kinds.TryGetValue(name, out FieldKind kind))
                    order.Add(name);
                kinds[name] = kind.With(value);
            }
        }

        var key = new TextColumn("image_path", isNullable: true);
        var caption = new TextColumn("caption", isNullable: true);
        var fields = order.Select(name => (Name: name, Column: Field.Create(name, kinds[name], kept.Length))).ToList();
        TableColumn[] columns = [key, .. hasCaptions ? new[] { caption } : [], .. fields.Select(static field => field.Column.Column)];
        TableFile.Write(Metadata, columns, table =>
        {
            foreach (int index in kept)
            {
                ImageDescription description = images.Describe(index);
                key.Add(description.Key);
                if (hasCaptions)
                    caption.Add(description.Caption);
                foreach ((string name, Field column) in fields)
                    column.Add(description.Fields.FirstOrDefault(field => field.Key == name).Value);
                table.EndRow();
            }
        }, new Dictionary<string, string> { [RunKey] = mark });
    }

    /// <summary>Which values a field was seen to have.</summary>
    private readonly record struct FieldKind(int Whole, int Real, int Truth, int Text)
    {
        public FieldKind With(object? value) => value switch
        {
            null => this,
            long => this with { Whole = Whole + 1 },
            double => this with { Real = Real + 1 },
            bool => this with { Truth = Truth + 1 },
            _ => this with { Text = Text + 1 },
        };
    }

    /// <summary>A field's column, in the type that pandas gives it: whole numbers only where every row has one.</summary>
    private sealed record Field(TableColumn Column, Action<object?> Add)
    {
        public static Field Create(string name, FieldKind kind, int rows)
        {
            if (kind.Whole == rows && rows > 0)
            {
                var column = new ValueColumn<long>(name, isNullable: true);
                return new Field(column, value => column.Add((long)value!));
            }

            if (kind.Whole + kind.Real > 0 && kind.Truth + kind.Text == 0)
            {
                var column = new ValueColumn<double>(name, isNullable: true);
                return new Field(column, value => column.Add(value switch { long whole => whole, double real => real, _ => null }));
            }

            if (kind.Truth > 0 && kind.Whole + kind.Real + kind.Text == 0)
            {
                var column = new ValueColumn<bool>(name, isNullable: true);
                return new Field(column, value => column.Add(value as bool?));
            }

            var text = new TextColumn(name, isNullable: true);
            return new Field(text, value => text.Add(value switch
            {
                null => null,
                bool truth => truth ? "true" : "false",
                _ => Convert.ToString(value, CultureInfo.InvariantCulture),
            }));
        }
    }
}
