using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Audit.Tables;
using ClipEngine.Imaging;

namespace ClipEngine.Audit.Specs;

/// <summary>Writes a spec to begin with from a table of images, so that nobody starts from an empty file.</summary>
internal static class StarterSpec
{
    /// <summary>Columns with more values than this are no groups.</summary>
    private const int MostGroups = 20;

    private static readonly string[] s_files = ["file", "filename", "file_name", "image", "path", "image_path", "img"];
    private static readonly string[] s_persons = ["person", "person_id", "subject", "subject_id", "identity", "participant"];
    private static readonly string[] s_groups = ["group", "race", "ethnicity", "gender", "sex", "age_group", "skin_tone"];

    /// <summary>
    /// The text of a spec with comments: the table's columns where their names and values say what they are, one question, and what
    /// has to be filled in.
    /// </summary>
    /// <param name="table">A CSV file with a header and a row for each image.</param>
    /// <exception cref="BadInputException">The table cannot be read, is empty, or no column of it can be a group; the message lists the columns.</exception>
    public static byte[] From(string table)
    {
        CsvTable cells = CsvTable.Read(table);
        if (cells.RowCount == 0)
            throw new BadInputException(table, "there is a header but no row.", "Write a row for each image.");
        string[] columns = [.. cells.Header.Where(static name => name.Length > 0)];
        string? file = Named(columns, s_files) ?? columns.FirstOrDefault(name => cells.Cells(cells.Find(name)).All(IsImage));
        string? person = Named(columns, s_persons);
        string id = columns.FirstOrDefault(name => name != file && IsUnique(cells, name) && cells.Cells(cells.Find(name)).All(static cell => cell.Length > 0)) ?? file ?? columns[0];
        string[] groups = [.. columns.Where(name => name != id && name != file && name != person && IsGroup(cells, name))];
        string[] chosen = [.. s_groups.Select(known => groups.FirstOrDefault(name => name.Equals(known, StringComparison.OrdinalIgnoreCase))).OfType<string>().Take(2)];
        if (chosen.Length == 0)
            chosen = [.. groups.Take(1)];
        if (chosen.Length == 0)
            throw new BadInputException(table, $"no column has between 2 and {MostGroups} different values, so none can make groups; the columns are {string.Join(", ", columns.Take(30).Select(static name => BadInputException.Escape(name, 60)))}.", "Add a column that says which group an image belongs to.");

        string? images = Folder(table, cells, file ?? id);
        var text = new StringBuilder();
        void Line(string line) => text.Append(line).Append('\n');
        Line("// A spec to begin with; docs/audit-spec.md describes every key. Change what is marked FILL IN, then: clipengine audit run SPEC.json --out DIR");
        Line("{");
        Line($"  \"title\": {Quote(Path.GetFileNameWithoutExtension(table))},");
        Line("  \"question\": \"\", // FILL IN: what do you want to know?");
        Line("  \"probe\": {");
        Line($"    \"metadata\": {Quote(Path.GetFullPath(table))},");
        Line($"    \"images\": {Quote(images ?? "FILL IN: the folder of the images")},");
        Line($"    \"id\": {Quote(id)},");
        if (file is not null)
            Line($"    \"file\": {Quote(file)},");
        Line(person is null
            ? "    // \"person\": \"COLUMN\": name it where one person is shown by several images; else every image counts as another person"
            : $"    \"person\": {Quote(person)},");
        Line($"    \"group\": [{string.Join(", ", chosen.Select(Quote))}] // {string.Join("; ", groups.Select(name => $"{OneLine(name)}: {Values(cells, name).Count()} values"))}");
        Line("  },");
        Line("  \"models\": [");
        Line("    { \"key\": \"ViT-B-32/laion2b_s34b_b79k\", \"model\": \"ViT-B-32/laion2b_s34b_b79k\" } // FILL IN: 'clipengine models list' shows names; a folder will do too");
        Line("  ],");
        Line("  \"experiments\": [");
        Line("    {");
        Line("      \"key\": \"occupations\", \"title\": \"Occupations\", \"template\": \"a photo of {a} {label}\", // FILL IN: your own question");
        Line("      \"labels\": [{ \"text\": \"doctor\" }, { \"text\": \"nurse\" }, { \"text\": \"engineer\" }, { \"text\": \"cleaner\" }]");
        Line("    }");
        Line("  ]");
        Line("}");
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static string? Named(string[] columns, string[] known) =>
        known.Select(name => columns.FirstOrDefault(column => column.Equals(name, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(static column => column is not null);

    private static IEnumerable<string> Values(CsvTable cells, string column) => cells.Cells(cells.Find(column)).Where(static cell => !Gaps.IsGap(cell)).Distinct();

    private static bool IsUnique(CsvTable cells, string column) => cells.Cells(cells.Find(column)).Distinct().Count() == cells.RowCount;

    private static bool IsGroup(CsvTable cells, string column) => Values(cells, column).Take(MostGroups + 1).Count() is >= 2 and <= MostGroups;

    private static bool IsImage(string cell) => ImageCollection.IsImage(cell);

    /// <summary>The folder beside the table, or below it, in which the first image lies; null where none does.</summary>
    private static string? Folder(string table, CsvTable cells, string file)
    {
        string parent = Path.GetDirectoryName(Path.GetFullPath(table))!;
        string first = cells[0, cells.Find(file)];
        if (first.Length == 0 || Path.IsPathRooted(first))
            return null;
        return Directory.EnumerateDirectories(parent).Order(StringComparer.Ordinal).Prepend(parent).FirstOrDefault(folder => File.Exists(Path.Combine(folder, first)));
    }

    private static string Quote(string text) => JsonSerializer.Serialize(text, SpecTextJson.Readable.String);

    private static string OneLine(string text) => BadInputException.Escape(text, 60);
}

/// <summary>Text as JSON that people read: letters of every script stay as they are.</summary>
[System.Text.Json.Serialization.JsonSerializable(typeof(string))]
internal sealed partial class SpecTextJson : System.Text.Json.Serialization.JsonSerializerContext
{
    public static SpecTextJson Readable { get; } = new(new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
