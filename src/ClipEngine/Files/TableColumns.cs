using System.Runtime.InteropServices;
using Apache.Arrow;
using Apache.Arrow.Types;
using Parquet;
using Parquet.Schema;
using Array = System.Array;
using ArrowField = Apache.Arrow.Field;
using Field = Parquet.Schema.Field;

namespace ClipEngine.Files;

/// <summary>A column of a file that is being written.</summary>
/// <param name="name">Its name.</param>
public abstract class TableColumn(string name)
{
    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>Its place in the schema.</summary>
    internal abstract Field Field { get; }

    /// <summary>Rows that wait to be written.</summary>
    internal abstract int Count { get; }

    /// <summary>Values of a row.</summary>
    internal virtual int Width => 1;

    /// <summary>Its place in the schema of an Arrow file.</summary>
    internal abstract ArrowField ArrowField { get; }

    /// <summary>Writes the rows that wait as Parquet.</summary>
    internal abstract void Write(ParquetRowGroupWriter group);

    /// <summary>The rows that wait, as Arrow lays them out, to be written before others are added; none waits any more.</summary>
    internal abstract IArrowArray TakeArrow();

    /// <summary>Truth values, eight a byte, the first in the lowest bit.</summary>
    private protected static byte[] Bits(ReadOnlySpan<bool> values)
    {
        byte[] bits = new byte[(values.Length + 7) / 8];
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i])
                bits[i / 8] |= (byte)(1 << (i % 8));
        }

        return bits;
    }
}

/// <summary>A column of text.</summary>
/// <param name="name">Its name.</param>
/// <param name="isNullable">Whether a row may have no text.</param>
public sealed class TextColumn(string name, bool isNullable = false) : TableColumn(name)
{
    private readonly List<string?> _values = [];

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<string>(name, isNullable);

    /// <inheritdoc/>
    internal override ArrowField ArrowField { get; } = new(name, StringType.Default, isNullable);

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

    /// <inheritdoc/>
    internal override IArrowArray TakeArrow()
    {
        var builder = new StringArray.Builder();
        builder.AppendRange(_values);
        _values.Clear();
        return builder.Build();
    }
}

/// <summary>A column of bytes: pictures, for instance.</summary>
/// <param name="name">Its name.</param>
internal sealed class BytesColumn(string name) : TableColumn(name)
{
    private readonly List<byte[]?> _values = [];

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<byte[]>(name, true);

    /// <inheritdoc/>
    internal override ArrowField ArrowField { get; } = new(name, BinaryType.Default, nullable: true);

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

    /// <inheritdoc/>
    internal override IArrowArray TakeArrow()
    {
        var builder = new BinaryArray.Builder();
        foreach (byte[]? value in _values)
        {
            if (value is null)
                builder.AppendNull();
            else
                builder.Append(value.AsSpan());
        }

        _values.Clear();
        return builder.Build();
    }
}

/// <summary>A column of numbers or truth values.</summary>
/// <typeparam name="T"><see cref="int"/>, <see cref="long"/>, <see cref="float"/>, <see cref="double"/> or <see cref="bool"/>.</typeparam>
/// <param name="name">Its name.</param>
/// <param name="isNullable">Whether a row may have no value.</param>
public sealed class ValueColumn<T>(string name, bool isNullable = false) : TableColumn(name)
    where T : struct
{
    private T[] _values = new T[256];
    private bool[] _isThere = new bool[256];
    private int _count;

    /// <inheritdoc/>
    internal override DataField Field { get; } = new DataField<T>(name, isNullable);

    /// <inheritdoc/>
    internal override ArrowField ArrowField { get; } = new(name, Type.GetTypeCode(typeof(T)) switch
    {
        TypeCode.Int32 => Int32Type.Default,
        TypeCode.Int64 => Int64Type.Default,
        TypeCode.Single => FloatType.Default,
        TypeCode.Double => DoubleType.Default,
        TypeCode.Boolean => BooleanType.Default,
        _ => throw new NotSupportedException($"no column holds {typeof(T).Name}."),
    }, isNullable);

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

    /// <inheritdoc/>
    internal override IArrowArray TakeArrow()
    {
        Span<T> values = _values.AsSpan(0, _count);
        ReadOnlySpan<bool> isThere = _isThere.AsSpan(0, _count);
        ReadOnlySpan<byte> bytes = typeof(T) == typeof(bool) ? Bits(MemoryMarshal.Cast<T, bool>(values)) : MemoryMarshal.AsBytes(values);
        int missing = isThere.Count(false);
        var array = new ArrayData(ArrowField.DataType, _count, missing, 0, [missing == 0 ? ArrowBuffer.Empty : new ArrowBuffer(Bits(isThere)), new ArrowBuffer(bytes.ToArray())]);
        _count = 0;
        return ArrowArrayFactory.BuildArray(array);
    }
}

/// <summary>A column of vectors: fp32, equally many in each row; a list in Parquet, which knows no other, a list of fixed size in Arrow.</summary>
/// <param name="name">Its name.</param>
/// <param name="width">Values of a vector.</param>
internal sealed class VectorColumn(string name, int width) : TableColumn(name)
{
    private readonly DataField _element = new DataField<float>("element", false);
    private ListField? _list;
    private float[] _values = new float[width];
    // Kept from group to group: each is as large as a group.
    private int[] _repetitions = [], _definitions = [];
    private byte[] _bytes = [];
    private int _count;

    /// <inheritdoc/>
    internal override Field Field => _list ??= new ListField(Name, _element);

    /// <inheritdoc/>
    internal override ArrowField ArrowField { get; } = new(name, new FixedSizeListType(new ArrowField("element", FloatType.Default, nullable: false), width), nullable: false);

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
        int count = _count * width;
        if (_repetitions.Length < count)
        {
            _repetitions = new int[count];
            _definitions = new int[count];
            _definitions.AsSpan().Fill(_element.MaxDefinitionLevel);
            _repetitions.AsSpan().Fill(1);
            for (int first = 0; first < count; first += width)
                _repetitions[first] = 0;
        }

        ParquetFile.Wait(group.WriteAllPartsAsync<float>(_element, _values.AsMemory(0, count), _definitions.AsMemory(0, count), _repetitions.AsMemory(0, count), CancellationToken.None));
        _count = 0;
    }
    /// <inheritdoc/>
    internal override IArrowArray TakeArrow()
    {
        int count = _count * width;
        ReadOnlySpan<byte> values = MemoryMarshal.AsBytes(_values.AsSpan(0, count));
        if (_bytes.Length < values.Length)
            _bytes = new byte[values.Length];
        values.CopyTo(_bytes);
        var elements = new ArrayData(FloatType.Default, count, 0, 0, [ArrowBuffer.Empty, new ArrowBuffer(_bytes.AsMemory(0, values.Length))]);
        var vectors = new ArrayData(ArrowField.DataType, _count, 0, 0, [ArrowBuffer.Empty], [elements]);
        _count = 0;
        return ArrowArrayFactory.BuildArray(vectors);
    }
}
