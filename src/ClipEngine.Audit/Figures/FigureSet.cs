using System.Text;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Figures;

/// <summary>Makes every figure that a result has the data for. Where the spec declares a note for a kind of figure, its caption ends with it.</summary>
internal static class FigureSet
{
    public static IReadOnlyList<AuditFigure> Make(AuditResult result)
    {
        var figures = new List<AuditFigure>();
        figures.AddRange(ComparisonFigures.Make(result));
        figures.AddRange(LabelFigures.Make(result));
        figures.AddRange(GroupFigures.Make(result));
        figures.AddRange(PersonFigures.Make(result));
        figures.AddRange(TradeOffFigures.Make(result));
        // Two names may differ only in characters that a file name does not keep.
        var taken = new HashSet<string>(StringComparer.Ordinal);
        for (int index = 0; index < figures.Count; index++)
        {
            string name = figures[index].Name;
            for (int number = 2; !taken.Add(name); number++)
                name = $"{figures[index].Name}-{number}";
            string note = result.FigureNotes.TryGetValue(figures[index].Kind, out string? declared) ? $" {declared.TrimEnd('.')}." : "";
            figures[index] = figures[index] with { Name = name, Caption = figures[index].Caption + note };
        }

        return figures;
    }

    /// <summary>A file name and anchor out of whatever a model or label is called.</summary>
    public static string Slug(params string[] parts)
    {
        var slug = new StringBuilder();
        foreach (char character in string.Join('-', parts))
        {
            if (char.IsAsciiLetterOrDigit(character))
                slug.Append(char.ToLowerInvariant(character));
            else if (slug.Length > 0 && slug[^1] != '-')
                slug.Append('-');
        }

        return slug.ToString().TrimEnd('-');
    }

    /// <summary>An estimate as a bar in percent; undefined stays undefined.</summary>
    public static IntervalBar Bar(Estimate? estimate) => estimate?.Value is { } value
        ? new IntervalBar(value * 100, (estimate.Interval?.Lower ?? double.NaN) * 100, (estimate.Interval?.Upper ?? double.NaN) * 100)
        : new IntervalBar(double.NaN, double.NaN, double.NaN);

    /// <summary>The text alternative of a matrix: its largest entries in words.</summary>
    public static string Largest(IReadOnlyList<string> rows, IReadOnlyList<string> columns, double[] values, string unit, int count = 3)
    {
        var largest = Enumerable.Range(0, values.Length).Where(index => double.IsFinite(values[index]))
            .OrderByDescending(index => Math.Abs(values[index])).ThenBy(index => index).Take(count)
            .Select(index => $"{rows[index / columns.Count]}, {columns[index % columns.Count]}: {values[index]:0.0} {unit}");
        return "Largest entries: " + string.Join("; ", largest) + ".";
    }
}
