using System.Text;

namespace ClipEngine.Audit.Figures;

/// <summary>Where a text sits relative to its anchor point.</summary>
internal enum TextAnchor
{
    Start,
    Middle,
    End,
}

/// <summary>
/// Builds one SVG: the few shapes that the figures need, every number written in the same short form on every machine, all
/// text escaped, and a title and description that a screen reader speaks. Units are CSS pixels.
/// </summary>
internal sealed class SvgDocument
{
    /// <summary>The font size of ordinary labels.</summary>
    public const double FontSize = 12;

    /// <summary>Bold letters are wider: a line of them holds so much less.</summary>
    public const double BoldShare = 0.9;

    private readonly StringBuilder _body = new();
    private readonly StringBuilder _definitions = new();
    private readonly string _title;
    private readonly string _description;

    /// <summary>An empty drawing.</summary>
    /// <param name="width">Width of the drawing; it scales down with the page.</param>
    /// <param name="height">Height of the drawing.</param>
    /// <param name="title">One line, spoken first.</param>
    /// <param name="description">The text alternative: what the figure shows, in words and numbers.</param>
    public SvgDocument(double width, double height, string title, string description)
    {
        Width = width;
        Height = height;
        _title = title;
        _description = description;
    }

    public double Width { get; }

    public double Height { get; }

    /// <summary>The width that a text will take, near enough for layout: no font is measured, so that no font is needed.</summary>
    public static double TextWidth(string text, double fontSize = FontSize)
    {
        double width = 0;
        foreach (char character in text)
        {
            width += character switch
            {
                'i' or 'l' or 'j' or '.' or ',' or '\'' or '|' or ':' or ' ' or 'I' or 't' or 'f' or 'r' => 0.34,
                'm' or 'w' or 'M' or 'W' or '%' => 0.88,
                >= 'A' and <= 'Z' => 0.7,
                '+' or '−' or '–' or '=' or '<' or '>' => 0.8,
                _ => 0.62,
            };
        }

        return width * fontSize;
    }

    /// <summary>A text in lines that are no wider than this; a word that is wider alone is cut.</summary>
    public static string[] Wrap(string text, double width, double fontSize)
    {
        var lines = new List<string>();
        string line = "";
        foreach (string word in text.Split(' '))
        {
            string longer = line.Length == 0 ? word : $"{line} {word}";
            if (line.Length > 0 && TextWidth(longer, fontSize) > width)
            {
                lines.Add(Shorten(line, width, fontSize));
                line = word;
            }
            else
            {
                line = longer;
            }
        }

        lines.Add(Shorten(line, width, fontSize));
        return [.. lines];
    }

    /// <summary>A text that is no wider than this, its end left out where it is.</summary>
    public static string Shorten(string text, double width, double fontSize)
    {
        if (TextWidth(text, fontSize) <= width)
            return text;
        int length = text.Length;
        while (length > 1 && TextWidth(text[..length] + "…", fontSize) > width)
            length--;
        return text[..length] + "…";
    }

    public void Rectangle(double x, double y, double width, double height, string fill, string? stroke = null, string? hint = null)
    {
        _body.Append("<rect x=\"").Append(Number(x)).Append("\" y=\"").Append(Number(y))
            .Append("\" width=\"").Append(Number(Math.Max(0, width))).Append("\" height=\"").Append(Number(Math.Max(0, height)))
            .Append("\" fill=\"").Append(fill).Append('"');
        if (stroke is not null)
            _body.Append(" stroke=\"").Append(stroke).Append("\" stroke-width=\"1\"");
        Close("rect", hint);
    }

    public void Line(double x1, double y1, double x2, double y2, string stroke, double strokeWidth = 1, string? dashes = null)
    {
        _body.Append("<line x1=\"").Append(Number(x1)).Append("\" y1=\"").Append(Number(y1))
            .Append("\" x2=\"").Append(Number(x2)).Append("\" y2=\"").Append(Number(y2))
            .Append("\" stroke=\"").Append(stroke).Append("\" stroke-width=\"").Append(Number(strokeWidth)).Append('"');
        if (dashes is not null)
            _body.Append(" stroke-dasharray=\"").Append(dashes).Append('"');
        _body.Append("/>\n");
    }

    public void Circle(double x, double y, double radius, string fill, string? stroke = null, string? hint = null)
    {
        _body.Append("<circle cx=\"").Append(Number(x)).Append("\" cy=\"").Append(Number(y)).Append("\" r=\"").Append(Number(radius))
            .Append("\" fill=\"").Append(fill).Append('"');
        if (stroke is not null)
            _body.Append(" stroke=\"").Append(stroke).Append("\" stroke-width=\"1.5\"");
        Close("circle", hint);
    }

    public void Text(double x, double y, string text, TextAnchor anchor = TextAnchor.Start, double fontSize = FontSize,
        string fill = Palette.Ink, bool isBold = false, double rotation = 0, bool background = false)
    {
        // Text over lines is read on a ground of its own.
        if (background)
        {
            double width = TextWidth(text, fontSize);
            Rectangle(anchor switch { TextAnchor.End => x - width, TextAnchor.Middle => x - (width / 2), _ => x } - 1, y - fontSize + 1, width + 2, fontSize + 3, "#fff");
        }

        _body.Append("<text x=\"").Append(Number(x)).Append("\" y=\"").Append(Number(y)).Append('"');
        if (anchor != TextAnchor.Start)
            _body.Append(" text-anchor=\"").Append(anchor == TextAnchor.Middle ? "middle" : "end").Append('"');
        if (fontSize != FontSize)
            _body.Append(" font-size=\"").Append(Number(fontSize)).Append('"');
        if (!string.Equals(fill, Palette.Ink, StringComparison.Ordinal))
            _body.Append(" fill=\"").Append(fill).Append('"');
        if (isBold)
            _body.Append(" font-weight=\"600\"");
        if (rotation != 0)
            _body.Append(" transform=\"rotate(").Append(Number(rotation)).Append(' ').Append(Number(x)).Append(' ').Append(Number(y)).Append(")\"");
        _body.Append('>').Append(Escape(text)).Append("</text>\n");
    }

    /// <summary>A raster stretched over a rectangle without smoothing: one pixel a cell, for matrices of thousands of cells.</summary>
    public void Raster(double x, double y, double width, double height, ReadOnlySpan<byte> rgb, int columns, int rows)
    {
        _body.Append("<image x=\"").Append(Number(x)).Append("\" y=\"").Append(Number(y))
            .Append("\" width=\"").Append(Number(width)).Append("\" height=\"").Append(Number(height))
            .Append("\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,")
            .Append(Convert.ToBase64String(PngWriter.Encode(rgb, columns, rows))).Append("\"/>\n");
    }

    /// <summary>A hatched fill, so that two series stay apart in a black-and-white print. Returns the value for a fill attribute.</summary>
    public string Hatch(string colour)
    {
        string id = "hatch-" + colour.TrimStart('#');
        string mark = $"id=\"{id}\"";
        if (!_definitions.ToString().Contains(mark, StringComparison.Ordinal))
        {
            _definitions.Append("<pattern ").Append(mark)
                .Append(" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"")
                .Append(colour).Append("\"/><rect width=\"2\" height=\"6\" fill=\"#fff\" fill-opacity=\"0.65\"/></pattern>");
        }

        return $"url(#{id})";
    }

    /// <summary>The whole drawing as a file of its own; in a page it can stand as it is.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ").Append(Number(Width)).Append(' ').Append(Number(Height))
            .Append("\" width=\"").Append(Number(Width)).Append("\" height=\"").Append(Number(Height))
            .Append("\" role=\"img\" font-family=\"system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif\" font-size=\"").Append(Number(FontSize))
            .Append("\" fill=\"").Append(Palette.Ink).Append("\" aria-label=\"").Append(Escape(_title + ". " + _description)).Append("\">\n");
        text.Append("<title>").Append(Escape(_title)).Append("</title>\n<desc>").Append(Escape(_description)).Append("</desc>\n");
        if (_definitions.Length > 0)
            text.Append("<defs>").Append(_definitions).Append("</defs>\n");
        text.Append("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n").Append(_body).Append("</svg>\n");
        return text.ToString();
    }

    /// <summary>XML text and attribute values; control characters that XML forbids are shown as U+FFFD.</summary>
    public static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length + 8);
        foreach (char character in text)
        {
            _ = character switch
            {
                '&' => escaped.Append("&amp;"),
                '<' => escaped.Append("&lt;"),
                '>' => escaped.Append("&gt;"),
                '"' => escaped.Append("&quot;"),
                '\'' => escaped.Append("&#39;"),
                < ' ' and not ('\n' or '\t') => escaped.Append('�'),
                _ => escaped.Append(character),
            };
        }

        return escaped.ToString();
    }

    private static string Number(double value) => Math.Round(value, 2).ToString("0.##");

    private void Close(string element, string? hint)
    {
        if (hint is null)
            _body.Append("/>\n");
        else
            _body.Append("><title>").Append(Escape(hint)).Append("</title></").Append(element).Append(">\n");
    }
}
