using Apache.Arrow;
using Apache.Arrow.Ipc;
using Parquet;
using Parquet.Schema;

namespace ClipEngine.Files;

/// <summary>
/// Writes a table row by row, as Parquet or as an Arrow file (the IPC format that pyarrow calls Feather V2, not compressed) by the extension: whole or
/// not at all, in constant memory, and the same bytes for the same rows. Values are added to the columns, then the row is ended; a row group (a record
/// batch) is written whenever enough rows are there.
/// </summary>
/// <remarks>Arrow's format: <see href="https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format"/>.</remarks>
/// <example><code>
/// var image = new TextColumn("image");
/// var score = new ValueColumn&lt;float&gt;("score");
/// TableFile.Write(path, [image, score], table =>
/// {
///     image.Add("a.jpg");
///     score.Add(0.5f);
///     table.EndRow();
/// });
/// </code></example>
public sealed class TableFile
{
    /// <summary>Rows of a group; fewer where rows are wide.</summary>
    internal const int RowsOfGroup = 1 << 16;

    /// <summary>The extension of Arrow files.</summary>
    private const string ArrowExtension = ".arrow";

    /// <summary>Values of vectors in a group: 16 MiB of fp32.</summary>
    private const int ValuesOfGroup = 1 << 22;

    private readonly IReadOnlyList<TableColumn> _columns;
    private readonly Action<int> _writeGroup;
    private readonly int _rowsOfGroup;
    private int _rows;

    private TableFile(IReadOnlyList<TableColumn> columns, Action<int> writeGroup)
    {
        _columns = columns;
        _writeGroup = writeGroup;
        _rowsOfGroup = Math.Clamp(ValuesOfGroup / columns.Max(static column => column.Width), 1, RowsOfGroup);
    }

    /// <summary>Whether a path names a table that is written here, by its extension.</summary>
    public static bool IsTable(string path) => ParquetFile.IsParquet(path) || IsArrow(path);

    /// <summary>Writes a file under a private name and renames it.</summary>
    /// <param name="path">The final name; Parquet unless it ends in <c>.arrow</c>.</param>
    /// <param name="columns">At least one; each is filled by one table at a time.</param>
    /// <param name="fill">Adds a value to each column and calls <see cref="EndRow"/>, for each row.</param>
    /// <param name="metadata">Free text about the file; null for none.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<TableColumn> columns, Action<TableFile> fill, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var sorted = metadata?.OrderBy(static entry => entry.Key, StringComparer.Ordinal).ToDictionary();
        AtomicFile.Write(path, stream =>
        {
            if (IsArrow(path))
                WriteArrow(stream, columns, fill, sorted);
            else
                WriteParquet(stream, columns, fill, sorted);
        });
    }

    /// <summary>Ends a row.</summary>
    /// <exception cref="InvalidOperationException">A column has not got exactly one value for it.</exception>
    public void EndRow()
    {
        _rows++;
        foreach (TableColumn column in _columns)
        {
            if (column.Count != _rows)
                throw new InvalidOperationException($"column {column.Name} has {column.Count} values for {_rows} rows.");
        }

        if (_rows == _rowsOfGroup)
            EndGroup();
    }

    private static bool IsArrow(string path) => Path.GetExtension(path).Equals(ArrowExtension, StringComparison.OrdinalIgnoreCase);

    private static void WriteParquet(Stream stream, IReadOnlyList<TableColumn> columns, Action<TableFile> fill, Dictionary<string, string>? metadata)
    {
        var schema = new ParquetSchema(columns.Select(static column => column.Field));
        ParquetWriter writer = ParquetFile.Wait(ParquetWriter.CreateAsync(schema, stream));
        try
        {
            if (metadata is not null)
                writer.CustomMetadata = metadata;
            var table = new TableFile(columns, _ =>
            {
                using ParquetRowGroupWriter group = writer.CreateRowGroup();
                foreach (TableColumn column in columns)
                    column.Write(group);
            });
            fill(table);
            table.EndGroup();
        }
        finally
        {
            // Writes the footer.
            ParquetFile.Wait(writer.DisposeAsync());
        }
    }

    private static void WriteArrow(Stream stream, IReadOnlyList<TableColumn> columns, Action<TableFile> fill, Dictionary<string, string>? metadata)
    {
        var schema = new Schema(columns.Select(static column => column.ArrowField), metadata);
        using var writer = new ArrowFileWriter(stream, schema, leaveOpen: true);
        writer.WriteStart();
        var table = new TableFile(columns, rows =>
        {
            using var batch = new RecordBatch(schema, columns.Select(static column => column.TakeArrow()), rows);
            writer.WriteRecordBatch(batch);
        });
        fill(table);
        table.EndGroup();
        writer.WriteEnd();
    }

    private void EndGroup()
    {
        if (_rows == 0)
            return;
        _writeGroup(_rows);
        _rows = 0;
    }
}
