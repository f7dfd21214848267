using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Verification;

/// <summary>A table of argmax percentages as it was published: a row a model, a column a label.</summary>
internal sealed class FrequencyTable
{
    private static readonly string[] _identification = ["", "model_name", "dataset_name", "model_size"];

    private FrequencyTable(string path, IReadOnlyList<string> labels, IReadOnlyList<FrequencyRow> rows)
    {
        Path = path;
        Labels = labels;
        Rows = rows;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The labels, in the columns' order.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>The models.</summary>
    public IReadOnlyList<FrequencyRow> Rows { get; }

    /// <summary>
    /// Reads a table. Every image has exactly one winning label, so that a row adds up to 100; one that does not was made from
    /// other columns than its header names, and nothing in it can be trusted.
    /// </summary>
    /// <param name="path">CSV with <c>model_name</c>, <c>dataset_name</c>, perhaps <c>model_size</c>, and a column for each label.</param>
    /// <exception cref="BadInputException">Missing, no such table, a cell outside [0, 100], or rows that do not add up to 100; names them.</exception>
    public static FrequencyTable Read(string path)
    {
        using var culture = InvariantCulture.Begin();
        CsvTable table = CsvTable.Read(path);
        int model = table.Column("model_name");
        int dataset = table.Column("dataset_name");
        int[] labels = [.. Enumerable.Range(0, table.Header.Count).Where(column => !_identification.Contains(table.Header[column]))];
        if (table.RowCount == 0 || labels.Length < 2)
            throw new BadInputException(path, $"{table.RowCount} rows and {labels.Length} label columns were found; a row and two labels were expected.");
        var rows = new List<FrequencyRow>();
        var wrong = new List<string>();
        for (int row = 0; row < table.RowCount; row++)
        {
            var percent = new double[labels.Length];
            for (int index = 0; index < labels.Length; index++)
            {
                string cell = table[row, labels[index]];
                if (!NumberText.TryParse(cell.AsSpan().Trim(), out percent[index]) || !(percent[index] is >= 0 and <= 100.0001))
                    throw new BadInputException(path, $"{table.Where(row)}: column '{table.Header[labels[index]]}' is '{BadInputException.Escape(cell, 40)}'; a percentage from 0 to 100 was expected.", $"Write {NumberText.Form}.");
            }

            string key = $"{table[row, model]}/{table[row, dataset]}";
            double sum = percent.Sum();
            if (Math.Abs(sum - 100) > 1e-6)
                wrong.Add($"{key} ({table.Where(row)}) adds up to {sum:0.###}");
            rows.Add(new FrequencyRow(key, percent));
        }

        if (wrong.Count > 0)
        {
            throw new BadInputException(path, $"{wrong.Count} of {rows.Count} rows do not add up to 100: {string.Join("; ", wrong.Take(5))}.",
                "Each image has one winning label, so argmax percentages add up to 100. These columns are not the labels that competed; the table cannot be used.");
        }

        return new FrequencyTable(path, [.. labels.Select(column => table.Header[column])], rows);
    }

    /// <summary>What declared comparisons come to in this table: the second arm's average minus the first's, in percentage points.</summary>
    /// <param name="comparisons">Declared pairings; those with a model that the table lacks are left out.</param>
    public IReadOnlyList<FrequencyDifference> Compare(IReadOnlyList<ComparisonSpec> comparisons)
    {
        ArgumentNullException.ThrowIfNull(comparisons);
        var differences = new List<FrequencyDifference>();
        foreach (ComparisonSpec comparison in comparisons)
        {
            double[]? first = Average(comparison.First);
            double[]? second = Average(comparison.Second);
            if (first is null || second is null)
                continue;
            for (int label = 0; label < Labels.Count; label++)
                differences.Add(new FrequencyDifference(comparison.Name, Labels[label], first[label], second[label], second[label] - first[label]));
        }

        return differences;
    }

    private double[]? Average(ArmSpec arm)
    {
        FrequencyRow?[] rows = [.. arm.Models.Select(key => Rows.FirstOrDefault(row => row.Model == key))];
        return rows.Contains(null) ? null : [.. Enumerable.Range(0, Labels.Count).Select(label => rows.Average(row => row!.Percent[label]))];
    }
}

/// <summary>One model's argmax percentages.</summary>
/// <param name="Model"><c>model_name/dataset_name</c>.</param>
/// <param name="Percent">In the labels' order.</param>
internal sealed record FrequencyRow(string Model, IReadOnlyList<double> Percent);

/// <summary>A declared comparison of one label.</summary>
/// <param name="Comparison">Its name.</param>
/// <param name="Label">The label.</param>
/// <param name="First">The first arm's average, percent.</param>
/// <param name="Second">The second arm's.</param>
/// <param name="Points">Second minus first, percentage points.</param>
internal sealed record FrequencyDifference(string Comparison, string Label, double First, double Second, double Points);
