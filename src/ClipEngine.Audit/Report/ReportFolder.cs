using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Report;

/// <summary>Tables and figures of a report in its folder; each file is there whole or not at all.</summary>
internal static class ReportFolder
{
    /// <summary>Writes <c>tables/NAME.csv</c>, with unrounded numbers.</summary>
    public static void WriteTables(string directory, IEnumerable<ResultTable> tables)
    {
        foreach (ResultTable table in tables)
            AtomicFile.WriteAllText(Path.Combine(directory, "tables", table.Name + ".csv"), table.ToCsv());
    }

    /// <summary>Writes <c>figures/NAME.svg</c>.</summary>
    public static void WriteFigures(string directory, IEnumerable<AuditFigure> figures)
    {
        foreach (AuditFigure figure in figures)
            AtomicFile.WriteAllText(Path.Combine(directory, "figures", figure.Name + ".svg"), figure.Svg);
    }
}
