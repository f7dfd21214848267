using System.Runtime.CompilerServices;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.PublicApi.Tests;

/// <summary>Calls that do not hold up their caller, streams of images, and named answers, over a real tower.</summary>
public sealed class AsyncTests : IDisposable
{
    private static readonly string[] s_names = ["gray.jpg", "tiny.png", "lossy.webp", "plain.bmp", "cmyk.jpg", "rgba.png", "odd-422.jpg"];
    private readonly ClipModel _model = ClipModel.Load(TestData.DemoPath("models", "small"), new ClipModelOptions { BatchSize = 3 });

    public void Dispose() => _model.Dispose();

    [Fact]
    public async Task AsynchronousCallsGiveTheSameBits()
    {
        string[] files = [.. Enumerable.Range(0, 20).Select(i => PathOf(s_names[i % s_names.Length]))];
        FeatureMatrix expected = _model.EncodeImages(files);
        Assert.Equal(expected.Values, (await _model.EncodeImagesAsync(files)).Values);
        Assert.Equal(expected[5].ToArray(), await _model.EncodeImageAsync(files[5]));
        Assert.Equal(expected[5].ToArray(), _model.EncodeImage(files[5]));
        Assert.Equal(_model.EncodeTexts(["a", "b"]).Values, (await _model.EncodeTextsAsync(["a", "b"])).Values);
        Assert.Equal(0, (await _model.EncodeImagesAsync(Array.Empty<string>())).Count);
        ImageInput[] mixed = [files[0], ImageInput.FromBytes(File.ReadAllBytes(files[1])), ImageInput.FromStream(File.OpenRead(files[2])), files[3]];
        Assert.Equal(expected.Values[..(4 * expected.Length)], (await _model.EncodeImagesAsync(mixed)).Values);
        using ClipModel loaded = await ClipModel.LoadAsync(TestData.DemoPath("models", "small"));
        Assert.Equal(expected[5].ToArray(), loaded.EncodeImage(files[5]));
    }

    [Fact]
    public async Task AnswersHaveNames()
    {
        string[] labels = ["a dog", "a cat", "a bird", "a fish"], templates = ["a photo of {}.", "{}"];
        string[] files = [.. s_names.Select(PathOf)];
        Classification answer = await _model.ClassifyAsync([.. files], labels, templates);
        Assert.Equal(files.Length, answer.Count);
        FeatureMatrix images = _model.EncodeImages(files), features = _model.EncodeLabels(labels, templates);
        for (int image = 0; image < files.Length; image++)
        {
            double[] odds = [.. labels.Select((_, label) => Math.Exp(_model.Encoder.LogitScale * Dot(images[image], features[label])))];
            for (int label = 0; label < labels.Length; label++)
                Assert.Equal(odds[label] / odds.Sum(), answer[image].Probabilities[label], 1e-4);
            int best = Array.IndexOf(odds, odds.Max());
            Assert.Equal((labels[best], answer[image].Probabilities[best]), (answer[image].Label, answer[image].Probability));
            Assert.Equal(answer[image].Label, answer[image][0].Label);
            Assert.Equal(answer[image].OrderByDescending(item => item.Probability), answer[image]);
            Assert.Equal(labels.Order(), answer[image].Select(item => item.Label).Order());
        }

        ImageClassification one = await _model.ClassifyAsync(files[0], labels, templates);
        Assert.Equal(answer[0].Probabilities.ToArray(), one.Probabilities.ToArray());
        Assert.Equal(answer.Probabilities.ToArray(), _model.Classify(files, labels, templates).Probabilities.ToArray());
        using ZeroShotClassifier classifier = await _model.CreateClassifierAsync(labels, templates);
        Assert.Equal(answer.Probabilities.ToArray(), classifier.Classify(images).Probabilities.ToArray());
        Assert.Empty(classifier.Classify([]));
    }

    [Fact]
    public async Task AStreamComesOutInOrderHoweverItIsBatched()
    {
        string[] files = [.. Enumerable.Range(0, 40).Select(i => PathOf(s_names[i % s_names.Length]))];
        FeatureMatrix expected = _model.EncodeImages(files);
        long next = 0;
        await foreach (ImageFeatures features in _model.EncodeImagesAsync(Stream(files)))
        {
            Assert.Equal(next, features.Index);
            Assert.Equal(files[next], features.Name);
            Assert.Equal(expected[(int)next].ToArray(), features.Values);
            next++;
        }

        Assert.Equal(files.Length, next);
    }

    [Fact]
    public async Task AStreamThatPausesIsNotWaitedFor()
    {
        var more = new TaskCompletionSource();
        await using IAsyncEnumerator<ImageFeatures> features = _model.EncodeImagesAsync(Pausing()).GetAsyncEnumerator();
        Assert.True(await features.MoveNextAsync());
        Assert.Equal(PathOf("gray.jpg"), features.Current.Name); // though the batch of three is not full
        more.SetResult();
        Assert.True(await features.MoveNextAsync());
        Assert.False(await features.MoveNextAsync());

        async IAsyncEnumerable<ImageInput> Pausing()
        {
            yield return PathOf("gray.jpg");
            await more.Task;
            yield return PathOf("tiny.png");
        }
    }

    [Fact]
    public async Task ARefusedImageOfAStreamIsNamedBehindAllThatCameBeforeIt()
    {
        string[] files = [.. Enumerable.Repeat(PathOf("tiny.png"), 7), "missing.png", .. Enumerable.Repeat(PathOf("tiny.png"), 50)];
        int seen = 0;
        var exception = await Assert.ThrowsAsync<ImageException>(async () =>
        {
            await foreach (ImageFeatures _ in _model.EncodeImagesAsync(Stream(files)))
                seen++;
        });
        Assert.Equal("missing.png", exception.InputSource);
        Assert.Equal(7, seen);
        Assert.Equal("missing.png", (await Assert.ThrowsAsync<ImageException>(() => _model.EncodeImagesAsync(files))).InputSource);
    }

    [Fact]
    public async Task LeavingAStreamEarlyEndsIt()
    {
        int asked = 0;
        bool isOver = false;
        await foreach (ImageFeatures features in _model.EncodeImagesAsync(Endless()))
        {
            if (features.Index == 4)
                break;
        }

        Assert.True(isOver); // the source's own clean-up has run
        Assert.InRange(asked, 5, 4 + 1 + (4 * 3));

        async IAsyncEnumerable<ImageInput> Endless([EnumeratorCancellation] CancellationToken cancellation = default)
        {
            try
            {
                while (!cancellation.IsCancellationRequested)
                {
                    asked++;
                    yield return PathOf("tiny.png");
                    await Task.Yield();
                }
            }
            finally
            {
                isOver = true;
            }
        }
    }

    [Fact]
    public async Task CancellationReachesAStreamThatWaits()
    {
        using var cancellation = new CancellationTokenSource();
        bool isOver = false;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ImageFeatures _ in _model.EncodeImagesAsync(Waiting(), cancellationToken: cancellation.Token))
                await cancellation.CancelAsync();
        });
        Assert.True(isOver);

        async IAsyncEnumerable<ImageInput> Waiting([EnumeratorCancellation] CancellationToken cancellation = default)
        {
            try
            {
                yield return PathOf("tiny.png");
                await Task.Delay(Timeout.Infinite, cancellation);
            }
            finally
            {
                isOver = true;
            }
        }
    }

    [Fact]
    public async Task EveryCallHeedsATokenThatIsCancelledAlready()
    {
        using var cancellation = new CancellationTokenSource();
        await cancellation.CancelAsync();
        CancellationToken token = cancellation.Token;
        string file = PathOf("tiny.png");
        string[] labels = ["a"];
        FeatureMatrix images = _model.EncodeImages([file]), texts = _model.EncodeTexts(labels);
        using ZeroShotClassifier classifier = _model.CreateClassifier(labels);
        float[] features = new float[_model.EmbedDimension], pixels = new float[3 * _model.Encoder.Preprocess.Height * _model.Encoder.Preprocess.Width];
        Action[] calls =
        [
            () => ClipModel.Load(TestData.DemoPath("models", "small"), cancellationToken: token),
            () => _model.EncodeImage(file, cancellationToken: token),
            () => _model.EncodeImage(new ImagePixels(new byte[3], 1, 1), features, cancellationToken: token),
            () => _model.EncodeImages([file], cancellationToken: token),
            () => _model.EncodeImages([file, file], cancellationToken: token),
            () => _model.EncodeImages([ImageInput.FromFile(file)], cancellationToken: token),
            () => _model.EncodeTexts(labels, cancellationToken: token),
            () => _model.EncodeLabels(labels, cancellationToken: token),
            () => _model.EncodePixels(pixels, features, cancellationToken: token),
            () => _model.EncodeTokens([49406, 49407], 2, features, cancellationToken: token),
            () => _model.Classify([file], labels, cancellationToken: token),
            () => _model.Classify(images, labels, texts, token),
            () => classifier.Classify(images, token),
            () => classifier.Classify([file], token),
        ];
        Assert.All(calls, call => Assert.ThrowsAny<OperationCanceledException>(call));
        Func<Task>[] asynchronous =
        [
            () => ClipModel.LoadAsync(TestData.DemoPath("models", "small"), cancellationToken: token),
            () => _model.EncodeImageAsync(file, cancellationToken: token),
            () => _model.EncodeImagesAsync([file], cancellationToken: token),
            () => _model.EncodeImagesAsync([ImageInput.FromFile(file)], cancellationToken: token),
            () => _model.EncodeTextsAsync(labels, cancellationToken: token),
            () => _model.CreateClassifierAsync(labels, cancellationToken: token),
            () => _model.ClassifyAsync([file], labels, cancellationToken: token),
            () => _model.ClassifyAsync(file, labels, cancellationToken: token),
            () => classifier.ClassifyAsync([file], token),
            () => classifier.ClassifyAsync(file, token),
        ];
        foreach (Func<Task> call in asynchronous)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(call);
    }

    private static async IAsyncEnumerable<ImageInput> Stream(IEnumerable<string> files)
    {
        foreach (string file in files)
        {
            await Task.Yield();
            yield return file;
        }
    }

    private static double Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0;
        for (int i = 0; i < left.Length; i++)
            sum += (double)left[i] * right[i];
        return sum;
    }

    private static string PathOf(string name) => TestData.Path("preprocess", "images", name);
}
