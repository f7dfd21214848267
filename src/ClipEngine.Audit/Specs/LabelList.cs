using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Specs;

/// <summary>Labels as the command line names them: a file, or a list with commas in which quotes keep a comma inside a label.</summary>
/// <param name="Labels">The labels, trimmed, none empty, none twice.</param>
/// <param name="Origin">What was taken, for the user: <c>3 labels of the file labels.txt</c>.</param>
internal sealed record LabelList(IReadOnlyList<string> Labels, string Origin)
{
    /// <summary>What options say of their value.</summary>
    public const string Description = "a file (" + TextList.Description + "), or labels with commas between them; \"quotes\" keep a comma inside a label";

    /// <summary>Endings that no label has and every list of labels may.</summary>
    private static readonly string[] s_fileEndings = [".txt", ".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".lst", ".list", ".labels", ".names", ".yaml", ".yml", ".xml", ".md", ".dat", ".parquet", ".feather", ".arrow", ".xlsx", ".xls", ".ods", ".npy", ".gz", ".zip", ".log"];

    /// <summary>Reads the value of an option.</summary>
    /// <exception cref="BadInputException">It looks like a file and is none, a quote is not closed, no label is there, or one twice.</exception>
    public static LabelList Read(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        bool isThere = Path.Exists(value) || FilePlace.IsInheritedStream(value);
        if (isThere || LooksLikeFile(value))
        {
            FilePlace.RequireFile(value, "a file of labels, or labels with commas between them,", takesStreams: true);
            string[] lines = [.. TextList.ReadAll(value).Select(static line => line.Trim()).Where(static line => line.Length > 0)];
            return Check(value, lines, $"the file {BadInputException.Escape(value, 300)}");
        }

        return Check(value, Split(value), "the command line");
    }

    /// <summary>Splits at commas outside quotes, as a row of a CSV file.</summary>
    internal static string[] Split(string value)
    {
        var labels = new List<string>();
        int position = 0;
        while (position <= value.Length)
        {
            while (position < value.Length && char.IsWhiteSpace(value[position]))
                position++;
            if (position == value.Length || value[position] != '"')
            {
                int comma = value.IndexOf(',', position);
                int stop = comma < 0 ? value.Length : comma;
                labels.Add(value[position..stop].Trim());
                position = stop + 1;
                continue;
            }

            var label = new System.Text.StringBuilder();
            int start = position++;
            while (true)
            {
                int quote = value.IndexOf('"', position);
                if (quote < 0)
                    throw new BadInputException("--labels", $"the quote before '{BadInputException.Escape(value[(start + 1)..], 60)}' is not closed.", "Close it, or double it where it belongs to the label.");
                label.Append(value, position, quote - position);
                position = quote + 1;
                if (position == value.Length || value[position] != '"')
                    break;
                label.Append('"');
                position++;
            }

            while (position < value.Length && char.IsWhiteSpace(value[position]))
                position++;
            if (position < value.Length && value[position] != ',')
                throw new BadInputException("--labels", $"behind the quoted '{BadInputException.Escape(label.ToString(), 60)}' a comma was expected, found '{BadInputException.Escape(value[position..], 40)}'.", "Quote whole labels.");
            labels.Add(label.ToString().Trim());
            position++;
        }

        // "a,b," ends a list; ",," leaves a label out.
        if (labels.Count > 1 && labels[^1].Length == 0 && value.TrimEnd().EndsWith(','))
            labels.RemoveAt(labels.Count - 1);
        int empty = labels.FindIndex(static label => label.Length == 0);
        return empty < 0 ? [.. labels] : throw new BadInputException("--labels", $"label {empty + 1} of '{BadInputException.Escape(value, 100)}' is empty.", "Take out the comma, or write the label.");
    }

    private static bool LooksLikeFile(string value)
    {
        if (value.StartsWith('"'))
            return false;
        bool hasFileEnding = s_fileEndings.Contains(Path.GetExtension(value.TrimEnd()), StringComparer.OrdinalIgnoreCase);
        bool isRooted = value.StartsWith('/') || value.StartsWith("./", StringComparison.Ordinal) || value.StartsWith("../", StringComparison.Ordinal) || value.StartsWith("~/", StringComparison.Ordinal)
            || (value.Length > 2 && char.IsAsciiLetter(value[0]) && value[1] == ':' && value[2] is '\\' or '/');
        bool hasFolder = !value.Contains(',', StringComparison.Ordinal) && (value.Contains('\\', StringComparison.Ordinal) || (value.Contains('/', StringComparison.Ordinal) && !value.Contains(' ', StringComparison.Ordinal)));
        return hasFileEnding || isRooted || hasFolder;
    }

    private static LabelList Check(string value, string[] labels, string place)
    {
        if (labels.Length == 0)
            throw new BadInputException(value, "expected at least one label, found none.", "Write one a line, or all with commas between them.");
        string? twice = labels.GroupBy(static label => label).FirstOrDefault(static group => group.Count() > 1)?.Key;
        return twice is null
            ? new LabelList(labels, $"{labels.Length} {(labels.Length == 1 ? "label" : "labels")} from {place}")
            : throw new BadInputException(value, $"the label '{BadInputException.Escape(twice)}' is there twice.", "Each label shares the probability with the others; write it once.");
    }
}
