using ClipEngine.Checkpoints;
using ClipEngine.Cli;
using ClipEngine.Cli.Commands;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Testing;
using ParquetSharp;

namespace ClipEngine.Tests.Files;

/// <summary>Files of img2dataset and clip-retrieval, written by the real tools (tests/data/interop; facts from the README that came with them), and ours in the latter's layout.</summary>
public sealed class InteropTests : IDisposable
{
    private static readonly string Demo = Path.Combine(DemoCommand.Data, "models", "small");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task ShardsOfImg2DatasetAreReadAsTarAndAsParquet()
    {
        Dictionary<string, float[]> tar = await EmbedAsync(TestData.Path("interop", "img2dataset-webdataset"), "tar.safetensors");
        Dictionary<string, float[]> table = await EmbedAsync(TestData.Path("interop", "img2dataset-parquet"), "table.safetensors");
        // Keys are not contiguous from shard to shard (six a shard, the second begins at 10), and downloads that failed have no picture.
        string[] keys = ["000000", "000001", "000003", "000005", "000010", "000011", "000013"];
        Assert.Equal(keys.Select(static key => key + ".jpg"), tar.Keys.Order());
        Assert.Equal(tar.Keys.Order(), table.Keys.Order());
        Assert.All(tar, pair => Assert.Equal(pair.Value, table[pair.Key]));
    }

    [Fact]
    public void DescriptionsComeFromTheSidecarsInATarOrFromTheTableBesideIt()
    {
        string shard = TestData.Path("interop", "img2dataset-webdataset", "00000.tar");
        using var images = ImageCollection.Open([shard], hasDescriptions: true, default);
        ImageDescription first = images.Describe(0);
        Assert.Equal(("000000", "a plain photo, \"quoted\""), (first.Key, first.Caption));
        Assert.Equal("http://127.0.0.1:8099/a.jpg", first.Fields.Single(static field => field.Key == "url").Value);
        Assert.Equal(85L, first.Fields.Single(static field => field.Key == "width").Value);
        Assert.Equal("", images.Describe(images.Count - 1).Caption); // an empty caption is an empty text

        // The same shard without its sidecars: the table beside it knows the keys.
        string bare = _folder.File("00000.tar");
        TarBuilder.Write(bare, [("000000.jpg", File.ReadAllBytes(TestData.Path("preprocess", "images", "one.png")))]);
        File.Copy(Path.ChangeExtension(shard, ".parquet"), _folder.File("00000.parquet"));
        using var others = ImageCollection.Open([bare], hasDescriptions: true, default);
        ImageDescription found = others.Describe(0);
        Assert.Equal((first.Key, first.Caption), (found.Key, found.Caption));
        Assert.Equal(first.Fields.OrderBy(static field => field.Key), found.Fields.OrderBy(static field => field.Key));
    }

    [Fact]
    public async Task TheLayoutOfClipRetrievalDiffersFromItsOwnInNothingButTheNumbers()
    {
        string pictures = Path.Combine(DemoCommand.Data, "probe", "images");
        string[] files = [.. Directory.GetFiles(pictures).Order(StringComparer.Ordinal).Take(10)];
        // The samples of which the real tool wrote its partitions: five each, the second's keys begin at 10.
        string[] shards = [.. Enumerable.Range(0, 2).Select(shard => TarBuilder.Write(_folder.File($"{shard:d5}.tar"), Enumerable.Range(0, 5).SelectMany(row =>
        {
            string key = $"{(10 * shard) + row:d6}";
            string json = $$$"""{"caption": "dropped", "license": "CC0", "key": "{{{key}}}", "width": {{{85 + (row % 3)}}}, "image_path": "dropped", "nested": {"a": {{{row % 3}}}}}""";
            return new[]
            {
                ($"{key}.jpg", File.ReadAllBytes(files[(5 * shard) + row])),
                ($"{key}.json", System.Text.Encoding.UTF8.GetBytes(json)),
                ($"{key}.txt", System.Text.Encoding.UTF8.GetBytes($"caption {row % 3}, \"q\"")),
            };
        })))];
        // Twelve partitions in the real run, of which two are there: numbers have two digits.
        string[] inputs = [.. shards, .. Enumerable.Range(0, 10).Select(index => files[index])];
        for (int part = 1; part <= 2; part++)
            Assert.Equal(0, await RunAsync(["embed", "image", .. inputs, "--model", Demo, "--clip-retrieval", _folder.File("out"), "--shard", $"{part}/12"]));

        for (int partition = 0; partition < 2; partition++)
        {
            string name = $"metadata/metadata_{partition:d2}.parquet";
            using var expected = new ParquetFileReader(TestData.Path("interop", "clip-retrieval", name));
            using var found = new ParquetFileReader(_folder.File("out", name));
            Assert.Equal(expected.FileMetaData.NumRows, found.FileMetaData.NumRows);
            Assert.Equal(Columns(expected), Columns(found));
            using ParquetFile left = ParquetFile.Open(TestData.Path("interop", "clip-retrieval", name)), right = ParquetFile.Open(_folder.File("out", name));
            for (int column = 0; column < left.Columns.Count; column++)
                Assert.Equal(left.ReadText(0, column).ToList(), right.ReadText(0, column).ToList());

            string features = $"img_emb/img_emb_{partition:d2}.npy";
            byte[] real = File.ReadAllBytes(TestData.Path("interop", "clip-retrieval", features)), ours = File.ReadAllBytes(_folder.File("out", features));
            Assert.Equal(real.Length, ours.Length);
            Assert.Equal(real[..128], ours[..128]); // the header: float16, [5, 16], its padding
        }

        using NpyFile npy = NpyFile.Open(_folder.File("out", "img_emb", "img_emb_00.npy"));
        float[] rounded = new float[npy.ElementCount];
        npy.ReadAsSingle(0, rounded);
        Dictionary<string, float[]> exact = await EmbedAsync(shards[0], "exact.safetensors");
        Assert.Equal(exact.Values.SelectMany(static row => row).Select(static value => (float)(Half)value), rounded);

        DateTime written = File.GetLastWriteTimeUtc(_folder.File("out", "img_emb", "img_emb_00.npy"));
        Assert.Equal(0, await RunAsync(["embed", "image", .. inputs, "--model", Demo, "--clip-retrieval", _folder.File("out"), "--shard", "1/12"]));
        Assert.Equal(written, File.GetLastWriteTimeUtc(_folder.File("out", "img_emb", "img_emb_00.npy")));
    }

    [Fact]
    public async Task AParquetTableOfPathsIsReadLikeACsv()
    {
        var path = new TextColumn("path");
        File.Copy(TestData.Path("preprocess", "images", "one.png"), _folder.File("b.png"));
        File.Copy(TestData.Path("preprocess", "images", "rgba.png"), _folder.File("a.png"));
        TableFile.Write(_folder.File("list.parquet"), [path], table =>
        {
            foreach (string name in new[] { "b.png", "a.png" })
            {
                path.Add(name);
                table.EndRow();
            }
        });
        string output = _folder.File("f.safetensors");
        Assert.Equal(0, await RunAsync(["embed", "image", "--file", _folder.File("list.parquet"), "--model", Demo, "--out", output]));
        using SafetensorsFile features = SafetensorsFile.Open(output);
        Assert.Equal($"""["{_folder.File("b.png")}","{_folder.File("a.png")}"]""", features.Metadata["names"]);
    }

    private static IEnumerable<string> Columns(ParquetFileReader file) => Enumerable.Range(0, file.FileMetaData.NumColumns)
        .Select(index => file.FileMetaData.Schema.Column(index))
        .Select(static column => $"{column.Name} {column.PhysicalType} {Meaning(column.LogicalType)} {column.MaxDefinitionLevel} {column.MaxRepetitionLevel}");

    private async Task<Dictionary<string, float[]>> EmbedAsync(string input, string name)
    {
        string output = _folder.File(name);
        Assert.Equal(0, await RunAsync(["embed", "image", input, "--model", Demo, "--out", output]));
        using SafetensorsFile file = SafetensorsFile.Open(output);
        string[] names = System.Text.Json.JsonSerializer.Deserialize<string[]>(file.Metadata["names"])!;
        float[] features = file.ReadSingles("image_features_normalized");
        int width = features.Length / names.Length;
        return names.Select((key, row) => (key, features[(row * width)..((row + 1) * width)])).ToDictionary(static entry => entry.key, static entry => entry.Item2);
    }

    private static Task<int> RunAsync(string[] arguments) => CommandRunner.InvokeAsync(Program.Definition(arguments), arguments);

    /// <summary>A signed integer of 64 bits is what a column of that width is without a word (the format's LogicalTypes.md): writers say it or do not.</summary>
    private static string Meaning(LogicalType type) => type is IntLogicalType { BitWidth: 64, IsSigned: true } ? "None" : type.ToString();
}
