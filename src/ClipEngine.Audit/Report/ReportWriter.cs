using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Results;
using ClipEngine.Files;

namespace ClipEngine.Audit.Report;

/// <summary>Writes <c>report.html</c>, one page that opens without a network, and its figures as files of their own.</summary>
public sealed class ReportWriter : IReportWriter
{
    /// <inheritdoc/>
    public void Write(AuditResult result, string directory)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentNullException.ThrowIfNull(result);
        ArgumentException.ThrowIfNullOrEmpty(directory);
        IReadOnlyList<AuditFigure> figures = FigureSet.Make(result);
        string folder = Path.Combine(directory, "figures");
        Directory.CreateDirectory(folder);
        foreach (AuditFigure figure in figures)
            AtomicFile.WriteAllText(Path.Combine(folder, figure.Name + ".svg"), figure.Svg);
        RemoveOthers(folder, figures);
        AtomicFile.WriteAllText(Path.Combine(directory, "report.html"), Compose(result, figures));
    }

    /// <summary>The whole page.</summary>
    internal static string Compose(AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        IReadOnlyList<Note> notes = StandingNotes.With(result);
        HtmlWriter page = HtmlWriter.Page(result.Title);
        page.Raw("<a class=\"skip\" href=\"#summary\">Skip to the summary</a>")
            .Raw("<header>").Heading(1, result.Title);
        if (result.Question.Length > 0)
            page.Paragraph(result.Question, "question");
        page.Raw("</header>").Raw("<main>");
        foreach (Note note in notes.Where(note => note.Kind == NoteKind.Content))
            WriteNote(page, note);
        SummarySection.Write(page, result);
        WriteContents(page, result, figures);
        ResultSections.WriteComparisons(page, result, figures);
        ResultSections.WriteGroupComparisons(page, result);
        ResultSections.WriteExperiments(page, result, figures);
        BiasSection.Write(page, result, figures);
        ResultSections.WriteSensitivity(page, result, figures);
        ResultSections.WriteCorrelations(page, result, figures);
        ResultSections.WriteFigures(page, "features", "How alike the features are", FigureSection.Features, figures);
        ResultSections.WriteFigures(page, "persons", "Every image, one by one", FigureSection.Persons, figures);
        WriteNotes(page, "method", "Method", NoteKind.Method, notes);
        WriteNotes(page, "limitations", "Limitations", NoteKind.Limitation, notes);
        ProvenanceSection.Write(page, result);
        page.Raw("</main>").Raw("<footer>").Paragraph($"Made by ClipEngine {result.Provenance.Version}. Every table of this page lies unrounded in the run's folder 'tables', every figure in 'figures'. " +
            "Printed, it shows all but exploratory families of tests, labels left out in turn and single images, which stay closed unless they are opened first.")
            .Raw("</footer>").Raw("</body>").Raw("</html>");
        return page.ToString();
    }

    private static void WriteContents(HtmlWriter page, AuditResult result, IReadOnlyList<AuditFigure> figures)
    {
        var entries = new List<(string Id, string Title)> { ("summary", "Summary") };
        if (result.Comparisons.Count > 0)
            entries.Add(("comparisons", "Comparisons of models"));
        if (result.GroupComparisons.Count > 0)
            entries.Add(("groups", "Groups within one model"));
        entries.AddRange(result.Experiments.Select(experiment => ("experiment-" + FigureSet.Slug(experiment.Key), experiment.Title)));
        if (result.Bias.Count > 0)
            entries.Add((BiasSection.Id, BiasSection.Title));
        if (result.Sensitivity.Count > 0)
            entries.Add(("sensitivity", "What wording does"));
        if (result.Correlations.Count > 0)
            entries.Add(("correlations", ResultSections.CorrelationsTitle(result)));
        if (figures.Any(figure => figure.Section == FigureSection.Features))
            entries.Add(("features", "How alike the features are"));
        if (figures.Any(figure => figure.Section == FigureSection.Persons))
            entries.Add(("persons", "Every image, one by one"));
        entries.AddRange([("method", "Method"), ("limitations", "Limitations"), ("provenance", "How to repeat this")]);
        page.Raw("<nav aria-label=\"Contents\">").Raw("<ul>");
        foreach (var (id, title) in entries)
            page.Raw($"<li><a href=\"#{id}\">{HtmlWriter.Escape(title)}</a></li>");
        page.Raw("</ul>").Raw("</nav>");
    }

    private static void WriteNotes(HtmlWriter page, string id, string title, NoteKind kind, IReadOnlyList<Note> notes)
    {
        page.BeginSection(id, title);
        foreach (Note note in notes.Where(note => note.Kind == kind))
            page.Heading(3, note.Title).Paragraph(note.Text);
        page.EndSection();
    }

    internal static void WriteNote(HtmlWriter page, Note note) =>
        page.Raw("<div class=\"note\" role=\"note\">").Heading(3, note.Title).Paragraph(note.Text).Raw("</div>");

    /// <summary>A figure of an earlier rendering that this result does not have must not lie there as if it were its own.</summary>
    private static void RemoveOthers(string folder, IReadOnlyList<AuditFigure> figures)
    {
        var names = figures.Select(figure => figure.Name + ".svg").ToHashSet(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFiles(folder, "*.svg"))
        {
            if (!names.Contains(Path.GetFileName(path)))
                File.Delete(path);
        }
    }
}
