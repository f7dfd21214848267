using System.Text;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>Attributes in the columns of a Parquet file: numbers or truth values; a null or NaN is missing. A row group at a time is in memory.</summary>
/// <param name="path">The file.</param>
internal sealed class ParquetAttributes(string path) : AttributeTable(path)
{
    /// <inheritdoc/>
    public override void Read(IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation)
    {
        using ParquetFile file = ParquetFile.Open(Path);
        int[] columns = [.. attributes.Select(file.Column)];
        int utilityColumn = utility is null ? -1 : file.Column(utility);
        var row = new double[columns.Length + 1];
        long first = 0;
        for (int group = 0; group < file.GroupCount; group++)
        {
            cancellation.ThrowIfCancellationRequested();
            double[][] values = [.. columns.Select(column => Numbers(file, group, column))];
            double[]? utilities = utilityColumn < 0 ? null : Numbers(file, group, utilityColumn);
            for (int index = 0; index < file.RowsOf(group); index++)
            {
                for (int i = 0; i < columns.Length; i++)
                {
                    row[i] = values[i][index];
                    if (!IsAttribute(row[i]))
                        throw NoAttribute($"row {first + index}, column '{attributes[i]}'", row[i]);
                }

                row[^1] = utilities is null ? 1 : utilities[index];
                if (!IsUtility(row[^1]))
                    throw NoUtility($"row {first + index}, column '{utility}'", row[^1]);
                visit(row);
            }

            first += file.RowsOf(group);
        }

        if (first == 0)
            throw NoRows();
    }

    /// <summary><c>train.csv</c>: the columns that can be written as text.</summary>
    public override void WriteExamples(IEnumerable<long> times, string directory, CancellationToken cancellation)
    {
        using ParquetFile file = ParquetFile.Open(Path);
        int[] columns = [.. Enumerable.Range(0, file.Columns.Count).Where(file.IsText)];
        using IEnumerator<long> next = times.GetEnumerator();
        AtomicFile.Write(System.IO.Path.Combine(directory, TrainingList.CsvName), stream =>
        {
            using var text = new StreamWriter(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            text.Write(string.Join(',', columns.Select(column => Cell(file.Columns[column]))) + "\n");
            for (int group = 0; group < file.GroupCount; group++)
            {
                cancellation.ThrowIfCancellationRequested();
                string?[][] cells = [.. columns.Select(column => file.ReadText(group, column))];
                for (int row = 0; row < file.RowsOf(group) && next.MoveNext(); row++)
                {
                    if (next.Current == 0)
                        continue;
                    string line = string.Join(',', cells.Select(column => Cell(column[row] ?? "")));
                    for (long copy = 0; copy < next.Current; copy++)
                        text.Write(line + "\n");
                }
            }
        });
    }

    private static double[] Numbers(ParquetFile file, int group, int column)
    {
        if (file.IsNumeric(column) || !file.IsText(column))
            return Array.ConvertAll(file.ReadNumbers(group, column), static value => value ?? double.NaN);
        // What is text may be truth values; text itself is no number.
        return Array.ConvertAll(file.ReadText(group, column), text => text switch
        {
            null => double.NaN,
            "true" => 1,
            "false" => 0,
            _ => throw new BadInputException(file.Path, $"column '{BadInputException.Escape(file.Columns[column], 60)}' holds text ('{BadInputException.Escape(text, 40)}'); numbers or truth values were expected.", "Name another column, or write it in another type."),
        });
    }

    /// <summary>A cell as the trainer's reader (pandas) takes it.</summary>
    private static string Cell(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}
