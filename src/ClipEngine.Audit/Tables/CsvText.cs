using System.Globalization;
using System.Text;

namespace ClipEngine.Audit.Tables;

/// <summary>
/// Writes a CSV table: RFC 4180 with LF, numbers in full (the shortest text that reads back as the same double), undefined
/// values as empty cells. Text that a spreadsheet would take for a formula gets an apostrophe in front.
/// </summary>
internal sealed class CsvText
{
    private readonly StringBuilder _text = new();
    private bool _isFirst = true;

    /// <summary>Starts with the header.</summary>
    public CsvText(params ReadOnlySpan<string> header)
    {
        foreach (string name in header)
            Add(name);
        EndRow();
    }

    /// <summary>Appends a text cell.</summary>
    public CsvText Add(string value)
    {
        if (value.Length > 0 && value[0] is '=' or '+' or '-' or '@' or '\t' or '\r')
            value = "'" + value;
        bool needsQuotes = value.AsSpan().IndexOfAny(",\"\n\r") >= 0;
        return Raw(needsQuotes ? $"\"{value.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : value);
    }

    /// <summary>Appends a number, or an empty cell where it is undefined.</summary>
    public CsvText Add(double? value) => Raw(value?.ToString("R", CultureInfo.InvariantCulture) ?? "");

    /// <summary>Appends a whole number.</summary>
    public CsvText Add(int value) => Raw(value.ToString(CultureInfo.InvariantCulture));

    /// <summary>Ends the row.</summary>
    public void EndRow()
    {
        _text.Append('\n');
        _isFirst = true;
    }

    /// <inheritdoc/>
    public override string ToString() => _text.ToString();

    private CsvText Raw(string cell)
    {
        if (!_isFirst)
            _text.Append(',');
        _isFirst = false;
        _text.Append(cell);
        return this;
    }
}
