using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using Microsoft.Extensions.AI;

namespace ClipEngine.PublicApi.Tests;

/// <summary>The front door over an architecture, a backend, a tokenizer and a preprocessor that were all added from outside.</summary>
public sealed class ClipModelTests : IDisposable
{
    private const int PixelCount = 3 * ToyFamily.Side * ToyFamily.Side;

    private readonly TemporaryFolder _folder = new();
    private readonly ToyBackend _backend = new();
    private readonly IDisposable _registration = ModelFamilies.Register(new ToyFamily());
    private readonly float[] _image = Numbers(1, ToyFamily.Dimension * PixelCount);
    private readonly float[] _table = Numbers(2, ToyFamily.Vocabulary * ToyFamily.Dimension);
    private readonly float[] _positions = Numbers(3, ToyFamily.Context * ToyFamily.Dimension);

    public ClipModelTests()
    {
        ToyFamily.Write(_folder.Root, _image, _table, _positions);
    }

    public void Dispose()
    {
        _registration.Dispose();
        _folder.Dispose();
        _backend.Dispose();
    }

    [Fact]
    public void ImagesOfAnyNumberComeOutInTheirOrder()
    {
        string[] files = WriteImages(7);
        using ClipModel model = Load(batchSize: 3);
        FeatureMatrix features = model.EncodeImages(files, normalize: false);
        Assert.Equal(new Shape(7, ToyFamily.Dimension), features.Shape);
        for (int i = 0; i < files.Length; i++)
        {
            byte[] pixels = File.ReadAllBytes(files[i]);
            for (int d = 0; d < ToyFamily.Dimension; d++)
                Assert.Equal(Enumerable.Range(0, PixelCount).Sum(p => (double)_image[(d * PixelCount) + p] * (pixels[p] / 255f)), features[i][d], 1e-5);
        }
    }

    [Fact]
    public void NormalisedFeaturesHaveLengthOneAndTheSameDirection()
    {
        string[] files = WriteImages(2);
        using ClipModel model = Load();
        FeatureMatrix raw = model.EncodeImages(files, normalize: false), normalized = model.EncodeImages(files);
        float[] expected = raw.Normalized().Values;
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], normalized.Values[i], 1e-6);
        Assert.Equal(1, normalized[1].ToArray().Sum(value => (double)value * value), 1e-6);
    }

    [Fact]
    public void SentencesThatAreCutAreNamed()
    {
        using ClipModel model = Load(batchSize: 2);
        FeatureMatrix features = model.EncodeTexts(["a", "abcdefgh", "ab", "jihgfedcba", ""], normalize: false);
        Assert.Equal([1, 3], features.Truncated);
        double expected = ((_table[ToyFamily.Dimension] + _table[2 * ToyFamily.Dimension] + (2.0 * _table[0]))
            + Enumerable.Range(0, ToyFamily.Context).Sum(t => (double)_positions[t * ToyFamily.Dimension])) / ToyFamily.Context;
        Assert.Equal(expected, features[2][0], 1e-5);
    }

    [Fact]
    public void NoInputIsNoRow()
    {
        using ClipModel model = Load();
        Assert.Equal(0, model.EncodeImages(Array.Empty<string>()).Count);
        Assert.Equal(0, model.EncodeTexts([]).Count);
    }

    [Fact]
    public void ProbabilitiesAreTheSoftmaxOfScaledCosines()
    {
        string[] files = WriteImages(3);
        using ClipModel model = Load();
        Classification result = model.Classify(files, ["a", "b", "c"], ["{}d", "d{}"]);
        FeatureMatrix images = model.EncodeImages(files), prompts = model.EncodeTexts(["ad", "da", "bd", "db", "cd", "dc"]);
        for (int image = 0; image < files.Length; image++)
        {
            double[] logits = new double[3];
            for (int label = 0; label < 3; label++)
            {
                double[] sum = [.. prompts[2 * label].ToArray().Zip(prompts[(2 * label) + 1].ToArray(), (a, b) => (double)a + b)];
                double length = Math.Sqrt(sum.Sum(value => value * value));
                logits[label] = 10 * sum.Zip(images[image].ToArray(), (a, b) => a / length * b).Sum();
            }

            double total = logits.Sum(Math.Exp);
            for (int label = 0; label < 3; label++)
                Assert.Equal(Math.Exp(logits[label]) / total, result[image].Probabilities[label], 1e-5);
            Assert.Equal(logits.Max(), logits[result[image].BestIndex]);
        }
    }

    [Fact]
    public void ATemplateWithoutAPlaceForTheLabelIsRefused()
    {
        using ClipModel model = Load();
        Assert.Contains("{}", Assert.Throws<BadInputException>(() => model.EncodeLabels(["a"], ["a photo"])).Message);
    }

    [Fact]
    public void TheFirstUnreadableImageIsNamed()
    {
        string[] files = WriteImages(6);
        File.WriteAllText(files[4], "short");
        File.Delete(files[2]);
        using ClipModel model = Load(batchSize: 2);
        var exception = Assert.ThrowsAny<BadInputException>(() => model.EncodeImages(files));
        Assert.Equal(files[2], exception.InputSource);
    }

    [Fact]
    public void CancellationEndsTheWorkBetweenBatches()
    {
        string[] files = WriteImages(6);
        using ClipModel model = Load(batchSize: 1);
        using var cancellation = new CancellationTokenSource();
        var seen = new List<EncodeProgress>();
        var progress = new Immediate(value =>
        {
            seen.Add(value);
            if (value.Done == 2)
                cancellation.Cancel();
        });
        Assert.ThrowsAny<OperationCanceledException>(() => model.EncodeImages(files, progress: progress, cancellationToken: cancellation.Token));
        Assert.Equal([(1, 6), (2, 6)], seen.Select(value => (value.Done, value.Total)));
        Assert.ThrowsAny<OperationCanceledException>(() => model.EncodeTexts(["a"], cancellationToken: cancellation.Token));
    }

    [Fact]
    public void DisposingReleasesTheWeightsAndNotTheCallersBackend()
    {
        ClipModel model = Load();
        model.EncodeTexts(["a"]);
        Assert.Equal(3, _backend.LiveWeights);
        model.Dispose();
        model.Dispose();
        Assert.Equal((0, 0), (_backend.LiveWeights, _backend.LivePasses));
        Assert.Throws<ObjectDisposedException>(() => model.EncodeTexts(["a"]));
    }

    [Fact]
    public void EverythingThatDoesNotFitIsNamedAtOnceAndNothingIsKept()
    {
        var writer = new SafetensorsWriter();
        writer.Add("image.weight", new float[6], 2, 3);
        writer.Add("text.positions", _positions, ToyFamily.Context, ToyFamily.Dimension);
        writer.Add("logit_scale", new float[1], 1);
        writer.Add("left.over", new float[1], 1);
        writer.Write(_folder.File("open_clip_model.safetensors"));
        var exception = Assert.Throws<CheckpointException>(() => Load());
        Assert.Contains("image.weight", exception.Message);
        Assert.Contains("text.table", exception.Message);
        Assert.Contains("left.over", exception.Message);
        Assert.Equal(0, _backend.LiveWeights);
    }

    [Fact]
    public void WeightsWithoutAConfigurationAreRefusedWithWhatToDo()
    {
        File.Move(_folder.File("open_clip_config.json"), _folder.File("other.json"));
        Assert.Contains("--config", Assert.Throws<BadInputException>(() => Load()).Message);
        using ClipModel model = ClipModel.Load(_folder.File("open_clip_model.safetensors"), Options() with { ConfigurationPath = _folder.File("other.json") });
        Assert.Equal(["a toy"], model.Notices);
        Assert.Throws<BadInputException>(() => ClipModel.Load(_folder.File("nowhere"), Options()));
    }

    [Fact]
    public async Task SentencesAndImagesAreEmbeddingsOfTheAbstractions()
    {
        byte[] pixels = File.ReadAllBytes(WriteImages(1)[0]);
        using ClipModel model = Load();
        using IEmbeddingGenerator<string, Embedding<float>> texts = model.AsTextEmbeddingGenerator("toy");
        using IEmbeddingGenerator<DataContent, Embedding<float>> images = model.AsImageEmbeddingGenerator("toy");
        GeneratedEmbeddings<Embedding<float>> sentences = await texts.GenerateAsync(["ab", "cd"]);
        Assert.Equal(model.EncodeTexts(["ab", "cd"])[1].ToArray(), sentences[1].Vector.ToArray());
        Embedding<float> image = (await images.GenerateAsync([new DataContent(pixels, "image/png")]))[0];
        Assert.Equal(ToyFamily.Dimension, image.Vector.Length);
        Assert.Equal("toy", image.ModelId);
        Assert.Equal(ToyFamily.Dimension, texts.GetService<EmbeddingGeneratorMetadata>()!.DefaultModelDimensions);
        await Assert.ThrowsAsync<ArgumentException>(() => texts.GenerateAsync(["a"], new EmbeddingGenerationOptions { Dimensions = 3 }));
    }

    [Fact]
    public void APairScorerScoresWhatOutlivesAPass()
    {
        using ClipModel model = Load();
        var scorer = (IPairScorer)model.Encoder;
        float[] pixels = Numbers(9, PixelCount), kept = new float[ToyFamily.Dimension], scores = new float[2 * ToyFamily.Dimension];
        PreparedImage image;
        using (IPass pass = _backend.BeginPass())
        {
            Tensor tokens = scorer.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(1, 3, ToyFamily.Side, ToyFamily.Side)));
            image = scorer.PrepareImage(pass, tokens);
            pass.Read(tokens, kept);
        }

        using (image)
        using (IPass pass = _backend.BeginPass())
            pass.Read(scorer.ScorePairs(pass, image, [1, 2, 3, 4], 2), scores);
        Assert.Equal([.. kept, .. kept], scores); // one image token: attention can only return it
    }

    [Fact]
    public void AFamilyIsRegisteredOnceAndGoesAgain()
    {
        Assert.Throws<ArgumentException>(() => ModelFamilies.Register(new ToyFamily()));
        _registration.Dispose();
        Assert.DoesNotContain(ModelFamilies.Known, family => family.Name == "toy");
        ModelFamilies.Register(new ToyFamily()).Dispose();
    }

    private ClipModel Load(int? batchSize = null) => ClipModel.Load(_folder.Root, Options() with { BatchSize = batchSize });

    private ClipModelOptions Options() => new() { Backend = _backend, Tokenizer = new ToyTokenizer(), Preprocessor = new ToyPreprocessor() };

    private string[] WriteImages(int count)
    {
        var random = new Random(5);
        string[] files = [.. Enumerable.Range(0, count).Select(i => _folder.File($"image{i}.toy"))];
        foreach (string file in files)
        {
            byte[] bytes = new byte[PixelCount];
            random.NextBytes(bytes);
            File.WriteAllBytes(file, bytes);
        }

        return files;
    }

    private static float[] Numbers(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.5))];
    }

    /// <summary>Unlike <see cref="Progress{T}"/> it calls at once, on the thread that reports.</summary>
    private sealed class Immediate(Action<EncodeProgress> action) : IProgress<EncodeProgress>
    {
        public void Report(EncodeProgress value) => action(value);
    }
}
