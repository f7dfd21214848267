using ClipEngine.Audit.Statistics;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Probes;

/// <summary>How a column of numbers becomes groups: one of the two is given.</summary>
internal sealed record ColumnBins
{
    /// <summary>Numbers in rising order where a new bin begins: 30 and 50 make below 30, 30 to below 50, and 50 or more.</summary>
    public IReadOnlyList<double> Edges { get; set; } = [];

    /// <summary>How many bins with about as many images each; equal numbers stay together.</summary>
    public int? Quantiles { get; set; }
}

/// <summary>Groups out of columns: numbers are binned as declared, and never each a group of its own.</summary>
internal static class Binning
{
    /// <summary>A column of numbers with more different ones than this is no column of codes.</summary>
    public const int MostNumbers = 12;

    /// <summary>A column's values as groups, and in what order they stand in tables.</summary>
    /// <param name="source">The table, for messages.</param>
    /// <param name="column">The column's name.</param>
    /// <param name="cells">Its cells; gaps stay as they are.</param>
    /// <param name="bins">The declared bins of columns.</param>
    /// <returns>For each row the group's value and the text to sort it by.</returns>
    /// <exception cref="BadInputException">A column of many numbers without bins, bins of a column that holds other things, or bins that are none.</exception>
    public static (string Value, string Order)[] Values(string source, string column, IReadOnlyList<string> cells, IReadOnlyDictionary<string, ColumnBins> bins)
    {
        if (!bins.TryGetValue(column, out ColumnBins? wanted))
        {
            RefuseNumbers(source, column, cells);
            return [.. cells.Select(cell => (cell, cell))];
        }

        var numbers = new double?[cells.Count];
        for (int row = 0; row < numbers.Length; row++)
        {
            if (Gaps.IsGap(cells[row]))
                continue;
            numbers[row] = NumberText.TryParse(cells[row].AsSpan().Trim(), out double number)
                ? number
                : throw new BadInputException(source, $"column '{BadInputException.Escape(column)}' is to be binned, and holds '{BadInputException.Escape(cells[row], 40)}'.", $"Write {NumberText.Form}, or leave the cell empty.");
        }

        double[] edges = Edges(source, column, wanted, [.. numbers.OfType<double>().Order()]);
        string[] names = Names(edges);
        return [.. numbers.Select((number, row) =>
        {
            if (number is not double value)
                return (cells[row], cells[row]);
            int bin = edges.Count(edge => edge <= value);
            return (names[bin], $"{bin:d6}");
        })];
    }

    private static double[] Edges(string source, string column, ColumnBins bins, double[] sorted)
    {
        string where = $"bins of column '{BadInputException.Escape(column)}'";
        if ((bins.Edges.Count > 0) == bins.Quantiles is not null)
            throw new BadInputException(source, $"{where}: either edges or quantiles were expected.", "Write { \"edges\": [30, 50] } or { \"quantiles\": 4 }.");
        if (bins.Quantiles is int count)
        {
            if (count is < 2 or > 20)
                throw new BadInputException(source, $"{where}: quantiles is {count}; 2 to 20 was expected.");
            if (sorted.Length == 0)
                throw new BadInputException(source, $"{where}: the column has no number.");
            // The first value is below no edge: equal values may leave fewer bins.
            return [.. Enumerable.Range(1, count - 1).Select(part => Bootstrap.Quantile(sorted, (double)part / count)).Distinct().Where(edge => edge > sorted[0])];
        }

        for (int index = 0; index < bins.Edges.Count; index++)
        {
            if (!double.IsFinite(bins.Edges[index]) || (index > 0 && bins.Edges[index] <= bins.Edges[index - 1]))
                throw new BadInputException(source, $"{where}: edges must be numbers in rising order.");
        }

        return [.. bins.Edges];
    }

    private static string[] Names(double[] edges)
    {
        if (edges.Length == 0)
            return ["all values"];
        string[] texts = Array.ConvertAll(edges, NumberText.Format);
        return [$"below {texts[0]}", .. Enumerable.Range(1, edges.Length - 1).Select(index => $"{texts[index - 1]} to below {texts[index]}"), $"{texts[^1]} or more"];
    }

    private static void RefuseNumbers(string source, string column, IReadOnlyList<string> cells)
    {
        string[] values = [.. cells.Where(cell => !Gaps.IsGap(cell)).Distinct()];
        if (values.Length > MostNumbers && values.All(value => NumberText.TryParse(value.AsSpan().Trim(), out double _)))
        {
            throw new BadInputException(source, $"column '{BadInputException.Escape(column)}' holds {values.Length} different numbers; each would be a group of its own.",
                $"Declare bins for it: in a spec \"bins\": {{ \"{BadInputException.Escape(column)}\": {{ \"quantiles\": 4 }} }} or {{ \"edges\": [30, 50] }} in probe; for audit scores --bins {BadInputException.Escape(column)}=quantiles:4 or {BadInputException.Escape(column)}=30,50.");
        }
    }
}
