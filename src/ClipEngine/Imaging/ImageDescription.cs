using System.Text;
using System.Text.Json;
using ClipEngine.Files;

namespace ClipEngine.Imaging;

/// <summary>What a data set says of an image beside its pixels.</summary>
/// <param name="Key">The image's name without its ending: what webdataset calls the sample.</param>
/// <param name="Caption">Its caption; null where there is none.</param>
/// <param name="Fields">
/// Other fields in order, flat: what lies in an object is called <c>outer.inner</c> and comes behind what lies in none, as <c>pandas.json_normalize</c>
/// has it. A value is text, a whole number, a number, a truth value or null; lists are JSON text.
/// </param>
internal sealed record ImageDescription(string Key, string? Caption, IReadOnlyList<KeyValuePair<string, object?>> Fields)
{
    /// <summary>The name of a sample: a member's up to the first dot behind its folders.</summary>
    public static string KeyOf(string member)
    {
        int name = member.LastIndexOf('/') + 1, dot = member.IndexOf('.', name);
        return dot < 0 ? member : member[..dot];
    }

    /// <summary>Of what lies beside an image file under the same name: .json and .txt.</summary>
    public static ImageDescription OfFile(string path)
    {
        string stem = Path.ChangeExtension(path, null), json = stem + ".json", text = stem + ".txt";
        return OfMembers(json, path, FilePlace.IsFile(json) ? TextFile.ReadDocument(json, "a description in JSON") : null, FilePlace.IsFile(text) ? TextFile.ReadDocument(text, "a caption") : null)
            ?? new ImageDescription(path, null, []);
    }

    /// <summary>Of the two members beside an image; null where there is none of them.</summary>
    /// <exception cref="BadInputException">The first one is no JSON object.</exception>
    public static ImageDescription? OfMembers(string source, string key, byte[]? json, byte[]? text)
    {
        if (json is null && text is null)
            return null;
        string? caption = text is null ? null : Encoding.UTF8.GetString(text);
        var fields = new List<KeyValuePair<string, object?>>();
        if (json is not null)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(json);
                if (document.RootElement.ValueKind != JsonValueKind.Object)
                    throw new BadInputException(source, "expected a JSON object.");
                Flatten("", document.RootElement, fields);
            }
            catch (JsonException exception)
            {
                throw new BadInputException(source, $"is no JSON: {BadInputException.Escape(exception.Message, 200)}", innerException: exception);
            }
        }

        return new ImageDescription(key, caption ?? fields.FirstOrDefault(static field => field.Key == "caption").Value as string, fields);
    }

    /// <summary>Of a table's row.</summary>
    public static ImageDescription OfRow(string name, IReadOnlyList<KeyValuePair<string, object?>> fields) =>
        new(KeyOf(name), fields.FirstOrDefault(static field => field.Key == "caption").Value as string, fields);

    private static void Flatten(string prefix, JsonElement element, List<KeyValuePair<string, object?>> fields)
    {
        foreach (JsonProperty property in element.EnumerateObject().Where(static property => property.Value.ValueKind != JsonValueKind.Object))
            fields.Add(new(prefix + property.Name, Value(property.Value)));
        foreach (JsonProperty property in element.EnumerateObject().Where(static property => property.Value.ValueKind == JsonValueKind.Object))
            Flatten($"{prefix}{property.Name}.", property.Value, fields);
    }

    private static object? Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.String => value.GetString(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Number => value.TryGetInt64(out long whole) ? (object)whole : value.GetDouble(),
        _ => value.GetRawText(),
    };
}

/// <summary>Rows of tables that describe images: one row group, or one table beside a shard, in memory at a time.</summary>
internal sealed class DescriptionTables
{
    private (PictureTable? Table, int Group, IReadOnlyList<(string Name, object?[] Values)> Columns) _group;
    private (string Shard, Dictionary<string, List<KeyValuePair<string, object?>>> Rows) _beside = ("", []);

    /// <summary>The fields of a row, but for its picture.</summary>
    public List<KeyValuePair<string, object?>> Get(PictureTable table, long row)
    {
        (int group, int place) = table.Find(row);
        if (_group.Table != table || _group.Group != group)
            _group = (table, group, table.ReadOthers(group));
        return [.. _group.Columns.Select(column => new KeyValuePair<string, object?>(column.Name, column.Values[place]))];
    }

    /// <summary>The fields of a sample in the table beside its shard: <c>00000.parquet</c> of <c>00000.tar</c>, as img2dataset leaves it; none where there is no such table or row.</summary>
    public List<KeyValuePair<string, object?>> Get(string shard, string key)
    {
        if (_beside.Shard != shard)
        {
            var rows = new Dictionary<string, List<KeyValuePair<string, object?>>>();
            string path = Path.ChangeExtension(shard, ParquetFile.Extension);
            if (FilePlace.IsFile(path))
            {
                using ParquetFile file = ParquetFile.Open(path);
                for (int group = 0; group < file.GroupCount; group++)
                {
                    IReadOnlyList<(string Name, object?[] Values)> columns = PictureTable.ReadRecords(file, group);
                    object?[]? keys = columns.FirstOrDefault(static column => column.Name == "key").Values;
                    for (int row = 0; row < (keys?.Length ?? 0); row++)
                    {
                        if (keys![row] is string name)
                            rows[name] = [.. columns.Select(column => new KeyValuePair<string, object?>(column.Name, column.Values[row]))];
                    }
                }
            }

            _beside = (shard, rows);
        }

        return _beside.Rows.TryGetValue(key, out List<KeyValuePair<string, object?>>? found) ? found : [];
    }
}
