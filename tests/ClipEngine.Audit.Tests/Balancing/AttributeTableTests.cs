using System.Formats.Tar;
using System.Globalization;
using System.Text;
using System.Text.Json;
using ClipEngine.Audit.Balancing;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Balancing;

/// <summary>The same examples as CSV, Parquet, safetensors and webdataset shards: the same weights, the same list, the same refusals.</summary>
public class AttributeTableTests
{
    private const int Rows = 300;

    public static TheoryData<string> Kinds => ["csv", "parquet", "safetensors", "tar"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EveryKindOfTableGivesTheSameWeights(string kind)
    {
        using var folder = new TemporaryFolder();
        BalanceResult csv = BalanceRun.Run(Request(Write(folder, "csv", Examples())), folder.File("csv-out"));
        BalanceResult other = BalanceRun.Run(Request(Write(folder, kind, Examples())), folder.File("out"));
        Assert.True(other.IsMet, other.Verdict);
        Assert.Equal(csv.Before.AssociationBias, other.Before.AssociationBias);
        Assert.Equal(File.ReadAllText(folder.File("csv-out", "weights.csv")), File.ReadAllText(folder.File("out", "weights.csv")));
        Assert.Equal(File.ReadAllText(folder.File("csv-out", "repeats.csv")), File.ReadAllText(folder.File("out", "repeats.csv")));
    }

    /// <summary>The list is as long as the table, each row within one copy of its share, and each kind's examples are repeated as it says.</summary>
    [Theory]
    [MemberData(nameof(Kinds))]
    public void ExamplesAreRepeatedAsTheListSays(string kind)
    {
        using var folder = new TemporaryFolder();
        BalanceResult result = BalanceRun.Run(Request(Write(folder, kind, Examples())), folder.File("out"));
        int[] times = [.. File.ReadLines(folder.File("out", "repeats.csv")).Skip(1).Select(static line => int.Parse(line.Split(',')[1], CultureInfo.InvariantCulture))];
        double[] weights = [.. File.ReadLines(folder.File("out", "weights.csv")).Skip(1).Select(static line => double.Parse(line.Split(',')[1], CultureInfo.InvariantCulture))];
        Assert.Equal((Rows, Rows), (times.Length, times.Sum()));
        Assert.All(times.Zip(weights), pair => Assert.InRange(pair.First, Math.Floor((pair.Second / result.Solution.MeanWeight) - 1e-6), Math.Ceiling((pair.Second / result.Solution.MeanWeight) + 1e-6)));
        string[] names = [];
        if (kind is "csv" or "parquet")
        {
            string[] lines = File.ReadAllLines(folder.File("out", "train.csv"));
            int column = Array.IndexOf(lines[0].Split(','), "filepath");
            names = [.. lines.Skip(1).Select(line => line.Split(',')[column].Trim('"'))];
        }
        else if (kind == "tar")
        {
            string[] shards = [.. Directory.GetFiles(folder.File("out", "train"), "*.tar").Order(StringComparer.Ordinal)];
            Assert.Equal(["00000.tar", "00001.tar"], shards.Select(static shard => Path.GetFileName(shard)));
            using JsonDocument sizes = JsonDocument.Parse(File.ReadAllText(folder.File("out", "train", "sizes.json")));
            string[][] keys = [.. shards.Select(Keys)];
            Assert.Equal(keys.Select(static own => own.Length), shards.Select(shard => sizes.RootElement.GetProperty(Path.GetFileName(shard)).GetInt32()));
            Assert.Equal(Rows, keys.Sum(static own => own.Distinct().Count()));
            names = [.. keys.SelectMany(static own => own).Select(static key => key.Split('-')[0] + ".jpg")];
        }

        if (kind != "safetensors")
            Assert.Equal(times.SelectMany((count, row) => Enumerable.Repeat($"{row:d4}.jpg", count)), names);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void WhatIsNoAttributeIsRefusedByItsPlace(string kind)
    {
        using var folder = new TemporaryFolder();
        Example[] examples = Examples();
        examples[5] = examples[5] with { Label = 1.5 };
        string[] table = Write(folder, kind, examples);
        void Refused(BalanceRequest request, params string[] words)
        {
            string message = Assert.Throws<BadInputException>(() => BalanceRun.Run(request, folder.File("out"))).Message;
            Assert.All(words, word => Assert.Contains(word, message, StringComparison.Ordinal));
        }

        Refused(Request(table), kind == "tar" ? "0005.json" : kind == "csv" ? "line 7" : "row 5", "'y'", "from 0 to 1", "1.5");
        string[] good = Write(folder, kind, Examples());
        Refused(Request(good) with { Sensitive = ["nobody"] }, "'nobody'", "'s'");
        Refused(Request(good) with { Utility = "filepath" }, kind == "safetensors" ? "no tensor 'filepath'" : "filepath");
        Refused(Request(good) with { Utility = "y" }, "0.000001 to 1000000");
        string[] never = Write(folder, kind, [.. Examples().Select(static example => example with { Sensitive = 0 })]);
        Refused(Request(never), "no row has 's'", "Add such rows");
    }

    [Fact]
    public void FilesThatAreNoTablesAreRefused()
    {
        using var folder = new TemporaryFolder();
        void Refused(string[] tables, string message) => Assert.Contains(message, Assert.ThrowsAny<BadInputException>(() => BalanceRun.Run(Request(tables), folder.File("out"))).Message, StringComparison.Ordinal);
        foreach (string kind in new[] { "parquet", "safetensors", "tar" })
        {
            File.WriteAllText(folder.File("broken." + kind), new string('x', 2000));
            Refused([folder.File("broken." + kind)], "broken." + kind);
            Refused([folder.File("missing." + kind)], "missing." + kind);
        }

        Directory.CreateDirectory(folder.File("empty"));
        Refused([folder.File("empty")], "without shards");
        Refused([Write(folder, "csv", Examples())[0], Write(folder, "tar", Examples())[0]], "is no shard");

        // A whole shard that is cut off in a sidecar, and one with a sample that has none.
        byte[] shard = File.ReadAllBytes(Directory.GetFiles(Write(folder, "tar", Examples())[0])[0]);
        File.WriteAllBytes(folder.File("cut.tar"), shard[..(shard.Length / 2)]);
        Refused([folder.File("cut.tar")], "cut.tar");
        using (var writer = new TarWriter(File.Create(folder.File("bare.tar"))))
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "a.jpg") { DataStream = new MemoryStream([1]) });
        Refused([folder.File("bare.tar")], "has no a.json");
    }

    /// <summary>What is written has names of its own in the folder, which the inputs may have too.</summary>
    [Fact]
    public void AnOutputThatIsAnInputIsRefusedBeforeAnythingIsWritten()
    {
        using var folder = new TemporaryFolder();
        string data = folder.File("data"), shards = Path.Combine(data, "train");
        Directory.CreateDirectory(data);
        File.Move(Write(folder, "csv", Examples())[0], Path.Combine(data, "train.csv"));
        Directory.Move(Write(folder, "tar", Examples())[0], shards);
        var before = Directory.GetFiles(data, "*", SearchOption.AllDirectories).ToDictionary(static file => file, File.ReadAllBytes);
        foreach (string input in new[] { Path.Combine(data, "train.csv"), shards })
        {
            var refusal = Assert.Throws<BadInputException>(() => BalanceRun.Run(Request([input]), data));
            Assert.Contains("--out", refusal.Message, StringComparison.Ordinal);
        }

        Assert.Equal(before, Directory.GetFiles(data, "*", SearchOption.AllDirectories).ToDictionary(static file => file, File.ReadAllBytes));
    }

    [Fact]
    public void AnAttributeThatNoSidecarHasIsNamedAlsoWhereTheFirstShardIsEmpty()
    {
        using var folder = new TemporaryFolder();
        string shards = Write(folder, "tar", Examples())[0];
        new TarWriter(File.Create(Path.Combine(shards, "-.tar"))).Dispose();
        var refusal = Assert.Throws<BadInputException>(() => BalanceRun.Run(Request([shards]) with { Sensitive = ["sex"] }, folder.File("out")));
        Assert.Contains("no sidecar has 'sex'", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("'s'", refusal.Message, StringComparison.Ordinal);
    }

    private static string[] Keys(string shard)
    {
        var keys = new List<string>();
        using var reader = new TarReader(File.OpenRead(shard));
        while (reader.GetNextEntry() is { } entry)
        {
            if (entry.Name.EndsWith(".jpg", StringComparison.Ordinal))
                keys.Add(Path.GetFileNameWithoutExtension(entry.Name));
        }

        return [.. keys];
    }

    private static Example[] Examples()
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, Rows).Select(i =>
        {
            double s = random.NextDouble() < 0.65 ? 1 : 0;
            return new Example($"{i:d4}.jpg", s, i % 50 == 7 ? double.NaN : random.NextDouble() < 0.2 + (0.3 * s) ? 1 : 0, 0.5 + (i % 3));
        })];
    }

    private static BalanceRequest Request(string[] tables) => new()
    {
        Tables = tables,
        Sensitive = ["s"],
        Labels = ["y"],
        Utility = "u",
        WritesTrainingList = true,
        Problem = new BalanceProblem { Target = [0.5], LabelCount = 1, AssociationTolerance = 0.01, RepresentationTolerance = 0.01, Rate = 0.5, Enforcement = 20 },
    };

    /// <summary>The examples as files of one kind.</summary>
    private static string[] Write(TemporaryFolder folder, string kind, Example[] examples)
    {
        string path = folder.File("table." + kind);
        string Cell(double value) => double.IsNaN(value) ? "" : value.ToString("R", CultureInfo.InvariantCulture);
        switch (kind)
        {
            case "csv":
                File.WriteAllLines(path, examples.Select(example => $"\"{example.File}\",{Cell(example.Sensitive)},{Cell(example.Label)},{Cell(example.Utility)}").Prepend("filepath,s,y,u"));
                return [path];
            case "parquet":
                var file = new TextColumn("filepath");
                var s = new ValueColumn<bool>("s");
                var y = new ValueColumn<float>("y", isNullable: true);
                var u = new ValueColumn<double>("u");
                TableFile.Write(path, [file, s, y, u], table =>
                {
                    foreach (Example example in examples)
                    {
                        file.Add(example.File);
                        s.Add(example.Sensitive > 0);
                        y.Add(double.IsNaN(example.Label) ? null : (float)example.Label);
                        u.Add(example.Utility);
                        table.EndRow();
                    }
                });
                return [path];
            case "safetensors":
                var writer = new SafetensorsWriter(new Dictionary<string, string>());
                writer.Add("s", examples.Select(static example => (float)example.Sensitive).ToArray(), examples.Length);
                writer.Add("y", examples.Select(static example => (float)example.Label).ToArray(), examples.Length, 1);
                writer.Add("u", examples.Select(static example => (float)example.Utility).ToArray(), examples.Length);
                writer.Write(path);
                return [path];
            default:
                string shards = folder.File($"shards-{Guid.NewGuid():n}");
                Directory.CreateDirectory(shards);
                for (int part = 0; part < 2; part++)
                {
                    using var tar = new TarWriter(File.Create(Path.Combine(shards, $"{part}.tar")), TarEntryFormat.Ustar);
                    foreach (Example example in examples.Skip(part * Rows / 2).Take(Rows / 2))
                    {
                        string label = double.IsNaN(example.Label) ? "null" : Cell(example.Label);
                        void Add(string name, string text) => tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(text)) });
                        Add(example.File, "picture");
                        Add(Path.ChangeExtension(example.File, ".json"), $$"""{ "s": {{(example.Sensitive > 0 ? "true" : "false")}}, "y": {{label}}, "u": {{Cell(example.Utility)}}, "filepath": "{{example.File}}" }""");
                        Add(Path.ChangeExtension(example.File, ".txt"), "a caption");
                    }
                }

                return [shards];
        }
    }

    private sealed record Example(string File, double Sensitive, double Label, double Utility);
}
