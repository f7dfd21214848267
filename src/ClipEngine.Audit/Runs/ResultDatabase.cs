using System.Runtime.InteropServices;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ClipEngine.Audit.Runs;

/// <summary>
/// <c>results.sqlite</c>: the tables of <c>tables/*.csv</c> under the same names (dashes become underscores) with the same
/// columns, plus <c>run</c> (key, value: title, version, spec, seed ...), <c>models</c>, <c>images</c> and <c>documentation</c>
/// (a sentence for each table). Undefined values are NULL. Written once, last; the same result gives the same bytes.
/// </summary>
internal static class ResultDatabase
{
    public const string FileName = "results.sqlite";

    /// <summary>Writes the database, whole or not at all.</summary>
    public static void Write(AuditResult result, string directory)
    {
        string path = Path.Combine(directory, FileName);
        // Made in memory and written like every other file: SQLite's own writes would not be checked to the last, the closing.
        byte[] bytes;
        try
        {
            bytes = Make(result);
        }
        catch (SqliteException exception)
        {
            throw new IOException($"{path}: could not be made: {exception.Message}", exception);
        }

        AtomicFile.Write(path, stream => stream.Write(bytes));
    }

    private static byte[] Make(AuditResult result)
    {
        using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = ":memory:", Pooling = false }.ToString());
        connection.Open();
        Execute(connection, "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF;");
        Execute(connection, "BEGIN");
        ResultTable[] tables = [Run(result), Models(result), Images(result), .. ResultTables.All(result)];
        foreach (ResultTable table in tables)
            Fill(connection, table);
        Fill(connection, Documentation(tables));
        Execute(connection, "COMMIT");
        nint address = raw.sqlite3_serialize(connection.Handle, "main", out long size, 0);
        if (address == 0)
            throw new IOException($"{FileName} would take {size} bytes of memory.");
        try
        {
            byte[] bytes = new byte[size];
            Marshal.Copy(address, bytes, 0, bytes.Length);
            return bytes;
        }
        finally
        {
            raw.sqlite3_free(address);
        }
    }

    private static ResultTable Run(AuditResult result)
    {
        var table = new ResultTable("run", "What is needed to repeat the run, by key.", "key", "value");
        Provenance provenance = result.Provenance;
        (string Key, string Value)[] entries =
        [
            ("title", result.Title), ("question", result.Question), ("version", provenance.Version), ("command", provenance.Command),
            ("spec", provenance.Spec), ("device", provenance.Device), ("element_type", provenance.ElementType),
            ("confidence_level", provenance.ConfidenceLevel.ToString("R")), ("resamples", $"{provenance.Resamples}"), ("seed", $"{provenance.Seed}"),
            .. provenance.Inputs.Select(input => ($"input {input.Role} {input.Name}", $"sha256 {input.Sha256}, {input.Length} bytes")),
        ];
        foreach ((string key, string value) in entries)
            table.Add(key).Add(value).EndRow();
        return table;
    }

    private static ResultTable Models(AuditResult result)
    {
        var table = new ResultTable("models", "A model of the run; failure says why it has no results.", "model", "architecture", "training_set", "training_run", "patch_size", "million_parameters", "scoring", "cost", "sha256", "source", "preprocessing", "failure");
        foreach (ModelSummary model in result.Models)
        {
            table.Add(model.Key).Add(model.Architecture).Add(model.TrainingSet).Add(model.TrainingRun).Add((double?)model.PatchSize).Add(model.MillionParameters)
                .Add(model.Scoring).Add(model.Cost).Add(model.Sha256).Add(model.Source).Add(model.Preprocessing).Add(model.Failure ?? "").EndRow();
        }

        return table;
    }

    private static ResultTable Images(AuditResult result)
    {
        var table = new ResultTable("images", "An image of the probe, in the order of the rows of scores/*.npy.", "row", "image", "file", "person", "group", "weight");
        for (int row = 0; row < result.Probe.Images.Count; row++)
        {
            ProbeImage image = result.Probe.Images[row];
            table.Add(row).Add(image.Id).Add(image.File).Add(image.Person).Add(image.Group).Add(image.Weight).EndRow();
        }

        return table;
    }

    private static ResultTable Documentation(IEnumerable<ResultTable> tables)
    {
        var documentation = new ResultTable("documentation", "What a row of each table is.", "table", "meaning");
        foreach (ResultTable table in tables)
            documentation.Add(SqlName(table.Name)).Add(table.Meaning).EndRow();
        return documentation;
    }

    private static string SqlName(string name) => name.Replace('-', '_');

    private static void Fill(SqliteConnection connection, ResultTable table)
    {
        string name = SqlName(table.Name);
        // Names are this library's own; values travel as parameters.
        Execute(connection, $"CREATE TABLE \"{name}\" ({string.Join(", ", table.Columns.Select(column => $"\"{column}\""))})");
        using SqliteCommand insert = connection.CreateCommand();
        insert.CommandText = $"INSERT INTO \"{name}\" VALUES ({string.Join(", ", table.Columns.Select((_, index) => $"$p{index}"))})";
        SqliteParameter[] parameters = [.. table.Columns.Select((_, index) => insert.Parameters.Add(new SqliteParameter($"$p{index}", DBNull.Value)))];
        insert.Prepare();
        foreach (object?[] row in table.Rows)
        {
            for (int column = 0; column < parameters.Length; column++)
                parameters[column].Value = row[column] ?? DBNull.Value;
            insert.ExecuteNonQuery();
        }
    }

    private static void Execute(SqliteConnection connection, string text)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = text;
        command.ExecuteNonQuery();
    }
}
