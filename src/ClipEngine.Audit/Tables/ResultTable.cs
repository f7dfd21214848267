using System.Globalization;
using System.Text;

namespace ClipEngine.Audit.Tables;

/// <summary>A table of results, written to CSV and to the database from the same cells.</summary>
internal sealed class ResultTable
{
    private readonly List<object?> _row = [];

    /// <summary>An empty table.</summary>
    /// <param name="name">Its name: the CSV file's without extension, the database's table with underscores.</param>
    /// <param name="meaning">What a row is, in a sentence.</param>
    /// <param name="columns">The columns.</param>
    public ResultTable(string name, string meaning, params IReadOnlyList<string> columns)
    {
        Name = name;
        Meaning = meaning;
        Columns = columns;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What a row is.</summary>
    public string Meaning { get; }

    /// <summary>The columns.</summary>
    public IReadOnlyList<string> Columns { get; }

    /// <summary>The rows: text, double, int, or null where undefined.</summary>
    public List<object?[]> Rows { get; } = [];

    /// <summary>Appends a text cell.</summary>
    public ResultTable Add(string value) => Append(value);

    /// <summary>Appends a number, or nothing where it is undefined.</summary>
    public ResultTable Add(double? value) => Append(value);

    /// <summary>Appends a whole number.</summary>
    public ResultTable Add(int value) => Append(value);

    /// <summary>Ends the row.</summary>
    /// <exception cref="InvalidOperationException">It has not as many cells as there are columns.</exception>
    public void EndRow()
    {
        if (_row.Count != Columns.Count)
            throw new InvalidOperationException($"table {Name}: a row has {_row.Count} cells, {Columns.Count} were expected");
        Rows.Add([.. _row]);
        _row.Clear();
    }

    /// <summary>
    /// The table as CSV: RFC 4180 with LF, numbers in full (the shortest text that reads back as the same double), undefined
    /// values as empty cells. Text that a spreadsheet would take for a formula gets an apostrophe in front.
    /// </summary>
    public string ToCsv()
    {
        var text = new StringBuilder();
        AppendRow(text, Columns);
        foreach (object?[] row in Rows)
            AppendRow(text, row);
        return text.ToString();
    }

    private ResultTable Append(object? value)
    {
        _row.Add(value);
        return this;
    }

    private static void AppendRow(StringBuilder text, IEnumerable<object?> cells)
    {
        bool isFirst = true;
        foreach (object? cell in cells)
        {
            if (!isFirst)
                text.Append(',');
            isFirst = false;
            text.Append(Cell(cell));
        }

        text.Append('\n');
    }

    /// <summary>A cell as CSV.</summary>
    internal static string Cell(object? cell)
    {
        switch (cell)
        {
            case null:
                return "";
            case double number:
                return number.ToString("R", CultureInfo.InvariantCulture);
            case int number:
                return number.ToString(CultureInfo.InvariantCulture);
        }

        string value = (string)cell;
        if (value.Length > 0 && value[0] is '=' or '+' or '-' or '@' or '\t' or '\r')
            value = "'" + value;
        return value.AsSpan().IndexOfAny(",\"\n\r") >= 0 ? $"\"{value.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : value;
    }
}
