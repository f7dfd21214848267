using System.Buffers.Text;
using System.Text;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;
using CsvHelper;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// Attributes in the columns of a CSV file (UTF-8, with a header; comma-separated, called .tsv by tabs): bits, probabilities, <c>true</c> and <c>false</c>;
/// an empty cell, NaN and what else <see cref="Gaps"/> knows is a missing value.
/// </summary>
/// <param name="path">The file.</param>
internal sealed class CsvAttributes(string path) : AttributeTable(path)
{
    // Characters of the longest cell that is a number or says that there is none.
    private const int MaximumNumber = 64;

    /// <inheritdoc/>
    public override void Read(IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation)
    {
        try
        {
            using FileStream stream = TextFile.OpenUtf8(Path, "a table of attributes (CSV)");
            using CsvReader reader = CsvReader.Create(stream, CsvTable.Options(Path));
            Read(Path, reader, attributes, utility, visit, cancellation);
        }
        catch (CsvFormatException exception)
        {
            throw new BadInputException(Path, $"line {exception.LineNumber} begins a record that is no CSV: {BadInputException.Escape(exception.Message, 300)}", "Quote whole cells, double the quotes in them, and close every quote.", exception);
        }
    }

    /// <summary><c>train.csv</c>: the table's rows.</summary>
    public override void WriteExamples(IEnumerable<long> times, string directory, CancellationToken cancellation)
    {
        using FileStream input = File.OpenRead(Path);
        using CsvReader reader = CsvReader.Create(input, CsvTable.Options(Path));
        AtomicFile.Write(System.IO.Path.Combine(directory, TrainingList.CsvName), stream =>
        {
            reader.Read();
            var line = new MemoryStream();
            Record(reader, line);
            line.WriteTo(stream);
            long row = 0;
            foreach (long copies in times)
            {
                if ((row++ & 0xFFFF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                reader.Read();
                if (copies == 0)
                    continue;
                line.SetLength(0);
                Record(reader, line);
                for (long copy = 0; copy < copies; copy++)
                    line.WriteTo(stream);
            }
        });
    }

    private static void Record(CsvReader reader, MemoryStream line)
    {
        for (int column = 0; column < reader.FieldCount; column++)
        {
            if (column > 0)
                line.WriteByte((byte)',');
            ReadOnlySpan<byte> cell = reader.GetSpan(column);
            if (cell.IndexOfAny(",\"\r\n"u8) < 0)
            {
                line.Write(cell);
                continue;
            }

            line.Write(Encoding.UTF8.GetBytes($"\"{Encoding.UTF8.GetString(cell).Replace("\"", "\"\"", StringComparison.Ordinal)}\""));
        }

        line.WriteByte((byte)'\n');
    }

    private static void Read(string path, CsvReader reader, IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation)
    {
        if (!reader.Read())
            throw new BadInputException(path, "the file is empty; a header row was expected.", "Give a table whose first row names its columns.");
        string[] header = [.. Enumerable.Range(0, reader.FieldCount).Select(column => Encoding.UTF8.GetString(reader.GetSpan(column)))];
        if (header[0].Length > 0 && header[0][0] == '\uFEFF')
            header[0] = header[0][1..];
        CsvTable.RequireSeparator(path, header);
        int[] columns = [.. attributes.Select(name => Column(path, header, name))];
        int utilityColumn = utility is null ? -1 : Column(path, header, utility);
        var row = new double[columns.Length + 1];
        long count = 0;
        while (reader.Read())
        {
            if ((++count & 0xFFFF) == 0)
                cancellation.ThrowIfCancellationRequested();
            if (reader.FieldCount != header.Length)
                throw new BadInputException(path, $"line {reader.LineNumber} has {reader.FieldCount} cells, the header has {header.Length}.", "Every row needs as many cells as the header; quote cells that hold commas.");
            for (int i = 0; i < columns.Length; i++)
            {
                row[i] = Number(reader.GetSpan(columns[i]), out bool isNumber);
                if (!isNumber || row[i] is < 0 or > 1)
                    throw Refuse(path, reader, header, columns[i], "a number from 0 to 1 was expected (or nothing where it is missing)");
            }

            row[^1] = 1;
            if (utilityColumn >= 0)
            {
                row[^1] = Number(reader.GetSpan(utilityColumn), out bool isNumber);
                if (!isNumber || row[^1] is not (>= 1e-6 and <= 1e6))
                    throw Refuse(path, reader, header, utilityColumn, "a utility from 0.000001 to 1000000 was expected");
            }

            visit(row);
        }

        if (count == 0)
            throw new BadInputException(path, "there is a header and no row below it.", "Write a row for each example.");
    }

    private static BadInputException Refuse(string path, CsvReader reader, string[] header, int column, string expected) =>
        new(path, $"line {reader.LineNumber}, column '{BadInputException.Escape(header[column], 60)}': {expected}; found '{BadInputException.Escape(Encoding.UTF8.GetString(reader.GetSpan(column)), 60)}'.", "Correct the cell; decimals have a point.");

    /// <summary>Where a column stands.</summary>
    internal static int Column(string path, string[] header, string name)
    {
        int found = Array.IndexOf(header, name);
        if (found < 0)
        {
            string known = string.Join(", ", header.Take(30).Select(entry => $"'{BadInputException.Escape(entry, 60)}'"));
            throw new BadInputException(path, $"there is no column '{BadInputException.Escape(name)}'; the columns are {known}.", "Name one of them (case matters).");
        }

        if (Array.IndexOf(header, name, found + 1) >= 0)
            throw new BadInputException(path, $"column '{BadInputException.Escape(name)}' is there more than once.", "Rename or remove one of them.");
        return found;
    }

    /// <summary>A cell as a number; NaN where it is missing.</summary>
    private static double Number(ReadOnlySpan<byte> cell, out bool isNumber)
    {
        isNumber = true;
        if (cell.Length == 1 && cell[0] is (byte)'0' or (byte)'1')
            return cell[0] - (byte)'0';
        if (cell.IsEmpty)
            return double.NaN;
        if (cell.SequenceEqual("True"u8) || cell.SequenceEqual("true"u8))
            return 1;
        if (cell.SequenceEqual("False"u8) || cell.SequenceEqual("false"u8))
            return 0;
        Span<char> text = stackalloc char[MaximumNumber];
        bool isShort = Encoding.UTF8.TryGetChars(cell, text, out int length);
        if (isShort && NumberText.TryParse(text[..length], out double value))
            return value;
        isNumber = isShort && Gaps.IsGap(new string(text[..length]));
        return double.NaN;
    }
}
