using System.Globalization;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Scores;

/// <summary>
/// Reads a matrix of probabilities out of a table (CSV, TSV or Parquet) with a column of ids and a column for each label. Rows are joined to the
/// metadata by id, in whatever order they stand.
/// </summary>
internal static class ScoreTable
{
    private const double Tolerance = ScoreMatrixReader.LooseTolerance;

    /// <summary>Whether a path names such a table, by its extension.</summary>
    public static bool IsTable(string path) => CsvTable.IsTable(path) || ParquetFile.IsParquet(path);

    /// <summary>Reads the probabilities of the metadata's images.</summary>
    /// <param name="path">The table.</param>
    /// <param name="idColumn">The column of ids, named as in the metadata.</param>
    /// <param name="ids">The images' ids, in the metadata's order.</param>
    /// <param name="labels">The labels: columns of these names. Other columns are ignored.</param>
    /// <param name="known">All ids of the metadata, those of images that are left out with them.</param>
    /// <returns>The matrix <c>[ids, labels]</c>, and a sentence for the report where the table has rows of other ids.</returns>
    /// <exception cref="BadInputException">A column is missing, an id is there twice or not at all, a cell is no probability, or a row does not add up to one; names the image.</exception>
    public static (ScoreMatrix Matrix, string[] Notes) Read(string path, string idColumn, IReadOnlyList<string> ids, IReadOnlyList<string> labels, IReadOnlySet<string> known)
    {
        (string[] Ids, double?[][] Columns) table = ParquetFile.IsParquet(path) ? Parquet(path, idColumn, labels) : Csv(path, idColumn, labels);
        var rows = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int row = 0; row < table.Ids.Length; row++)
        {
            if (!rows.TryAdd(table.Ids[row], row))
                throw new BadInputException(path, $"the id '{BadInputException.Escape(table.Ids[row], 80)}' is there twice (rows {rows[table.Ids[row]] + 1} and {row + 1}).", "A row for each image; a table with a row for each image and label is made wide first.");
        }

        string[] missing = [.. ids.Where(id => !rows.ContainsKey(id))];
        if (missing.Length > 0)
        {
            throw new BadInputException(path, $"there is no row of {missing.Length} of the metadata's {ids.Count} images, the first: {string.Join(", ", missing.Take(5).Select(static id => $"'{BadInputException.Escape(id, 80)}'"))}.",
                "Every image needs its scores; ids are compared as text, leading zeros included.");
        }

        var values = new float[(long)ids.Count * labels.Count];
        for (int image = 0; image < ids.Count; image++)
        {
            int row = rows[ids[image]];
            double sum = 0;
            for (int label = 0; label < labels.Count; label++)
            {
                if (table.Columns[label][row] is not double value || !(value >= 0 && value <= 1 + Tolerance))
                {
                    string found = table.Columns[label][row] is double number ? NumberText.Format(number) : "missing";
                    throw new BadInputException(path, $"image '{BadInputException.Escape(ids[image], 80)}', column '{BadInputException.Escape(labels[label], 60)}' is {found}; a probability from 0 to 1 was expected.", "Give the softmax, not cosines or logits.");
                }

                sum += value;
                values[((long)image * labels.Count) + label] = (float)value;
            }

            if (Math.Abs(sum - 1) > Tolerance)
                throw new BadInputException(path, $"the probabilities of image '{BadInputException.Escape(ids[image], 80)}' add up to {sum.ToString("G6", CultureInfo.InvariantCulture)}, expected 1 within {NumberText.Format(Tolerance)}.", "Give the softmax over exactly the labels that are named; a label may be missing.");
        }

        int others = rows.Keys.Count(id => !known.Contains(id));
        return (new ScoreMatrix(ids.Count, labels.Count, values), others == 0 ? [] : [$"{others} of {rows.Count} rows of the scores are of images that the metadata do not have; they were left out."]);
    }

    private static (string[] Ids, double?[][] Columns) Csv(string path, string idColumn, IReadOnlyList<string> labels)
    {
        CsvTable table = CsvTable.Read(path);
        int id = table.Column(idColumn);
        return (table.Cells(id), [.. labels.Select(label =>
        {
            int column = table.Column(label);
            return Enumerable.Range(0, table.RowCount).Select(row =>
            {
                string cell = table[row, column];
                return Gaps.IsGap(cell) ? (double?)null
                    : NumberText.TryParse(cell.AsSpan().Trim(), out double value) ? value
                    : throw new BadInputException(path, $"{table.Where(row)}: column '{BadInputException.Escape(label, 60)}' is '{BadInputException.Escape(cell, 40)}'; a probability was expected.", $"Write {NumberText.Form}.");
            }).ToArray();
        })]);
    }

    private static (string[] Ids, double?[][] Columns) Parquet(string path, string idColumn, IReadOnlyList<string> labels)
    {
        using ParquetFile file = ParquetFile.Open(path);
        int id = file.Column(idColumn);
        int[] columns = [.. labels.Select(file.Column)];
        return ([.. Enumerable.Range(0, file.GroupCount).SelectMany(group => file.ReadText(group, id)).Select((text, row) => text ?? throw new BadInputException(path, $"row {row + 1} has no id in column '{BadInputException.Escape(idColumn)}'.", "Every row needs its image's id."))],
            [.. columns.Select(column => Enumerable.Range(0, file.GroupCount).SelectMany(group => file.ReadNumbers(group, column)).ToArray())]);
    }
}
