using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Audit.Tables;

/// <summary>
/// Lists of sentences, prompts or labels as people keep them, read as what their names say they are: <c>.jsonl</c> and <c>.ndjson</c> (a JSON value a
/// line), <c>.json</c> (an array, or a value a line), <c>.csv</c> and <c>.tsv</c> (a table with a header), anything else: a text a line.
/// </summary>
internal static class TextList
{
    /// <summary>What options say of such a file.</summary>
    public const string Description = "one a line; .jsonl or .ndjson: JSON strings, numbers or objects with a \"text\", one a line; .json: an array of them; .csv or .tsv: a table with a header";

    /// <summary>Columns of a table that hold texts by their names, the first that is there.</summary>
    private static readonly string[] s_usualColumns = ["text", "prompt", "caption", "sentence", "label", "title"];

    /// <summary>Keys of a JSON object that hold its text, the first that is there.</summary>
    private static readonly string[] s_usualKeys = ["text", "prompt", "caption", "sentence", "label", "title"];

    /// <summary>Reads the texts one after the other.</summary>
    /// <param name="path">The file.</param>
    /// <param name="column">The column of a table; null to find it by its name.</param>
    /// <exception cref="BadInputException">It cannot be such a list; names the line.</exception>
    public static IEnumerable<string> Read(string path, string? column = null)
    {
        string extension = System.IO.Path.GetExtension(path).ToLowerInvariant();
        if (column is not null && !CsvTable.IsTable(path))
            throw new BadInputException("--column", "names a column of a table, but the file is none (.csv or .tsv).");
        return extension switch
        {
            ".csv" or ".tsv" or ".tab" => Rows(CsvTable.Read(path), column),
            ".jsonl" or ".ndjson" => JsonLines(path, TextFile.ReadLines(path, "a list of texts (JSON lines)")),
            ".json" => Json(path),
            _ => Lines(path, TextFile.ReadLines(path, "a list of texts (one a line)")),
        };
    }

    /// <summary>Reads all texts, with a bound for what they take.</summary>
    /// <exception cref="BadInputException">As <see cref="Read"/>, or they take more memory than such a list may.</exception>
    public static List<string> ReadAll(string path, string? column = null)
    {
        var texts = new List<string>();
        long bytes = 0;
        foreach (string text in Read(path, column))
        {
            texts.Add(text);
            bytes += 40 + (2L * text.Length);
            if (bytes > TextFile.MemoryLimit)
                throw new BadInputException(path, $"holds more than {texts.Count} texts that take {TextFile.MemoryLimit >> 20} MB; that is no list that can be held.", "Split it.");
        }

        return texts;
    }

    /// <summary>A text a line. Files and pipes without a telling name hold JSON too: its brackets and keys would become part of every text.</summary>
    private static IEnumerable<string> Lines(string path, IEnumerable<string> lines)
    {
        bool isFirst = true;
        foreach (string line in lines)
        {
            string text = line.Trim();
            if (isFirst && (text is "[" or "{" || text.StartsWith("[\"", StringComparison.Ordinal) || text.StartsWith("[{", StringComparison.Ordinal) || text.StartsWith("{\"", StringComparison.Ordinal)))
                throw new BadInputException(path, "its first line begins as JSON does, and its name says that it is no JSON; a text a line was expected.", "Name the file .jsonl (a JSON value a line) or .json (an array).");
            isFirst &= text.Length == 0;
            yield return line;
        }
    }

    private static IEnumerable<string> Rows(CsvTable table, string? column)
    {
        int found = column is not null
            ? table.Column(column)
            : s_usualColumns.Select(usual => table.Header.ToList().FindIndex(name => name.Trim().Equals(usual, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(index => index >= 0, -1);
        if (found < 0)
        {
            throw new BadInputException(table.Path, $"none of its columns is called {string.Join(", ", s_usualColumns)}; its first row, the header, names {string.Join(", ", table.Header.Take(30).Select(name => $"'{BadInputException.Escape(name, 60)}'"))}.",
                "Name the column with --column, or give the file a header; a list without one is read from a .txt file, one text a line.");
        }

        for (int row = 0; row < table.RowCount; row++)
            yield return table[row, found];
    }

    private static IEnumerable<string> Json(string path)
    {
        byte[] bytes = TextFile.ReadDocument(path, "a JSON array of texts");
        ReadOnlySpan<byte> start = bytes.AsSpan().TrimStart(" \t\r\n\u00EF\u00BB\u00BF"u8);
        if (start.Length > 0 && start[0] == (byte)'[')
            return Array(path, bytes);
        return JsonLines(path, System.Text.Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF').Split('\n'));
    }

    private static List<string> Array(string path, byte[] bytes)
    {
        try
        {
            ReadOnlyMemory<byte> text = bytes.AsSpan().StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]) ? bytes.AsMemory(3) : bytes;
            using JsonDocument document = JsonDocument.Parse(text);
            return [.. document.RootElement.EnumerateArray().Select((element, index) => Text(element)
                ?? throw new BadInputException(path, $"element {index + 1} of the array is {Name(element)}; a JSON string, a number or an object with a \"text\" was expected."))];
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new BadInputException(path, $"not a JSON array of texts: {BadInputException.Escape(exception.Message)}", "Write [\"a\", \"b\"], or one text a line in a .txt file.", exception);
        }
    }

    private static IEnumerable<string> JsonLines(string path, IEnumerable<string> lines)
    {
        long number = 0;
        foreach (string line in lines)
        {
            number++;
            if (line.AsSpan().Trim().Length > 0)
                yield return Line(path, number, line);
        }
    }

    private static string Line(string path, long number, string line)
    {
        string problem;
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            if (Text(document.RootElement) is { } text)
                return text;
            problem = $"{Name(document.RootElement)}; a JSON string, a number or an object with a \"text\" was expected.";
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            problem = $"not JSON: {BadInputException.Escape(exception.Message)}";
        }

        throw new BadInputException(path, $"line {number}: {problem}", "Write one JSON value a line, or name the file .txt.");
    }

    /// <summary>The text of a JSON value. A number is the text that it is written with: <c>1.50</c> stays <c>1.50</c>.</summary>
    private static string? Text(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.Object)
        {
            string? key = System.Array.Find(s_usualKeys, key => element.TryGetProperty(key, out _));
            return key is null ? null : Scalar(element.GetProperty(key));
        }

        return Scalar(element);
    }

    private static string? Scalar(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Number => element.GetRawText(),
        _ => null,
    };

    private static string Name(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Null => "null",
        JsonValueKind.True or JsonValueKind.False => "true or false",
        JsonValueKind.Array => "an array",
        JsonValueKind.Object => "an object without a \"text\" that is a string or a number",
        _ => element.ValueKind.ToString(),
    };
}
