using System.Globalization;
using Parquet;
using Parquet.Data;
using Parquet.Schema;

namespace ClipEngine.Files;

/// <summary>
/// An open Parquet file, read a column of a row group at a time: memory does not grow with the number of row groups. Columns are the leaves of
/// the schema; what lies in a struct is called <c>outer.inner</c>. Whatever is wrong with a file becomes a <see cref="BadInputException"/> that names it.
/// </summary>
/// <example><code>
/// using ParquetFile file = ParquetFile.Open(path);
/// int image = file.Column("image"), score = file.Column("score");
/// for (int group = 0; group &lt; file.GroupCount; group++)
/// {
///     string?[] images = file.ReadText(group, image);
///     double?[] scores = file.ReadNumbers(group, score);
/// }
/// </code></example>
public sealed class ParquetFile : IDisposable
{
    /// <summary>The extension of such files.</summary>
    public const string Extension = ".parquet";

    /// <summary>More rows than common writers put into a group by themselves (pyarrow 2^20, formerly 2^26).</summary>
    private const long MostRowsOfGroup = 1L << 26;

    private readonly FileStream _stream;
    private readonly ParquetReader _reader;
    private readonly DataField[] _fields;
    private readonly long[] _rows;

    private ParquetFile(string path, FileStream stream, ParquetReader reader)
    {
        Path = path;
        _stream = stream;
        _reader = reader;
        _fields = reader.Schema.GetDataFields();
        Columns = [.. _fields.Select(static field => string.Join('.', field.Path.ToList()))];
        _rows = new long[reader.RowGroupCount];
        for (int group = 0; group < _rows.Length; group++)
        {
            using ParquetRowGroupReader opened = reader.OpenRowGroupReader(group);
            _rows[group] = opened.RowCount;
            if (_rows[group] is < 0 or > MostRowsOfGroup)
                throw new BadInputException(path, $"row group {group} has {_rows[group]} rows; at most {MostRowsOfGroup} are read at once.", "Write it with smaller row groups.");
        }

        RowCount = _rows.Sum();
    }

    /// <summary>The file as the caller named it.</summary>
    public string Path { get; }

    /// <summary>The columns' names.</summary>
    public IReadOnlyList<string> Columns { get; }

    /// <summary>Rows of all groups.</summary>
    public long RowCount { get; }

    /// <summary>Row groups.</summary>
    public int GroupCount => _rows.Length;

    /// <summary>Free text about the file, by key.</summary>
    internal IReadOnlyDictionary<string, string> Metadata => _reader.CustomMetadata;

    /// <summary>Whether a path names such a file, by its extension.</summary>
    public static bool IsParquet(string path) => System.IO.Path.GetExtension(path).Equals(Extension, StringComparison.OrdinalIgnoreCase);

    /// <summary>Opens a file and reads its schema.</summary>
    /// <param name="path">An existing Parquet file.</param>
    /// <exception cref="BadInputException">It is missing, no ordinary file, cut off, damaged, encrypted, or no Parquet file.</exception>
    /// <exception cref="IOException">The file exists but cannot be read.</exception>
    public static ParquetFile Open(string path)
    {
        FilePlace.RequireFile(path, "a Parquet file", takesStreams: false);
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            RequireMarks(path, stream);
            FileStream opened = stream;
            return Guard(path, () => new ParquetFile(path, opened, Wait(ParquetReader.CreateAsync(opened, leaveStreamOpen: true))));
        }
        catch
        {
            stream?.Dispose();
            throw;
        }
    }

    /// <summary>Rows of a group.</summary>
    public int RowsOf(int group) => (int)_rows[group];

    /// <summary>The column of a name, or -1.</summary>
    /// <exception cref="BadInputException">It is there more than once.</exception>
    internal int Find(string name)
    {
        int found = -1;
        for (int column = 0; column < Columns.Count; column++)
        {
            if (Columns[column] != name)
                continue;
            if (found >= 0)
                throw new BadInputException(Path, $"column '{BadInputException.Escape(name)}' is there more than once.", "Rename or remove one of them.");
            found = column;
        }

        return found;
    }

    /// <summary>The column of a name.</summary>
    /// <exception cref="BadInputException">There is none, or more than one; the message lists those there are.</exception>
    public int Column(string name)
    {
        int column = Find(name);
        if (column >= 0)
            return column;
        string known = string.Join(", ", Columns.Take(30).Select(static entry => $"'{BadInputException.Escape(entry, 60)}'"));
        throw new BadInputException(Path, $"there is no column '{BadInputException.Escape(name)}'; the columns are {known}.", "Name one of them (case matters).");
    }

    /// <summary>Whether a column holds numbers, so that <see cref="ReadNumbers"/> reads it.</summary>
    public bool IsNumeric(int column) => Type.GetTypeCode(_fields[column].ClrType) is >= TypeCode.SByte and <= TypeCode.Decimal && !IsList(column);

    /// <summary>Whether a column holds whole numbers.</summary>
    internal bool IsWhole(int column) => Type.GetTypeCode(_fields[column].ClrType) is >= TypeCode.SByte and <= TypeCode.UInt64 && !IsList(column);

    /// <summary>Whether <see cref="ReadText"/> reads a column.</summary>
    public bool IsText(int column) => !IsList(column) && (_fields[column].ClrType == typeof(ReadOnlyMemory<char>) || Type.GetTypeCode(_fields[column].ClrType) is TypeCode.Boolean or TypeCode.DateTime || IsNumeric(column));

    /// <summary>Whether a column holds bytes without a meaning: pictures, for instance.</summary>
    internal bool IsBinary(int column) => _fields[column].ClrType == typeof(ReadOnlyMemory<byte>) && !IsList(column);

    /// <summary>A column of a group as text: numbers as <see cref="NumberText"/> writes them, truth values as <c>true</c> and <c>false</c>, times as ISO 8601.</summary>
    /// <returns>One entry a row; null where there is no value.</returns>
    /// <exception cref="BadInputException">The column is a list or of a type that is no text, or the file is damaged.</exception>
    public string?[] ReadText(int group, int column)
    {
        DataField field = Scalar(column);
        return Read(group, reader =>
        {
            if (field.ClrType == typeof(ReadOnlyMemory<char>))
            {
                var text = new string?[RowsOf(group)];
                Wait(reader.ReadAsync(field, text.AsMemory()));
                return text;
            }

            return Type.GetTypeCode(field.ClrType) switch
            {
                TypeCode.Boolean => Convert(Values<bool>(reader, field), static value => value ? "true" : "false"),
                TypeCode.SByte => Format(Values<sbyte>(reader, field)),
                TypeCode.Byte => Format(Values<byte>(reader, field)),
                TypeCode.Int16 => Format(Values<short>(reader, field)),
                TypeCode.UInt16 => Format(Values<ushort>(reader, field)),
                TypeCode.Int32 => Format(Values<int>(reader, field)),
                TypeCode.UInt32 => Format(Values<uint>(reader, field)),
                TypeCode.Int64 => Format(Values<long>(reader, field)),
                TypeCode.UInt64 => Format(Values<ulong>(reader, field)),
                TypeCode.Single => Convert(Values<float>(reader, field), static value => value.ToString("R", CultureInfo.InvariantCulture)),
                TypeCode.Double => Convert(Values<double>(reader, field), NumberText.Format),
                TypeCode.Decimal => Format(Values<decimal>(reader, field)),
                TypeCode.DateTime => Convert(Values<DateTime>(reader, field), static value => value.ToString("O", CultureInfo.InvariantCulture)),
                _ => throw Unreadable(column, "text"),
            };
        });
    }

    /// <summary>A column of numbers of a group.</summary>
    /// <returns>One entry a row; null where there is no value. What is no number in the file (NaN, infinities) comes as it is.</returns>
    /// <exception cref="BadInputException">The column does not hold numbers, or the file is damaged.</exception>
    public double?[] ReadNumbers(int group, int column)
    {
        DataField field = Scalar(column);
        return Read(group, reader => Type.GetTypeCode(field.ClrType) switch
        {
            TypeCode.SByte => ToDouble(Values<sbyte>(reader, field)),
            TypeCode.Byte => ToDouble(Values<byte>(reader, field)),
            TypeCode.Int16 => ToDouble(Values<short>(reader, field)),
            TypeCode.UInt16 => ToDouble(Values<ushort>(reader, field)),
            TypeCode.Int32 => ToDouble(Values<int>(reader, field)),
            TypeCode.UInt32 => ToDouble(Values<uint>(reader, field)),
            TypeCode.Int64 => ToDouble(Values<long>(reader, field)),
            TypeCode.UInt64 => ToDouble(Values<ulong>(reader, field)),
            TypeCode.Single => ToDouble(Values<float>(reader, field)),
            TypeCode.Double => Values<double>(reader, field),
            TypeCode.Decimal => ToDouble(Values<decimal>(reader, field)),
            _ => throw Unreadable(column, "numbers"),
        });
    }

    /// <summary>A column of bytes of a group.</summary>
    /// <returns>One entry a row; null where there is no value.</returns>
    /// <exception cref="BadInputException">The column holds something else, or the file is damaged.</exception>
    internal byte[]?[] ReadBytes(int group, int column)
    {
        if (!IsBinary(column))
            throw Unreadable(column, "bytes");
        return Read(group, reader =>
        {
            var values = new byte[]?[RowsOf(group)];
            Wait(reader.ReadAsync(_fields[column], values.AsMemory()));
            return values;
        });
    }

    /// <summary>Which rows of a group have bytes in a column.</summary>
    internal bool[] ReadPresence(int group, int column) => Array.ConvertAll(ReadBytes(group, column), static value => value is not null);

    /// <summary>A column of vectors (lists of fp32 that are all equally long) of a group.</summary>
    /// <returns><c>[rows, width]</c>, row-major; the width is 0 where there is no row.</returns>
    /// <exception cref="BadInputException">The column holds something else, a row has no vector or one of another length, or the file is damaged.</exception>
    internal (float[] Values, int Width) ReadVectors(int group, int column)
    {
        DataField field = _fields[column];
        if (field.ClrType != typeof(float) || field.MaxRepetitionLevel != 1)
            throw Unreadable(column, "vectors (lists of float32)");
        return Read(group, reader =>
        {
            using var raw = (RawColumnData<float>)Wait(reader.ReadRawColumnDataBaseAsync(field).AsTask());
            float[] values = [.. raw.Values];
            int rows = RowsOf(group), width = rows == 0 ? 0 : values.Length / rows;
            ReadOnlySpan<int> levels = raw.RepetitionLevels;
            bool isEven = values.Length == rows * width && levels.Length == values.Length;
            // A row begins where nothing is repeated.
            for (int i = 0; isEven && i < levels.Length; i++)
                isEven = (levels[i] == 0) == (i % width == 0);
            return isEven ? (values, width) : throw new BadInputException(Path, $"the vectors of column '{BadInputException.Escape(Columns[column])}' are not all there and equally long.", "Leave out rows without one.");
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Wait(_reader.DisposeAsync().AsTask());
        _stream.Dispose();
    }

    /// <summary>The library only has asynchronous methods; there is no context here that waiting could block.</summary>
    internal static T Wait<T>(Task<T> task) => task.GetAwaiter().GetResult();

    /// <summary>The same.</summary>
    internal static void Wait(Task task) => task.GetAwaiter().GetResult();

    /// <summary>The same.</summary>
    internal static void Wait(ValueTask task) => task.AsTask().GetAwaiter().GetResult();

    /// <summary>Says of a file without the format's marks what it lacks.</summary>
    private static void RequireMarks(string path, FileStream stream)
    {
        const int MarkLength = 4;
        Span<byte> mark = stackalloc byte[MarkLength];
        if (stream.Length < 3 * MarkLength || stream.ReadAtLeast(mark, MarkLength, throwOnEndOfStream: false) < MarkLength || !IsMark(mark))
            throw new BadInputException(path, "is no Parquet file: it does not begin with PAR1.", "Check that it is the right file.");
        stream.Seek(-MarkLength, SeekOrigin.End);
        stream.ReadExactly(mark);
        if (!IsMark(mark))
            throw new BadInputException(path, "is cut off: a Parquet file ends with PAR1.", "Fetch or copy it again.");
        if (mark[3] == (byte)'E')
            throw new BadInputException(path, "is an encrypted Parquet file, which is not read here.", "Decrypt it first.");
        stream.Position = 0;

        static bool IsMark(ReadOnlySpan<byte> bytes) => bytes.SequenceEqual("PAR1"u8) || bytes.SequenceEqual("PARE"u8);
    }

    /// <summary>The library meets a damaged file with whatever exception its parser ran into.</summary>
    private static T Guard<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception exception) when (exception is not (BadInputException or OperationCanceledException or UnauthorizedAccessException) && !IsOfTheDisk(exception))
        {
            throw new BadInputException(path, $"is no Parquet file that can be read, or is damaged: {BadInputException.Escape(exception.Message, 200)}", "Fetch, copy or write it again.", exception);
        }
    }

    /// <summary>Errors of the system carry its number; those that the library throws by itself do not. EINVAL (22) comes of places outside the file.</summary>
    private static bool IsOfTheDisk(Exception exception) => exception is IOException && exception.HResult is > 0 and < 4096 and not 22;

    private static T?[] Values<T>(ParquetRowGroupReader reader, DataField field)
        where T : struct
    {
        var values = new T?[reader.RowCount];
        if (field.IsNullable)
            Wait(reader.ReadAsync<T>(field, values.AsMemory()));
        else
        {
            var plain = new T[values.Length];
            Wait(reader.ReadAsync<T>(field, plain.AsMemory()));
            for (int row = 0; row < plain.Length; row++)
                values[row] = plain[row];
        }

        return values;
    }

    private static string?[] Convert<T>(T?[] values, Func<T, string> convert)
        where T : struct => Array.ConvertAll(values, value => value is { } known ? convert(known) : null);

    private static string?[] Format<T>(T?[] values)
        where T : struct, IFormattable => Convert(values, static value => value.ToString(null, CultureInfo.InvariantCulture));

    private static double?[] ToDouble<T>(T?[] values)
        where T : struct, System.Numerics.INumberBase<T> => Array.ConvertAll(values, static value => value is { } known ? double.CreateChecked(known) : (double?)null);

    private T Read<T>(int group, Func<ParquetRowGroupReader, T> read) => Guard(Path, () =>
    {
        using ParquetRowGroupReader reader = _reader.OpenRowGroupReader(group);
        return read(reader);
    });

    private bool IsList(int column) => _fields[column].MaxRepetitionLevel > 0;

    private DataField Scalar(int column) => IsList(column) ? throw Unreadable(column, "one value a row") : _fields[column];

    private BadInputException Unreadable(int column, string wanted) =>
        new(Path, $"column '{BadInputException.Escape(Columns[column])}' does not hold {wanted} but {(IsList(column) ? "lists of " : "")}{Name(_fields[column].ClrType)}.", "Name another column, or write it in another type.");

    private static string Name(Type type) => type == typeof(ReadOnlyMemory<byte>) ? "bytes" : type == typeof(ReadOnlyMemory<char>) ? "text" : type.Name;
}
