using System.Text;
using ClipEngine.Audit.Figures;

namespace ClipEngine.Audit.Report;

/// <summary>Builds the page: everything that comes from data goes through <see cref="Escape"/>.</summary>
internal sealed class HtmlWriter
{
    private readonly StringBuilder _page = new();

    public static string Escape(string text) => SvgDocument.Escape(text);

    /// <summary>A page up to and with the tag of its body.</summary>
    public static HtmlWriter Page(string title)
    {
        var page = new HtmlWriter();
        return page.Raw("<!doctype html>").Raw("<html lang=\"en\">").Raw("<head>").Raw("<meta charset=\"utf-8\">")
            .Raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
            // Nothing may be loaded or run: the page carries names out of data files.
            .Raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">")
            .Raw($"<title>{Escape(title)}</title>").Raw($"<style>{ReportStyle.Css}</style>").Raw("</head>").Raw("<body>");
    }

    /// <summary>Markup that was written in this assembly, never text from data.</summary>
    public HtmlWriter Raw(string markup)
    {
        _page.Append(markup).Append('\n');
        return this;
    }

    public HtmlWriter Heading(int level, string text, string? id = null)
    {
        _page.Append("<h").Append(level);
        if (id is not null)
            _page.Append(" id=\"").Append(id).Append('"');
        _page.Append('>').Append(Escape(text)).Append("</h").Append(level).Append(">\n");
        return this;
    }

    public HtmlWriter Paragraph(string text, string? style = null)
    {
        _page.Append(style is null ? "<p>" : $"<p class=\"{style}\">").Append(Escape(text)).Append("</p>\n");
        return this;
    }

    public HtmlWriter List(IEnumerable<string> items)
    {
        _page.Append("<ul>\n");
        foreach (string item in items)
            _page.Append("<li>").Append(Escape(item)).Append("</li>\n");
        _page.Append("</ul>\n");
        return this;
    }

    /// <summary>
    /// A table with a caption, in a box of its own that scrolls sideways on a narrow screen and can be reached by keyboard. Columns of
    /// words stand left and wrap; numbers stand right, and a number never breaks apart from its unit, nor an interval in two.
    /// </summary>
    /// <param name="caption">What the table shows.</param>
    /// <param name="columns">Column heads; the first column heads its row.</param>
    /// <param name="rows">Cells, as text.</param>
    public HtmlWriter Table(string caption, IReadOnlyList<string> columns, IEnumerable<IReadOnlyList<string>> rows)
    {
        IReadOnlyList<string>[] all = [.. rows];
        bool[] areWords = [.. Enumerable.Range(0, columns.Count).Select(column => column == 0 || all.Any(row => !IsNumber(row[column])))];
        _page.Append("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"").Append(Escape(caption)).Append("\">\n<table>\n<caption>").Append(Escape(caption)).Append("</caption>\n<thead><tr>");
        for (int column = 0; column < columns.Count; column++)
            _page.Append(areWords[column] ? "<th scope=\"col\" class=\"w\">" : "<th scope=\"col\">").Append(Escape(columns[column])).Append("</th>");
        _page.Append("</tr></thead>\n<tbody>\n");
        foreach (IReadOnlyList<string> row in all)
        {
            _page.Append(IsHardToBreak(row[0]) ? "<tr><th scope=\"row\" class=\"h\">" : "<tr><th scope=\"row\">").Append(Escape(row[0])).Append("</th>");
            for (int cell = 1; cell < row.Count; cell++)
            {
                if (areWords[cell])
                    _page.Append(IsHardToBreak(row[cell]) ? "<td class=\"w h\">" : "<td class=\"w\">").Append(Escape(row[cell])).Append("</td>");
                else
                    Number(row[cell]);
            }

            _page.Append("</tr>\n");
        }

        _page.Append("</tbody>\n</table>\n</div>\n");
        return this;
    }

    /// <summary>Digits with a sign or a unit, a p-value, a dash; "undefined" stands among numbers too.</summary>
    private static bool IsNumber(string cell) =>
        cell.Length == 0 || char.IsAsciiDigit(cell[0]) || cell[0] is '+' or '−' or '–' or '<' || cell.StartsWith("undefined", StringComparison.Ordinal);

    /// <summary>Hashes, paths and long names: they break anywhere, or the table becomes as wide as they are.</summary>
    private static bool IsHardToBreak(string cell) => cell.Split(' ', '/').Any(word => word.Length > 28);

    private void Number(string cell)
    {
        int interval = cell.IndexOf(" (", StringComparison.Ordinal);
        if (interval > 0 && !cell.StartsWith("undefined", StringComparison.Ordinal))
            _page.Append("<td class=\"i\"><span>").Append(Escape(cell[..interval])).Append("</span> <span>").Append(Escape(cell[(interval + 1)..])).Append("</span></td>");
        else
            _page.Append("<td>").Append(Escape(cell)).Append("</td>");
    }

    /// <summary>A figure with its caption; the drawing stands in the page itself.</summary>
    public HtmlWriter Figure(AuditFigure figure)
    {
        _page.Append("<figure id=\"").Append(Escape(figure.Name)).Append("\">\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"").Append(Escape(figure.Caption)).Append("\">\n")
            .Append(figure.Svg).Append("</div>\n<figcaption>").Append(Escape(figure.Caption)).Append("</figcaption>\n</figure>\n");
        return this;
    }

    /// <summary>A part that a reader opens; on paper it stands open.</summary>
    /// <param name="summary">What is in it.</param>
    /// <param name="isForScreen">Stays closed on paper too, unless it was opened: pages of it are of use to few.</param>
    public HtmlWriter BeginDetails(string summary, bool isForScreen = false)
    {
        _page.Append(isForScreen ? "<details class=\"screen\">" : "<details>").Append("\n<summary>").Append(Escape(summary)).Append("</summary>\n");
        return this;
    }

    public HtmlWriter EndDetails() => Raw("</details>");

    public HtmlWriter BeginSection(string id, string title)
    {
        _page.Append("<section aria-labelledby=\"").Append(id).Append("\">\n");
        return Heading(2, title, id);
    }

    public HtmlWriter EndSection() => Raw("</section>");

    public HtmlWriter Preformatted(string text)
    {
        _page.Append("<pre tabindex=\"0\">").Append(Escape(text)).Append("</pre>\n");
        return this;
    }

    public override string ToString() => _page.ToString();
}
