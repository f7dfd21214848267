using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.PublicApi.Tests;

/// <summary>What one image a call costs besides time. Alone, since memory and threads are the process's.</summary>
[Collection(nameof(Alone))]
public sealed class OneImageTests : IDisposable
{
    private const int Calls = 50;

    private readonly Watched _preprocessor = new();
    private readonly ClipModel _model;
    private readonly string _file = TestData.Path("preprocess", "images", "gray.jpg");

    public OneImageTests() => _model = ClipModel.CreateUntrained("ViT-S-32-alt", new ClipModelOptions { Preprocessor = _preprocessor }); // 224 x 224: the pixels alone are 602 kB

    public void Dispose() => _model.Dispose();

    [Fact]
    public void ItsMemoryIsSmallAndItsWorkIsDoneOnTheCallersThread()
    {
        byte[] encoded = File.ReadAllBytes(_file);
        DecodedImage decoded = ImagePreprocessor.Decode(encoded, _file);
        float[] features = new float[_model.EmbedDimension];
        Measure(() => _model.EncodeImages([_file]));
        Measure(() =>
        {
            using var images = ImageCollection.Open([_file]);
            _model.EncodeImages(images, (_, rows) => Assert.Equal(_model.EmbedDimension, rows.Length));
        });
        Measure(() => _model.EncodeImages([ImageInput.FromBytes(encoded)]));
        Measure(() => _model.EncodeImage(_file));
        Measure(() => _model.EncodeImage(ImageInput.FromStream(new MemoryStream(encoded))));
        Assert.InRange(Measure(() => _model.EncodeImage(new ImagePixels(decoded.Rgb, decoded.Width, decoded.Height), features)), 0, 200);
    }

    [Fact]
    public async Task AnAsynchronousCallTakesNoLargeObjectEither()
    {
        await _model.EncodeImageAsync(_file);
        long before = LargeObjects();
        for (int i = 0; i < Calls; i++)
            await _model.EncodeImageAsync(_file);
        Assert.InRange(LargeObjects() - before, long.MinValue, 0);
    }

    /// <summary>Bytes that a call allocates on its thread, from the second call on.</summary>
    private long Measure(Action call)
    {
        call();
        _preprocessor.Threads.Clear();
        long large = LargeObjects(), start = GC.GetAllocatedBytesForCurrentThread(), total = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < Calls; i++)
            call();
        long one = (GC.GetAllocatedBytesForCurrentThread() - start) / Calls, all = (GC.GetTotalAllocatedBytes(precise: true) - total) / Calls;
        Assert.InRange(one, 0, 10_000);
        Assert.InRange(all, 0, 20_000); // what the collector and the jit do in between is not ours, but no image fits in it
        Assert.InRange(LargeObjects() - large, long.MinValue, 0);
        Assert.Equal([Environment.CurrentManagedThreadId], _preprocessor.Threads);
        return one;
    }

    private static long LargeObjects()
    {
        GC.Collect(2, GCCollectionMode.Forced, blocking: true);
        return GC.GetGCMemoryInfo(GCKind.FullBlocking).GenerationInfo[3].SizeAfterBytes;
    }

    /// <summary>Notes the threads that images are decoded on.</summary>
    private sealed class Watched : IImagePreprocessor
    {
        private readonly ImagePreprocessor _inner = new(new PreprocessOptions { Height = 224, Width = 224 });

        public HashSet<int> Threads { get; } = [];

        public PreprocessOptions Options => _inner.Options;

        public void Crop(ReadOnlySpan<byte> encoded, string name, Span<byte> crop) => _inner.Crop(encoded, name, crop);

        public void Preprocess(ReadOnlySpan<byte> encoded, string name, Span<float> pixels)
        {
            Note();
            _inner.Preprocess(encoded, name, pixels);
        }

        public void Preprocess(in ImagePixels image, string name, Span<float> pixels)
        {
            Note();
            _inner.Preprocess(image, name, pixels);
        }

        private void Note()
        {
            lock (Threads)
                Threads.Add(Environment.CurrentManagedThreadId);
        }
    }
}

/// <summary>Tests that nothing else may run beside.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
