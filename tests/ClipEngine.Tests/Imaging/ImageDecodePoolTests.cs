using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

public class ImageDecodePoolTests
{
    private const int Length = 6;

    [Theory]
    [InlineData(0, 4, 2)]
    [InlineData(1, 4, 3)]
    [InlineData(7, 1, 2)]
    [InlineData(50, 7, 4)]
    [InlineData(64, 8, 1)]
    public void BatchesComeInOrderWhateverTheThreads(int count, int batchSize, int threads)
    {
        using var reader = new ImageDecodePool(count, Length, batchSize, threads, Fill, default);
        int seen = 0;
        while (reader.TryTake(out ImageBatch batch))
        {
            Assert.Equal(seen, batch.First);
            Assert.Equal(Math.Min(batchSize, count - seen), batch.Count);
            Assert.Equal(batch.Count * Length, batch.Pixels.Length);
            for (int i = 0; i < batch.Count; i++)
            {
                for (int k = 0; k < Length; k++)
                    Assert.Equal(((seen + i) * Length) + k, batch.Pixels[(i * Length) + k]);
            }

            seen += batch.Count;
        }

        Assert.Equal(count, seen);
    }

    [Fact]
    public void ARefusedImageLeavesZerosAndItsReasonAndNothingElseIsLost()
    {
        using var reader = new ImageDecodePool(10, Length, 4, 2, (index, pixels) =>
        {
            Fill(index, pixels);
            if (index is 2 or 3 or 9)
                throw new ImageException($"image {index}", ImageProblem.Corrupt, "broken");
        }, default);
        var refused = new List<string>();
        while (reader.TryTake(out ImageBatch batch))
        {
            for (int i = 0; i < batch.Count; i++)
            {
                if (batch.Refusals[i] is { } refusal)
                    refused.Add(refusal.InputSource);
                Assert.Equal(batch.Refusals[i] is null && batch.First + i > 0 ? (batch.First + i) * Length : 0, batch.Pixels[i * Length]);
            }

            if (batch.First == 0)
                Assert.Equal("image 2", Assert.Throws<ImageException>(Refused(batch)).InputSource);
            else if (batch.First == 4)
                batch.ThrowIfRefused();
        }

        Assert.Equal(["image 2", "image 3", "image 9"], refused);

        static Action Refused(ImageBatch batch)
        {
            BadInputException?[] refusals = batch.Refusals.ToArray();
            return () => new ImageBatch(0, 4, default, refusals).ThrowIfRefused();
        }
    }

    [Fact]
    public void DecodingNeverRunsFurtherAheadThanItsBuffers()
    {
        int started = 0;
        using var reader = new ImageDecodePool(1000, Length, 5, 3, (index, pixels) => Interlocked.Increment(ref started), default);
        for (int taken = 1; reader.TryTake(out ImageBatch _); taken++)
            Assert.True(Volatile.Read(ref started) <= (taken + ImageDecodePool.BatchesAhead) * 5);
        Assert.Equal(1000, started);
    }

    [Fact]
    public async Task CancellingEndsTheWorkAndTheWait()
    {
        using var cancellation = new CancellationTokenSource();
        using var release = new ManualResetEventSlim();
        int started = 0;
        var reader = new ImageDecodePool(100, Length, 4, 2, (index, pixels) =>
        {
            Interlocked.Increment(ref started);
            release.Wait();
        }, cancellation.Token);
        Task taking = Task.Run(() => Assert.Throws<OperationCanceledException>(() => reader.TryTake(out ImageBatch _)));
        await cancellation.CancelAsync();
        await taking;
        release.Set();
        reader.Dispose();
        Assert.True(started <= 2);
    }

    [Fact]
    public void AFailureThatIsNoRefusalReachesTheTaker()
    {
        using var reader = new ImageDecodePool(100, Length, 4, 2, (index, pixels) => throw new InvalidOperationException("a bug"), default);
        Assert.Equal("a bug", Assert.Throws<InvalidOperationException>(() => reader.TryTake(out ImageBatch _)).Message);
    }

    [Fact]
    public void FilesAreReadWithWhatIsWrongAboutThem()
    {
        using var folder = new TemporaryFolder();
        string[] files = [TestData.Path("preprocess", "images", "gray.jpg"), folder.File("missing.png"), folder.Root, TestData.Path("preprocess", "golden.json")];
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 16, Width = 16 });
        var expected = new float[preprocessor.ElementCount];
        preprocessor.Preprocess(File.ReadAllBytes(files[0]), files[0], expected);

        using var reader = new ImageDecodePool(files.Length, preprocessor.ElementCount, 8, 2, (index, pixels) => preprocessor.PreprocessFile(files[index], pixels), default);

        Assert.True(reader.TryTake(out ImageBatch batch));
        Assert.True(batch.Pixels[..expected.Length].SequenceEqual(expected));
        ImageProblem?[] problems = [.. batch.Refusals.ToArray().Select(refusal => (refusal as ImageException)?.Kind)];
        Assert.Equal([null, ImageProblem.Unreadable, ImageProblem.Unreadable, ImageProblem.NotAnImage], problems);
        Assert.Equal(files[1], batch.Refusals[1]!.InputSource);
        Assert.True(reader.DecodeTime > TimeSpan.Zero);
    }

    [Fact]
    public void TheTailOfALargeFileIsReadOnlyWhereTheImageNeedsIt()
    {
        using var folder = new TemporaryFolder();
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 16, Width = 16 });
        byte[] image = File.ReadAllBytes(TestData.Path("preprocess", "images", "gray.jpg"));
        var expected = new byte[preprocessor.ElementCount];
        preprocessor.Crop(image, "gray.jpg", expected);
        var crop = new byte[preprocessor.ElementCount];

        // A sparse tail: more than may be read at all.
        using (FileStream stream = File.Create(folder.File("polyglot.jpg")))
        {
            stream.Write(image);
            stream.SetLength((1L << 30) + (1 << 20));
        }

        preprocessor.CropFile(folder.File("polyglot.jpg"), crop);
        Assert.Equal(expected, crop);

        // An uncompressed image larger than the first part: 5000 x 5000 x 3 bytes.
        byte[] bmp = ImageFiles.Bmp(5000, 5000, 24, 54, 5000 * 5000 * 3);
        bmp.AsSpan(54).Fill(99);
        File.WriteAllBytes(folder.File("large.bmp"), bmp);
        preprocessor.CropFile(folder.File("large.bmp"), crop);
        Assert.All(crop, value => Assert.Equal(99, value));
    }

    private static void Fill(int index, Span<float> pixels)
    {
        for (int k = 0; k < pixels.Length; k++)
            pixels[k] = (index * Length) + k;
    }
}
