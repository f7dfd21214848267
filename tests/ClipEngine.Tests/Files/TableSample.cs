using ClipEngine.Files;

namespace ClipEngine.Tests.Files;

/// <summary>A table with every kind of column, of which each value is known.</summary>
internal static class TableSample
{
    public static string Text(int row) => $"row {row}, \"ünïcode\" 寿司";

    public static float Single(int row) => row / 2f;

    public static void Write(string path, int rows)
    {
        var text = new TextColumn("text");
        var maybe = new TextColumn("maybe text", isNullable: true);
        var single = new ValueColumn<float>("single");
        var number = new ValueColumn<double>("double", isNullable: true);
        var small = new ValueColumn<int>("int");
        var large = new ValueColumn<long>("long");
        var truth = new ValueColumn<bool>("truth");
        var vector = new VectorColumn("vector", 3);
        var bytes = new BytesColumn("bytes");
        TableFile.Write(path, [text, maybe, single, number, small, large, truth, vector, bytes], table =>
        {
            for (int row = 0; row < rows; row++)
            {
                text.Add(Text(row));
                maybe.Add(row % 3 == 0 ? null : Text(row));
                single.Add(Single(row));
                number.Add(row % 5 == 0 ? null : row / 7.0);
                small.Add(row);
                large.Add(row * 10_000_000_000L);
                truth.Add(row % 2 == 0);
                vector.Add([Single(row), -Single(row), 0.25f]);
                bytes.Add(row % 4 == 0 ? null : [(byte)row]);
                table.EndRow();
            }
        }, new Dictionary<string, string> { ["why"] = "here" });
    }
}
