using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests;

/// <summary>Decoding, the tower and whoever takes the features at work at once: order, failure, cancellation, and what a batch allocates.</summary>
public sealed class ClipModelPipelineTests : IDisposable
{
    private static readonly string s_tower = TestData.Path("towers", "vit-gelu");
    private static readonly string[] s_names = ["gray.jpg", "tiny.png", "lossy.webp", "plain.bmp", "cmyk.jpg", "rgba.png", "odd-422.jpg"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(32)]
    public void RowsComeInOrderAndEqualThoseOfTheWholeMatrix(int batch)
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = batch, Towers = ModelTowers.Image });
        string[] files = [.. Enumerable.Range(0, 20).Select(i => PathOf(s_names[i % s_names.Length]))];
        FeatureMatrix expected = model.EncodeImages(files);
        using var images = ImageCollection.Open(files);
        float[] found = new float[expected.Values.Length];
        int next = 0;
        var reports = new Reports();
        EncodeTimes times = model.EncodeImages(
            images,
            (first, rows) =>
            {
                Assert.Equal(next, first);
                rows.CopyTo(found.AsSpan(first * expected.Length));
                next = first + (rows.Length / expected.Length);
            },
            progress: reports);
        Assert.Equal(20, next);
        Assert.Equal(expected.Values, found);
        Assert.Equal(new EncodeProgress(20, 20), reports.All[^1] with { Times = null });
        Assert.True(times.Decode > TimeSpan.Zero && times.Encode > TimeSpan.Zero && times.Elapsed >= times.Encode);
        Assert.All(Enum.GetValues<EncodeStage>(), stage => Assert.InRange(times.Busy(stage), 0, 1));
        Assert.Equal(Enum.GetValues<EncodeStage>().Max(times.Busy), times.Busy(times.Bottleneck));
    }

    [Fact]
    public void AFailingImageInTheMiddleIsNamedAndNothingBehindItIsHandedOn()
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 2 });
        string shard = TarBuilder.Write(_folder.File("shard.tar"), Enumerable.Range(0, 21).Select(i => ($"{i:d3}.png", i == 10 ? [1, 2, 3] : File.ReadAllBytes(PathOf("tiny.png")))));
        using var images = ImageCollection.Open([shard]);
        int handed = 0;
        BadInputException exception = Assert.Throws<ImageException>(() => model.EncodeImages(images, (first, rows) => handed = first + (rows.Length / model.EmbedDimension)));
        Assert.Contains("010.png", exception.Message);
        Assert.Contains(shard, exception.Message);
        Assert.InRange(handed, 0, 10);
    }

    [Theory]
    [InlineData(21, new[] { 0, 10, 11, 20 })]
    [InlineData(4, new[] { 0, 1, 2, 3 })]
    [InlineData(1, new[] { 0 })]
    [InlineData(5, new int[0])]
    public void SkippedImagesHaveNoRowAndAllOthersKeepTheirs(int count, int[] bad)
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 2 });
        string[] good = ["tiny.png", "one.png", "gray.jpg", "small.png"];
        string shard = TarBuilder.Write(_folder.File("bad.tar"), Enumerable.Range(0, count).Select(i => ($"{i:d3}.png", bad.Contains(i) ? [1, 2, 3] : File.ReadAllBytes(PathOf(good[i % 4])))));
        using var images = ImageCollection.Open([shard]);
        var found = new List<float>();
        var skipped = new List<int>();
        model.EncodeImages(images, (first, rows) =>
        {
            Assert.Equal(found.Count / model.EmbedDimension, first);
            found.AddRange(rows);
        }, skipped: (index, refusal) =>
        {
            Assert.Contains($"{index:d3}.png", refusal.Message);
            skipped.Add(index);
        });
        Assert.Equal(bad, skipped);
        string[] kept = [.. Enumerable.Range(0, count).Where(i => !bad.Contains(i)).Select(i => PathOf(good[i % 4]))];
        Assert.Equal(kept.Length == 0 ? [] : model.EncodeImages(kept).Values, found);
    }

    [Fact]
    public void WhatTheTakerThrowsReachesTheCaller()
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 1 });
        using var images = ImageCollection.Open(Enumerable.Repeat(PathOf("tiny.png"), 50));
        int calls = 0;
        var exception = Assert.Throws<IOException>(() => model.EncodeImages(images, (_, _) =>
        {
            calls++;
            throw new IOException("the disk is full");
        }));
        Assert.Equal("the disk is full", exception.Message);
        Assert.Equal(1, calls);
    }

    [Fact]
    public void CancellingStopsBetweenBatches()
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 1 });
        using var images = ImageCollection.Open(Enumerable.Repeat(PathOf("tiny.png"), 5000));
        using var cancellation = new CancellationTokenSource();
        int handed = 0;
        Assert.ThrowsAny<OperationCanceledException>(() => model.EncodeImages(
            images,
            (first, _) =>
            {
                handed = first;
                if (first == 5)
                    cancellation.Cancel();
            },
            cancellationToken: cancellation.Token));
        Assert.InRange(handed, 5, 4000);
    }

    [Fact]
    public void NoImagesGiveNoRows()
    {
        using ClipModel model = ClipModel.Load(s_tower);
        using var images = ImageCollection.Open([]);
        model.EncodeImages(images, (_, _) => Assert.Fail("there is nothing to hand on"));
        Assert.Equal(0, model.EncodeImages(Array.Empty<string>()).Count);
    }

    [Fact]
    public async Task TwoAtOnceShareAModelAndAShard()
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 3 });
        string shard = TarBuilder.Write(_folder.File("shard.tar"), s_names.Select(name => (name, File.ReadAllBytes(PathOf(name)))));
        float[] expected = model.EncodeImages([.. s_names.Select(PathOf)]).Values;
        using var images = ImageCollection.Open([shard]);
        float[][] found = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            float[] values = new float[expected.Length];
            model.EncodeImages(images, (first, rows) => rows.CopyTo(values.AsSpan(first * model.EmbedDimension)));
            return values;
        })));
        Assert.All(found, values => Assert.Equal(expected, values));
    }

    [Fact]
    public void ASteadyStateAllocatesNothingOnTheTowersThreadNorOnTheTakers()
    {
        using ClipModel model = ClipModel.Load(s_tower, new ClipModelOptions { BatchSize = 2 });
        string shard = TarBuilder.Write(_folder.File("shard.tar"), Enumerable.Range(0, 200).Select(i => ($"{i:d3}.png", File.ReadAllBytes(PathOf("tiny.png")))));
        using var images = ImageCollection.Open([shard]);
        var tower = new Allocations();
        var taker = new Allocations();
        model.EncodeImages(images, (_, _) => taker.Look(), progress: tower);
        Assert.Equal(0, tower.Least);
        Assert.Equal(0, taker.Least);
    }

    [Fact]
    public void ReadingAMemberAllocatesNothing()
    {
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 16, Width = 16 });
        string shard = TarBuilder.Write(_folder.File("shard.tar"), [("a.png", File.ReadAllBytes(PathOf("tiny.png")))]);
        using var images = ImageCollection.Open([shard]);
        float[] pixels = new float[preprocessor.ElementCount];
        var allocations = new Allocations();
        for (int i = 0; i < 200; i++)
        {
            images.Preprocess(0, preprocessor, pixels);
            allocations.Look();
        }

        Assert.Equal(0, allocations.Least);
    }

    [Fact]
    public void ATowerThatIsLeftOutTakesNoMemoryAndRefusesToRun()
    {
        using ClipModel both = ClipModel.Load(s_tower), image = ClipModel.Load(s_tower, new ClipModelOptions { Towers = ModelTowers.Image }), text = ClipModel.Load(s_tower, new ClipModelOptions { Towers = ModelTowers.Text });
        Assert.Equal(both.WeightBytes, image.WeightBytes + text.WeightBytes);
        Assert.True(image.WeightBytes > 0 && text.WeightBytes > 0);
        float[] pixels = new float[3 * image.Encoder.Preprocess.Height * image.Encoder.Preprocess.Width], features = new float[image.EmbedDimension], expected = new float[features.Length];
        image.EncodePixels(pixels, features);
        both.EncodePixels(pixels, expected);
        Assert.Equal(expected, features);
        Assert.Contains("text tower", Assert.Throws<InvalidOperationException>(() => image.EncodeTokens([1, 2], 2, new float[image.EmbedDimension])).Message);
        Assert.Contains("image tower", Assert.Throws<InvalidOperationException>(() => text.EncodePixels(pixels, features)).Message);
    }

    [Fact]
    public void AnUntrainedModelHasTheRealSizeAndTheSameWeightsEachTime()
    {
        using ClipModel first = ClipModel.CreateUntrained("ViT-S-32-alt"), second = ClipModel.CreateUntrained("ViT-S-32-alt", new ClipModelOptions { Towers = ModelTowers.Image });
        Assert.InRange(first.WeightBytes, 43.22e6 * sizeof(float), 43.3e6 * sizeof(float)); // parameters as open_clip's profile has them, and padding
        Assert.Contains("random weights", first.Notices[0]);
        float[] pixels = new float[3 * 224 * 224], left = new float[first.EmbedDimension], right = new float[left.Length];
        Array.Fill(pixels, 0.5f);
        first.EncodePixels(pixels, left);
        second.EncodePixels(pixels, right);
        Assert.Equal(left, right);
        Assert.Equal(1, left.Sum(value => (double)value * value), 1e-5);
        Assert.Contains("ViT-S-33", Assert.Throws<BadInputException>(() => ClipModel.CreateUntrained("ViT-S-33")).Message);
    }

    private static string PathOf(string name) => TestData.Path("preprocess", "images", name);

    private sealed class Reports : IProgress<EncodeProgress>
    {
        public List<EncodeProgress> All { get; } = [];

        public void Report(EncodeProgress value) => All.Add(value);
    }

    /// <summary>What a thread allocates from one look to the next on it. Tiered compilation's bookkeeping and a wait are not steady: the least counts.</summary>
    private sealed class Allocations : IProgress<EncodeProgress>
    {
        private long _last;
        private int _thread = -1;

        public long Least { get; private set; } = long.MaxValue;

        public void Report(EncodeProgress value) => Look();

        public void Look()
        {
            long now = GC.GetAllocatedBytesForCurrentThread();
            if (_thread == Environment.CurrentManagedThreadId)
                Least = Math.Min(Least, now - _last);
            _last = now;
            _thread = Environment.CurrentManagedThreadId;
        }
    }
}
