using System.Globalization;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// A finished audit as one long table for other tools: a row for each image, model, experiment and label, with the label's
/// probability and the image's attributes.
/// </summary>
internal static class LongTable
{
    private static readonly string[] s_columns = ["image", "person", "group", "model", "experiment", "label"];

    /// <summary>Writes the table, model by model, in memory that does not grow with the models.</summary>
    /// <param name="directory">The folder of a finished audit.</param>
    /// <param name="path">Where to: <c>.csv</c>, <c>.parquet</c> or <c>.arrow</c>.</param>
    /// <param name="metadata">A CSV file whose columns are added to each image; null for none.</param>
    /// <param name="id">Its column with the image's id; null: its first.</param>
    /// <exception cref="BadInputException">No finished audit, another kind of file, a metadata table without a row for an image, or one with a column of the same name.</exception>
    public static void Write(string directory, string path, string? metadata, string? id)
    {
        bool isTable = TableFile.IsTable(path);
        if (!isTable && !Path.GetExtension(path).Equals(".csv", StringComparison.OrdinalIgnoreCase))
            throw new BadInputException("--out", $"expected a name that ends in .csv, .parquet or .arrow, found '{BadInputException.Escape(path, 300)}'.");
        AuditResult result = ResultDirectory.Read(directory);
        (string[] names, string[][] attributes) = Attributes(result, metadata, id);
        if (isTable)
            WriteTable(result, names, attributes, path);
        else
            WriteCsv(result, names, attributes, path);
    }

    private static (string[] Names, string[][] Rows) Attributes(AuditResult result, string? metadata, string? id)
    {
        if (metadata is null)
            return ([], [.. result.Probe.Images.Select(static _ => Array.Empty<string>())]);
        CsvTable table = CsvTable.Read(metadata);
        int key = id is null ? 0 : table.Column(id);
        int[] columns = [.. Enumerable.Range(0, table.Header.Count).Where(column => column != key && table.Header[column].Length > 0)];
        if (columns.Select(column => table.Header[column]).FirstOrDefault(name => s_columns.Append("probability").Contains(name)) is { } taken)
            throw new BadInputException(metadata, $"its column '{taken}' has the name of a column of the export.", "Rename it.");
        var rows = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int row = 0; row < table.RowCount; row++)
        {
            if (!rows.TryAdd(table[row, key], row))
                throw new BadInputException(metadata, $"{table.Where(row)}: the id '{BadInputException.Escape(table[row, key], 80)}' is there twice.", "Ids must be unique; name another column with --id.");
        }

        return ([.. columns.Select(column => table.Header[column])], [.. result.Probe.Images.Select(image => rows.TryGetValue(image.Id, out int row)
            ? columns.Select(column => table[row, column]).ToArray()
            : throw new BadInputException(metadata, $"there is no row of the image '{BadInputException.Escape(image.Id, 80)}'.", "Give the table that the audit was made with, and its id column with --id."))]);
    }

    private static IEnumerable<(ProbeImage Image, int Row, string Model, string Experiment, string Label, float Probability)> Rows(AuditResult result)
    {
        foreach (ExperimentResult experiment in result.Experiments)
        {
            foreach (ModelExperimentResult model in experiment.Models)
            {
                for (int row = 0; row < result.Probe.Images.Count; row++)
                {
                    for (int label = 0; label < experiment.Labels.Count; label++)
                        yield return (result.Probe.Images[row], row, model.Model, experiment.Key, experiment.Labels[label].Text, model.Probabilities![row, label]);
                }
            }
        }
    }

    private static void WriteCsv(AuditResult result, string[] names, string[][] attributes, string path) => AtomicFile.Write(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine(string.Join(',', s_columns.Append("probability").Concat(names).Select(ResultTable.Cell)));
        foreach ((ProbeImage image, int row, string model, string experiment, string label, float probability) in Rows(result))
        {
            string[] cells = [image.Id, image.Person, image.Group, model, experiment, label];
            writer.Write(string.Join(',', cells.Select(ResultTable.Cell)));
            writer.Write(',');
            writer.Write(probability.ToString("R", CultureInfo.InvariantCulture));
            foreach (string cell in attributes[row])
            {
                writer.Write(',');
                writer.Write(ResultTable.Cell(cell));
            }

            writer.WriteLine();
        }
    });

    private static void WriteTable(AuditResult result, string[] names, string[][] attributes, string path)
    {
        TextColumn[] texts = [.. s_columns.Concat(names).Select(static name => new TextColumn(name))];
        var probabilities = new ValueColumn<float>("probability");
        TableFile.Write(path, [.. texts[..s_columns.Length], probabilities, .. texts[s_columns.Length..]], table =>
        {
            foreach ((ProbeImage image, int row, string model, string experiment, string label, float probability) in Rows(result))
            {
                string[] cells = [image.Id, image.Person, image.Group, model, experiment, label, .. attributes[row]];
                for (int column = 0; column < texts.Length; column++)
                    texts[column].Add(cells[column]);
                probabilities.Add(probability);
                table.EndRow();
            }
        }, new Dictionary<string, string> { ["title"] = result.Title });
    }
}
