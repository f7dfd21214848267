using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Tokenization;

namespace ClipEngine.Audit.Probes;

/// <summary>Reads a probe from its metadata table.</summary>
internal static class ProbeReader
{
    /// <summary>Reads a CSV file with one row an image.</summary>
    /// <param name="path">The file.</param>
    /// <param name="columns">Which columns mean what.</param>
    /// <param name="name">What the probe is called; null: the file's name.</param>
    /// <exception cref="BadInputException">No such file or column, no rows, an empty or duplicate id, an image without group; names line and column.</exception>
    public static Probe ReadCsv(string path, ProbeColumns columns, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(columns);
        return Create(CsvTable.Read(path), columns, name ?? System.IO.Path.GetFileNameWithoutExtension(path));
    }

    /// <summary>The group of images that were sorted into none.</summary>
    private const string OneGroup = "all";

    internal static Probe Create(CsvTable table, ProbeColumns columns, string name, bool needsGroups = true)
    {
        if (table.RowCount == 0)
            throw new BadInputException(table.Path, "there is a header but no row.", "Write a row for each image.");
        if (columns.Group.Count == 0 && needsGroups)
            throw new BadInputException(table.Path, "no column was named to make groups of.");
        int id = columns.Id is null ? 0 : table.Column(columns.Id);
        int person = columns.Person is null ? id : table.Column(columns.Person);
        int file = columns.File is null ? id : table.Column(columns.File);
        int[] group = [.. columns.Group.Select(table.Column)];
        double[]? weights = columns.Weight is null ? null : ImageWeights.Read(table, columns.Weight);
        IReadOnlyList<string> alone = columns.Marginals ?? (columns.Group.Count > 1 ? columns.Group : []);
        if (columns.Bins.Keys.FirstOrDefault(column => !columns.Group.Contains(column) && !alone.Contains(column)) is { } unused)
            throw new BadInputException(table.Path, $"bins are declared for '{BadInputException.Escape(unused)}', which no group is made of.", "Name it in group or marginals, or take the bins out.");
        Dictionary<string, (string Value, string Order)[]> values = columns.Group.Concat(alone).Distinct()
            .ToDictionary(column => column, column => Binning.Values(table.Path, column, table.Cells(table.Column(column)), columns.Bins));
        var order = new Dictionary<string, string>();
        var images = new ProbeImage[table.RowCount];
        var seen = new Dictionary<string, int>();
        for (int row = 0; row < images.Length; row++)
        {
            string key = Cell(table, row, id);
            if (!seen.TryAdd(key, row))
                throw new BadInputException(table.Path, $"{table.Where(row)}: the id '{BadInputException.Escape(key)}' is already that of {table.Where(seen[key])}.", "Ids must be unique; name another id column or mend the table.");
            images[row] = new ProbeImage(key, Cell(table, row, file), Value(table, row, person, isId: person == id),
                group.Length == 0 ? OneGroup : string.Join(' ', columns.Group.Zip(group, (name, column) => Grouped(table, row, column, values[name][row].Value))))
            {
                Weight = weights?[row],
            };
            order[images[row].Group] = string.Join(' ', columns.Group.Select(name => values[name][row].Order));
        }

        var attributes = table.Header.Select((header, column) => (header, column)).Where(entry => entry.header.Length > 0)
            .ToDictionary(entry => entry.header, entry => table.Cells(entry.column));
        return new Probe(name, table.Path, string.Join(" x ", columns.Group), images, attributes, [.. LookAlikes(table, [id, person, .. group]), .. group.Distinct().SelectMany(column => NearGaps(table, column))], columns.Weighting, [.. alone.Select(column => new Marginal(column, values[column]))], order, columns.Weight, columns.Reference);
    }

    /// <summary>A cell that must say something: a group or a person. What other programs write for a gap says nothing.</summary>
    private static string Value(CsvTable table, int row, int column, bool isId)
    {
        string cell = Cell(table, row, column);
        return isId || !Gaps.IsGap(cell)
            ? cell
            : throw new BadInputException(table.Path, $"{table.Where(row)}: column '{table.Header[column]}' is '{BadInputException.Escape(cell, 40)}', which stands for a missing value.", "A missing value is no group: take the row out or fill the cell; if it is the value's name, write it out.");
    }

    /// <summary>The group's value in a row; a gap is refused.</summary>
    private static string Grouped(CsvTable table, int row, int column, string value)
    {
        Value(table, row, column, isId: false);
        return value;
    }

    /// <summary>Words that stand for a gap for some and are a value for others: kept, and said.</summary>
    private static IEnumerable<string> NearGaps(CsvTable table, int column) =>
        table.Cells(column).Where(Gaps.MayBeGap).GroupBy(static cell => cell).Select(cells =>
            $"Column '{table.Header[column]}' holds '{BadInputException.Escape(cells.Key, 40)}' in {cells.Count()} rows: it was taken as a group of its own; if it stands for missing values, take those rows out.");

    private static string Cell(CsvTable table, int row, int column)
    {
        string cell = table[row, column];
        return !string.IsNullOrWhiteSpace(cell)
            ? cell
            : throw new BadInputException(table.Path, $"{table.Where(row)}: column '{table.Header[column]}' is empty.", "Every image needs an id, a person and a group; take the row out or fill the cell.");
    }

    /// <summary>Values that differ only by case, spaces or Unicode composition: reported, never merged.</summary>
    private static List<string> LookAlikes(CsvTable table, IEnumerable<int> columns)
    {
        var warnings = new List<string>();
        foreach (int column in columns.Distinct())
        {
            IEnumerable<IGrouping<string, string>> alike = table.Cells(column).Distinct().GroupBy(Fold).Where(values => values.Count() > 1);
            warnings.AddRange(alike.Take(20).Select(values =>
                $"Column '{table.Header[column]}' holds {string.Join(" and ", values.Order(StringComparer.Ordinal).Select(value => $"'{BadInputException.Escape(value, 60)}'"))}: they differ only by case, spaces or Unicode form and were kept apart."));
        }

        return warnings;
    }

    private static string Fold(string value) =>
        string.Join(' ', UnicodeComposition.Compose(value).ToUpperInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}
