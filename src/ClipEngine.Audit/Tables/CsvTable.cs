using ClipEngine.Files;
using CsvHelper;

namespace ClipEngine.Audit.Tables;

/// <summary>
/// A CSV file as text, nothing guessed: every cell stays what it is (an id <c>007</c> keeps its zeros). Comma-separated (.tsv: by tabs), quoted
/// as RFC 4180 says, UTF-8 (or UTF-16 with a byte order mark), one header row, as many cells in each row as in the header.
/// </summary>
internal sealed class CsvTable
{
    /// <summary>How every table is read: cells separated by commas, in a file called .tsv or .tab by tabs.</summary>
    internal static CsvReaderOptions Options(string path) => new()
    {
        Separator = HasTabs(path) ? '\t' : ',',
        HasHeader = false,
        TrackLineNumbers = true,
        // A quote that is never closed must not swallow a file of any size.
        MaxRecordSize = 1 << 20,
        MalformedData = CsvMalformedDataHandling.Throw,
    };

    private readonly string[] _header;
    private readonly List<string[]> _rows;
    private readonly List<long> _lines;

    private CsvTable(string path, string[] header, List<string[]> rows, List<long> lines)
    {
        Path = path;
        _header = header;
        _rows = rows;
        _lines = lines;
    }

    /// <summary>The file as the caller named it.</summary>
    public string Path { get; }

    /// <summary>The column names. One may be empty: the index column that pandas writes.</summary>
    public IReadOnlyList<string> Header => _header;

    /// <summary>Rows below the header.</summary>
    public int RowCount => _rows.Count;

    /// <summary>One cell.</summary>
    public string this[int row, int column] => _rows[row][column];

    /// <summary>Where a row is, for messages.</summary>
    public string Where(int row) => $"line {_lines[row]}";

    /// <summary>The column of a name, or -1.</summary>
    public int Find(string name) => Array.IndexOf(_header, name);

    /// <summary>The column of a name.</summary>
    /// <exception cref="BadInputException">There is none; the message lists those there are.</exception>
    public int Column(string name)
    {
        int column = Find(name);
        if (column >= 0)
            return column;
        string known = string.Join(", ", _header.Take(30).Select(entry => $"'{BadInputException.Escape(entry, 60)}'"));
        throw new BadInputException(Path, $"there is no column '{BadInputException.Escape(name)}'; the columns are {known}.", "Name one of them (case matters).");
    }

    /// <summary>All cells of one column.</summary>
    public string[] Cells(int column) => [.. _rows.Select(row => row[column])];

    /// <summary>Some rows of the table; messages still name their lines in the file.</summary>
    public CsvTable Select(IReadOnlyList<int> rows) => new(Path, _header, [.. rows.Select(row => _rows[row])], [.. rows.Select(row => _lines[row])]);

    /// <summary>The table with other cells in one column.</summary>
    public CsvTable Replace(int column, Func<int, string, string> replace)
    {
        var rows = new List<string[]>(_rows.Count);
        for (int row = 0; row < _rows.Count; row++)
        {
            string cell = replace(row, _rows[row][column]);
            rows.Add(ReferenceEquals(cell, _rows[row][column]) ? _rows[row] : [.. _rows[row].Select((old, at) => at == column ? cell : old)]);
        }

        return new CsvTable(Path, _header, rows, _lines);
    }

    /// <summary>Whether a file is a table by its name.</summary>
    public static bool IsTable(string path) => System.IO.Path.GetExtension(path).ToLowerInvariant() is ".csv" or ".tsv" or ".tab";

    /// <summary>Reads a file: cells separated by commas, in a file called .tsv by tabs.</summary>
    /// <exception cref="BadInputException">It is missing, empty, not text, not separated so, ragged, too large for memory, or has duplicate columns.</exception>
    public static CsvTable Read(string path)
    {
        try
        {
            using TextReader text = TextFile.Open(path, HasTabs(path) ? "a table with tabs (TSV)" : "a table with commas (CSV)");
            using CsvReader reader = CsvReader.Create(text, Options(path));
            return Read(path, reader);
        }
        catch (CsvFormatException exception)
        {
            throw new BadInputException(path, $"line {exception.LineNumber} begins a record that is no CSV: {BadInputException.Escape(exception.Message, 300)}", "Quote whole cells, double the quotes in them, and close every quote.", exception);
        }
    }

    /// <summary>Refuses a header row that is separated otherwise than the file's name says.</summary>
    internal static void RequireSeparator(string path, IReadOnlyList<string> header)
    {
        bool hasTabs = HasTabs(path);
        if (header.Count == 1 && header[0].AsSpan().IndexOfAny(hasTabs ? ";," : ";\t") is >= 0 and var at)
        {
            string found = header[0][at] switch { ';' => "semicolons", '\t' => "tabs", _ => "commas" };
            throw new BadInputException(path, $"the header row has no {(hasTabs ? "tab" : "comma")} but {found}.", found == "semicolons" ? "Save the table with commas." : hasTabs ? "Name it .csv." : "Name it .tsv, or save it with commas.");
        }
    }

    private static bool HasTabs(string path) => System.IO.Path.GetExtension(path).ToLowerInvariant() is ".tsv" or ".tab";

    private static CsvTable Read(string path, CsvReader reader)
    {
        bool hasTabs = HasTabs(path);
        if (!reader.Read())
            throw new BadInputException(path, "the file is empty; a header row was expected.", "Give a table whose first row names its columns.");
        string[] header = Record(reader);
        RequireSeparator(path, header);
        CheckHeader(path, header);
        var rows = new List<string[]>();
        var lines = new List<long>();
        long bytes = 0;
        while (reader.Read())
        {
            if (reader.FieldCount != header.Length)
                throw new BadInputException(path, $"line {reader.LineNumber} has {reader.FieldCount} cells, the header has {header.Length}.", $"Every row needs as many cells as the header; quote cells that hold {(hasTabs ? "tabs" : "commas")}.");
            string[] record = Record(reader);
            bytes += 32 + record.Sum(static cell => 30 + (2L * cell.Length));
            if (bytes > TextFile.MemoryLimit)
                throw new BadInputException(path, $"line {reader.LineNumber}: the table takes more than {TextFile.MemoryLimit >> 20} MB of memory.", "Leave out columns that are not needed, or split it.");
            rows.Add(record);
            lines.Add(reader.LineNumber);
        }

        return new CsvTable(path, header, rows, lines);
    }

    private static string[] Record(CsvReader reader)
    {
        var cells = new string[reader.FieldCount];
        for (int column = 0; column < cells.Length; column++)
            cells[column] = reader.GetString(column);
        return cells;
    }

    private static void CheckHeader(string path, string[] header)
    {
        if (header.Count(string.IsNullOrWhiteSpace) > 1)
            throw new BadInputException(path, "more than one column has no name.", "Name them.");
        string? twice = header.GroupBy(name => name).FirstOrDefault(names => names.Count() > 1)?.Key;
        if (twice is not null)
            throw new BadInputException(path, $"column '{BadInputException.Escape(twice)}' is there more than once.", "Rename or remove one of them.");
    }
}
