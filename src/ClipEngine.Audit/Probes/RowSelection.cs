using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tables;

namespace ClipEngine.Audit.Probes;

/// <summary>The rows of a table that a spec asks for, with gaps named as it says, and what was done in words.</summary>
/// <param name="Table">The rows.</param>
/// <param name="Kept">Each one's place in the whole table, from 0, rising.</param>
/// <param name="Total">Rows of the whole table: those of matrices and features that were computed elsewhere.</param>
/// <param name="Notes">For the report: how many rows were left out, and why.</param>
internal sealed record RowSelection(CsvTable Table, int[] Kept, int Total, IReadOnlyList<string> Notes)
{
    /// <summary>Applies <c>where</c>, <c>missingValues</c> and <c>missingGroup</c>, and leaves out rows of weight zero.</summary>
    /// <param name="table">The whole table.</param>
    /// <param name="spec">The probe's part of the spec.</param>
    /// <param name="grouping">The columns that groups are made of.</param>
    /// <exception cref="BadInputException">An unknown column, a value that never occurs, no row left, or a gap without a name.</exception>
    public static RowSelection Of(CsvTable table, ProbeSpec spec, IEnumerable<string> grouping)
    {
        var notes = new List<string>();
        bool[] isKept = [.. Enumerable.Repeat(true, table.RowCount)];
        foreach ((string name, IReadOnlyList<string> values) in spec.Where.OrderBy(static entry => entry.Key, StringComparer.Ordinal))
        {
            string[] cells = table.Cells(table.Column(name));
            if (values.FirstOrDefault(value => !cells.Contains(value)) is { } unknown)
                throw new BadInputException(table.Path, $"probe.where: no row has '{BadInputException.Escape(unknown, 60)}' in column '{name}'; there are {string.Join(", ", cells.Distinct().Take(20).Select(static cell => $"'{BadInputException.Escape(cell, 40)}'"))}.", "Write values as the table does (case matters).");
            int before = isKept.Count(static kept => kept);
            for (int row = 0; row < isKept.Length; row++)
                isKept[row] &= values.Contains(cells[row]);
            notes.Add($"{before - isKept.Count(static kept => kept)} of {before} rows were left out: {name} is not {string.Join(" or ", values.Select(static value => BadInputException.Escape(value, 60)))}.");
        }

        int[] rows = [.. Enumerable.Range(0, isKept.Length).Where(row => isKept[row])];
        if (rows.Length == 0 && table.RowCount > 0)
            throw new BadInputException(table.Path, "probe.where leaves no row.", "Ask for less.");
        CsvTable selected = rows.Length == table.RowCount ? table : table.Select(rows);
        if (spec.Weight is { } weight)
        {
            double[] weights = ImageWeights.Read(selected, weight);
            int[] weighed = [.. Enumerable.Range(0, rows.Length).Where(row => weights[row] > 0)];
            if (weighed.Length < rows.Length)
            {
                notes.Add($"{rows.Length - weighed.Length} of {rows.Length} rows were left out: their weight in {weight} is 0.");
                selected = selected.Select(weighed);
                rows = [.. weighed.Select(row => rows[row])];
            }
        }

        foreach (string name in grouping.Distinct())
        {
            int column = selected.Column(name), filled = 0;
            selected = selected.Replace(column, (row, cell) =>
            {
                bool isNamed = spec.MissingValues.Contains(cell);
                if (!isNamed && !Gaps.IsGap(cell))
                    return cell;
                filled++;
                return spec.MissingGroup ?? (isNamed
                    ? throw new BadInputException(table.Path, $"{selected.Where(row)}: column '{name}' is '{BadInputException.Escape(cell, 40)}', which probe.missingValues declares as missing.", "Name the group of such rows in probe.missingGroup, or leave them out by probe.where.")
                    : cell);
            });
            if (filled > 0 && spec.MissingGroup is { } group)
                notes.Add($"{filled} of {selected.RowCount} rows have no value in {name} and make the group '{BadInputException.Escape(group, 60)}'.");
        }

        return new RowSelection(selected, rows, table.RowCount, notes);
    }

    /// <summary>Of a matrix with a row for each row of the whole table, those of the kept rows.</summary>
    public ScoreMatrix Select(ScoreMatrix matrix) => Kept.Length == Total ? matrix : new ScoreMatrix(Kept.Length, matrix.Columns, Select(matrix.Values, matrix.Columns)) { Reading = matrix.Reading };

    /// <summary>Of values with a row for each row of the whole table, those of the kept rows.</summary>
    public float[] Select(float[] values, int width)
    {
        if (Kept.Length == Total)
            return values;
        float[] kept = new float[(long)Kept.Length * width];
        for (int row = 0; row < Kept.Length; row++)
            values.AsSpan(Kept[row] * width, width).CopyTo(kept.AsSpan(row * width, width));
        return kept;
    }
}
