using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Probes;

/// <summary>Weights of images (survey, post-stratification) out of a column. Only their ratios matter.</summary>
internal static class ImageWeights
{
    /// <summary>The weight of every row, zero or more.</summary>
    /// <param name="table">The rows.</param>
    /// <param name="column">The column's name.</param>
    /// <exception cref="BadInputException">No such column, a cell that is missing, no finite number or negative, or nothing above zero; names the line.</exception>
    public static double[] Read(CsvTable table, string column)
    {
        string[] cells = table.Cells(table.Column(column));
        var weights = new double[cells.Length];
        for (int row = 0; row < weights.Length; row++)
        {
            if (Gaps.IsGap(cells[row]))
                throw new BadInputException(table.Path, $"{table.Where(row)}: the weight in column '{column}' is missing.", "Every image needs its weight: fill the cell, or leave the row out (a weight of 0 does that too).");
            if (!NumberText.TryParse(cells[row].AsSpan().Trim(), out weights[row]) || weights[row] < 0)
            {
                throw new BadInputException(table.Path, $"{table.Where(row)}: column '{column}' is '{BadInputException.Escape(cells[row], 40)}', a weight of 0 or more was expected.",
                    $"Write {NumberText.Form}; a negative weight has no meaning for a share.");
            }
        }

        return weights.Length == 0 || weights.Any(static weight => weight > 0) ? weights
            : throw new BadInputException(table.Path, $"no weight in column '{column}' is above 0.", "Images of weight 0 are left out; none would be left.");
    }
}
