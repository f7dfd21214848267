using Parquet;
using Parquet.Schema;

namespace ClipEngine.Files;

/// <summary>
/// Writes a Parquet file row by row: whole or not at all, in constant memory, and the same bytes for the same rows. Values are added to the
/// columns, then the row is ended; a row group is written whenever enough rows are there.
/// </summary>
/// <example><code>
/// var image = new TextColumn("image");
/// var score = new ValueColumn&lt;float&gt;("score");
/// ParquetTable.Write(path, [image, score], table =>
/// {
///     image.Add("a.jpg");
///     score.Add(0.5f);
///     table.EndRow();
/// });
/// </code></example>
internal sealed class ParquetTable
{
    /// <summary>Rows of a group; fewer where rows are wide.</summary>
    public const int RowsOfGroup = 1 << 16;

    /// <summary>Values of vectors in a group: 16 MiB of fp32.</summary>
    private const int ValuesOfGroup = 1 << 22;

    private readonly ParquetWriter _writer;
    private readonly IReadOnlyList<ParquetColumn> _columns;
    private readonly int _rowsOfGroup;
    private int _rows;

    private ParquetTable(ParquetWriter writer, IReadOnlyList<ParquetColumn> columns)
    {
        _writer = writer;
        _columns = columns;
        _rowsOfGroup = Math.Clamp(ValuesOfGroup / columns.Max(static column => column.Width), 1, RowsOfGroup);
    }

    /// <summary>Writes a file under a private name and renames it.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="columns">At least one; each is filled by one table at a time.</param>
    /// <param name="fill">Adds a value to each column and calls <see cref="EndRow"/>, for each row.</param>
    /// <param name="metadata">Free text about the file; null for none.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<ParquetColumn> columns, Action<ParquetTable> fill, IReadOnlyDictionary<string, string>? metadata = null) => AtomicFile.Write(path, stream =>
    {
        var schema = new ParquetSchema(columns.Select(static column => column.Field));
        ParquetWriter writer = ParquetFile.Wait(ParquetWriter.CreateAsync(schema, stream));
        try
        {
            if (metadata is not null)
                writer.CustomMetadata = metadata.OrderBy(static entry => entry.Key, StringComparer.Ordinal).ToDictionary();
            var table = new ParquetTable(writer, columns);
            fill(table);
            table.EndGroup();
        }
        finally
        {
            // Writes the footer.
            ParquetFile.Wait(writer.DisposeAsync());
        }
    });

    /// <summary>Ends a row.</summary>
    /// <exception cref="InvalidOperationException">A column has not got exactly one value for it.</exception>
    public void EndRow()
    {
        _rows++;
        foreach (ParquetColumn column in _columns)
        {
            if (column.Count != _rows)
                throw new InvalidOperationException($"column {column.Name} has {column.Count} values for {_rows} rows.");
        }

        if (_rows == _rowsOfGroup)
            EndGroup();
    }

    private void EndGroup()
    {
        if (_rows == 0)
            return;
        using (ParquetRowGroupWriter group = _writer.CreateRowGroup())
        {
            foreach (ParquetColumn column in _columns)
                column.Write(group);
        }

        _rows = 0;
    }
}

/// <summary>A column of a file that is being written.</summary>
/// <param name="name">Its name.</param>
internal abstract class ParquetColumn(string name)
{
    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>Its place in the schema.</summary>
    internal abstract Field Field { get; }

    /// <summary>Rows that wait to be written.</summary>
    internal abstract int Count { get; }

    /// <summary>Values of a row.</summary>
    internal virtual int Width => 1;

    /// <summary>Writes the rows that wait.</summary>
    internal abstract void Write(ParquetRowGroupWriter group);
}

/// <summary>A column of text.</summary>
/// <param name="name">Its name.</param>
/// <param name="isNullable">Whether a row may have no text.</param>
internal sealed class TextColumn(string name, bool isNullable = false) : ParquetColumn(name)
{
    private readonly List<string?> _values = [];

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<string>(name, isNullable);

    /// <inheritdoc/>
    internal override int Count => _values.Count;

    /// <summary>Adds a row's text.</summary>
    public void Add(string? value) => _values.Add(value);

    /// <inheritdoc/>
    internal override void Write(ParquetRowGroupWriter group)
    {
        ParquetFile.Wait(group.WriteAsync(Field, _values));
        _values.Clear();
    }
}

/// <summary>A column of bytes: pictures, for instance.</summary>
/// <param name="name">Its name.</param>
internal sealed class BytesColumn(string name) : ParquetColumn(name)
{
    private readonly List<byte[]?> _values = [];

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<byte[]>(name, true);

    /// <inheritdoc/>
    internal override int Count => _values.Count;

    /// <summary>Adds a row's bytes.</summary>
    public void Add(byte[]? value) => _values.Add(value);

    /// <inheritdoc/>
    internal override void Write(ParquetRowGroupWriter group)
    {
        ParquetFile.Wait(group.WriteAsync(Field, _values));
        _values.Clear();
    }
}

/// <summary>A column of numbers or truth values.</summary>
/// <typeparam name="T"><see cref="int"/>, <see cref="long"/>, <see cref="float"/>, <see cref="double"/> or <see cref="bool"/>.</typeparam>
/// <param name="name">Its name.</param>
/// <param name="isNullable">Whether a row may have no value.</param>
internal sealed class ValueColumn<T>(string name, bool isNullable = false) : ParquetColumn(name)
    where T : struct
{
    private T[] _values = new T[256];
    private bool[] _isThere = new bool[256];
    private int _count;

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<T>(name, isNullable);

    /// <inheritdoc/>
    internal override int Count => _count;

    /// <summary>Adds a row's value.</summary>
    /// <exception cref="ArgumentNullException">There is none, and the column needs one.</exception>
    public void Add(T? value)
    {
        if (value is null && !isNullable)
            throw new ArgumentNullException(nameof(value), $"column {Name} needs a value in every row.");
        if (_count == _values.Length)
        {
            Array.Resize(ref _values, 2 * _count);
            Array.Resize(ref _isThere, 2 * _count);
        }

        _values[_count] = value.GetValueOrDefault();
        _isThere[_count++] = value is not null;
    }

    /// <inheritdoc/>
    internal override void Write(ParquetRowGroupWriter group)
    {
        if (isNullable)
        {
            var values = new T?[_count];
            for (int row = 0; row < _count; row++)
                values[row] = _isThere[row] ? _values[row] : null;
            ParquetFile.Wait(group.WriteAsync<T>(Field, values.AsMemory()));
        }
        else
            ParquetFile.Wait(group.WriteAsync<T>(Field, _values.AsMemory(0, _count)));
        _count = 0;
    }
}

/// <summary>A column of vectors: a list of fp32 in each row, all equally long.</summary>
/// <param name="name">Its name.</param>
/// <param name="width">Values of a vector.</param>
internal sealed class VectorColumn(string name, int width) : ParquetColumn(name)
{
    private readonly DataField _element = new DataField<float>("element", false);
    private ListField? _list;
    private float[] _values = new float[width];
    private int _count;

    /// <inheritdoc/>
    internal override Field Field => _list ??= new ListField(Name, _element);

    /// <inheritdoc/>
    internal override int Count => _count;

    /// <inheritdoc/>
    internal override int Width => width;

    /// <summary>Adds a row's vector.</summary>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public void Add(ReadOnlySpan<float> vector)
    {
        if (vector.Length != width)
            throw new ArgumentException($"column {Name}: {vector.Length} values, {width} were expected.", nameof(vector));
        if ((_count + 1) * width > _values.Length)
            Array.Resize(ref _values, checked(2 * _values.Length));
        vector.CopyTo(_values.AsSpan(_count++ * width));
    }

    /// <inheritdoc/>
    internal override void Write(ParquetRowGroupWriter group)
    {
        int[] levels = new int[_count * width];
        levels.AsSpan().Fill(1);
        for (int row = 0; row < _count; row++)
            levels[row * width] = 0;
        int[] defined = new int[levels.Length];
        defined.AsSpan().Fill(_element.MaxDefinitionLevel);
        ParquetFile.Wait(group.WriteAllPartsAsync<float>(_element, _values.AsMemory(0, levels.Length), defined, levels, CancellationToken.None));
        _count = 0;
    }
}
