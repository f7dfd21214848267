using System.Formats.Tar;
using System.Text;
using ClipEngine.Testing;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>Tables and shards of pairs, their weights, and the order in which they come.</summary>
public sealed class TrainingPairsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(',')]
    [InlineData('\t')]
    public void ATableIsReadAsOpenClipReadsIt(char separator)
    {
        string[] images = Images();
        File.WriteAllLines(_folder.File("pairs.csv"),
            [$"id{separator}title{separator}filepath{separator}weight", .. images.Select((image, i) => $"{i}{separator}\"a drum, or a \"\"kettle\"\"\"{separator}{image}{separator}0.{i}")]);
        using TrainingPairs pairs = TrainingPairs.Open([_folder.File("pairs.csv")]);
        Assert.Equal(images.Length, pairs.Count);
        Assert.Equal("a drum, or a \"kettle\"", pairs.Captions[0]);
        Assert.Equal([0.0, 0.1, 0.2], pairs.Weights);
        AssertBatch(pairs, [2, 0], images);
    }

    [Fact]
    public void AShardPairsImagesWithCaptionsByTheirKey()
    {
        string[] images = Images();
        using (var writer = new TarWriter(File.Create(_folder.File("shard.tar"))))
        {
            for (int i = 0; i < images.Length; i++)
            {
                // The caption first, a further member between, and a directory in the key.
                writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, $"part/{i}.txt") { DataStream = new MemoryStream(Encoding.UTF8.GetBytes($"caption {i}\n")) });
                writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, $"part/{i}.json") { DataStream = new MemoryStream([.. "{}"u8]) });
                writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, $"part/{i}.png") { DataStream = File.OpenRead(images[i]) });
            }
        }

        File.WriteAllLines(_folder.File("weights.csv"), ["row,q", "2,0.5", "0,0", "1,1"]);
        using TrainingPairs pairs = TrainingPairs.Open([_folder.File("shard.tar")], _folder.File("weights.csv"));
        Assert.Equal(["caption 0", "caption 1", "caption 2"], pairs.Captions);
        Assert.Equal([0, 1, 0.5], pairs.Weights);
        AssertBatch(pairs, [1, 2], images);
        Assert.All(pairs.Batches(2, seed: 1).Take(20), batch => Assert.Equal([1, 2], batch.Order()));
    }

    [Fact]
    public void EveryEpochIsAnotherOrderOfAllPairsAndBeginsAnywhere()
    {
        string[] images = Images();
        File.WriteAllLines(_folder.File("pairs.csv"), ["filepath,title", .. Enumerable.Range(0, 10).Select(i => $"{images[0]},{i}")]);
        using TrainingPairs pairs = TrainingPairs.Open([_folder.File("pairs.csv")]);
        int[][] batches = [.. pairs.Batches(3, seed: 5).Take(9)];
        for (int epoch = 0; epoch < 3; epoch++)
            Assert.Equal(9, batches[(3 * epoch)..((3 * epoch) + 3)].SelectMany(batch => batch).Distinct().Count());
        Assert.NotEqual(batches[0], batches[3]);
        Assert.Equal(batches[4..], pairs.Batches(3, seed: 5, first: 4).Take(5));
        Assert.NotEqual(batches[0], pairs.Batches(3, seed: 6).First());
        Assert.Contains("10 pairs", Assert.Throws<BadInputException>(() => pairs.Batches(11, seed: 5)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("filepath,caption\na.png,x\n", "no column 'title'")]
    [InlineData("filepath,title\n", "no pairs")]
    [InlineData("", "empty")]
    [InlineData("filepath,title\na.png\n", "line 2")]
    [InlineData("filepath,title,weight\na.png,x,-1\n", "at least 0")]
    [InlineData("filepath,title,weight\na.png,x,NaN\n", "at least 0")]
    [InlineData("filepath,title\na.png,\"x\n", "line 2")]
    public void ATableThatIsNoneIsRefused(string text, string reason)
    {
        File.WriteAllText(_folder.File("pairs.csv"), text);
        string message = Assert.ThrowsAny<BadInputException>(() => TrainingPairs.Open([_folder.File("pairs.csv")])).Message;
        Assert.Contains("pairs.csv", message, StringComparison.Ordinal);
        Assert.Contains(reason, message, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("row,q\n0,1\n", "without a weight is 1")]
    [InlineData("row,q\n0,1\n0,1\n", "second time")]
    [InlineData("row,q\n0,1\n2,1\n", "from 0 to 1")]
    [InlineData("row,w\n0,1\n", "no column 'q'")]
    public void WeightsThatDoNotFitAreRefused(string text, string reason)
    {
        File.WriteAllText(_folder.File("pairs.csv"), "filepath,title\na.png,x\nb.png,y\n");
        File.WriteAllText(_folder.File("weights.csv"), text);
        Assert.Contains(reason, Assert.Throws<BadInputException>(() => TrainingPairs.Open([_folder.File("pairs.csv")], _folder.File("weights.csv"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsNotThereIsNamed()
    {
        Assert.Contains("nowhere.csv", Assert.Throws<BadInputException>(() => TrainingPairs.Open([_folder.File("nowhere.csv")])).Message, StringComparison.Ordinal);
        Assert.Contains("nowhere.tar", Assert.Throws<BadInputException>(() => TrainingPairs.Open([_folder.File("nowhere.tar")])).Message, StringComparison.Ordinal);
        File.WriteAllText(_folder.File("pairs.csv"), "filepath,title\nmissing.png,x\n");
        using TrainingPairs pairs = TrainingPairs.Open([_folder.File("pairs.csv")]);
        using ClipModules clip = ClipModules.Load(Model());
        Assert.Contains("missing.png", Assert.ThrowsAny<BadInputException>(() => pairs.Batch([0], clip)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnImageWithoutACaptionIsRefused()
    {
        using (var writer = new TarWriter(File.Create(_folder.File("shard.tar"))))
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "0.png") { DataStream = File.OpenRead(Images()[0]) });
        Assert.Contains("0.txt", Assert.Throws<BadInputException>(() => TrainingPairs.Open([_folder.File("shard.tar")])).Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private static void AssertBatch(TrainingPairs pairs, int[] rows, string[] images)
    {
        using ClipModules clip = ClipModules.Load(Model());
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor pixels, TorchTensor ids, TorchTensor weights) = pairs.Batch(rows, clip);
        int side = clip.Preprocessor.Options.Height, size = 3 * side * side, length = clip.Tokenizer.ContextLength;
        float[] expected = new float[size];
        int[] expectedIds = new int[length];
        for (int i = 0; i < rows.Length; i++)
        {
            clip.Preprocessor.Preprocess(File.ReadAllBytes(images[rows[i]]), "image", expected);
            clip.Tokenizer.Encode(pairs.Captions[rows[i]], expectedIds);
            Assert.Equal(expected, pixels[i].contiguous().data<float>().ToArray());
            Assert.Equal(expectedIds, ids[i].data<int>().ToArray());
            Assert.Equal(pairs.Weights[rows[i]], weights[i].ToDouble());
        }
    }

    private static string[] Images() => [.. Directory.GetFiles(Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "probe", "images"), "scene23-*.png").Order(StringComparer.Ordinal).Take(3)];

    private static string Model() => Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "models", "large");
}
