using System.Numerics.Tensors;
using ClipEngine;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Testing;
using ClipEngine.Tokenization;
using ClipEngine.Tokenizers;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.PublicApi.Tests;

/// <summary>The code of docs/dotnet-api.md, compiled and run. <see cref="DotnetApiDocumentTests"/> compares the two; only what is in quotation marks may differ.</summary>
public sealed class DotnetApiExamples
{
    private static readonly string s_modelFolder = TestData.DemoPath("models", "small");
    private static readonly string s_cat = TestData.Path("preprocess", "images", "gray.jpg");
    private static readonly string s_dog = TestData.Path("preprocess", "images", "tiny.png");

    [Fact]
    public void TheFirstProgram()
    {
        using ClipModel model = ClipModel.Load($"{s_modelFolder}");
        Classification answer = model.Classify([$"{s_cat}", $"{s_dog}"], ["cat", "dog", "bird"], ["a photo of a {}."]);
        for (int image = 0; image < answer.Count; image++)
            Console.WriteLine($"{answer[image].Label} {answer[image].Probability:P0}");
        foreach ((string label, float probability) in answer[0])
            Console.WriteLine($"{label} {probability:P1}");

        FeatureMatrix images = model.EncodeImages([$"{s_cat}", $"{s_dog}"]);
        FeatureMatrix texts = model.EncodeTexts(["a cat on a sofa"]);
        float cosine = TensorPrimitives.Dot(images[0], texts[0]);

        Assert.Equal((2, 3), (answer.Count, answer[0].Count));
        Assert.InRange(cosine, -1, 1);
    }

    [Fact]
    public async Task ImagesFromAnywhere()
    {
        using ClipModel model = ClipModel.Load(s_modelFolder);
        DecodedImage decoded = ImagePreprocessor.Decode(File.ReadAllBytes(s_cat), s_cat);
        (int width, int height) = (decoded.Width, decoded.Height);
        byte[] camera = [.. decoded.Rgb.Chunk(3).SelectMany(pixel => pixel.Reverse())];

        ImageInput file = $"{s_cat}";
        ImageInput bytes = ImageInput.FromBytes(await File.ReadAllBytesAsync($"{s_cat}"));
        await using FileStream upload = File.OpenRead($"{s_cat}");
        ImageInput stream = ImageInput.FromStream(upload, "upload");
        ImageInput frame = ImageInput.FromPixels(camera, width, height, PixelLayout.Bgr);
        FeatureMatrix all = await model.EncodeImagesAsync([file, bytes, stream, frame]);

        float[] features = new float[model.EmbedDimension];
        model.EncodeImage(new ImagePixels(camera, width, height, PixelLayout.Bgr, stride: 3 * width), features);

        for (int i = 0; i < all.Count; i++)
            Assert.Equal(features, all[i].ToArray());
    }

    [Fact]
    public async Task AsynchronousCalls()
    {
        string[] files = [s_cat, s_dog];
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        using ClipModel model = await ClipModel.LoadAsync($"{s_modelFolder}", cancellationToken: timeout.Token);
        FeatureMatrix images = await model.EncodeImagesAsync(files, progress: new Progress<EncodeProgress>(p => Console.Write($"\r{p.Done} of {p.Total}")), cancellationToken: timeout.Token);
        FeatureMatrix texts = await model.EncodeTextsAsync(["a cat", "a dog"], cancellationToken: timeout.Token);
        ImageClassification answer = await model.ClassifyAsync($"{s_cat}", ["cat", "dog"], ["a photo of a {}."], timeout.Token);

        Assert.Equal((2, 2, 2), (images.Count, texts.Count, answer.Count));
    }

    [Fact]
    public async Task StreamsOfImages()
    {
        using ClipModel model = ClipModel.Load(s_modelFolder);
        CancellationToken cancellation = CancellationToken.None;

        await foreach (ImageFeatures image in model.EncodeImagesAsync(Frames(), cancellationToken: cancellation))
            Console.WriteLine($"{image.Index} {image.Name} {image.Values.Length}");

        static async IAsyncEnumerable<ImageInput> Frames()
        {
            yield return s_cat;
            await Task.Yield();
            yield return s_dog;
        }
    }

    [Fact]
    public async Task LabelsThatStay()
    {
        using ClipModel model = ClipModel.Load(s_modelFolder);

        using ZeroShotClassifier classifier = model.CreateClassifier(["cat", "dog"], ["a photo of a {}.", "a drawing of a {}."]);
        Classification first = await classifier.ClassifyAsync([$"{s_cat}", $"{s_dog}"]);
        Classification again = classifier.Classify(model.EncodeImages([$"{s_cat}"]));

        Assert.Equal(first[0].Probabilities.ToArray(), again[0].Probabilities.ToArray());
    }

    [Fact]
    public async Task InAnApplication()
    {
        var services = new ServiceCollection();

        services.AddClipEngine(options =>
        {
            options.Model = $"{s_modelFolder}";
            options.ModelOptions = new ClipModelOptions { Towers = ModelTowers.Image };
        });

        await using ServiceProvider provider = services.BuildServiceProvider();
        Assert.Equal(16, provider.GetRequiredService<ClipModel>().EncodeImage(s_cat).Length);
    }

    [Fact]
    public async Task Embeddings()
    {
        using ClipModel model = ClipModel.Load(s_modelFolder);

        IEmbeddingGenerator<string, Embedding<float>> sentences = model.AsTextEmbeddingGenerator("small");
        IEmbeddingGenerator<DataContent, Embedding<float>> pictures = model.AsImageEmbeddingGenerator("small");
        Embedding<float> sentence = await sentences.GenerateAsync("a cat on a sofa");
        Embedding<float> picture = await pictures.GenerateAsync(await DataContent.LoadFromAsync($"{s_cat}"));

        Assert.Equal(sentence.Dimensions, picture.Dimensions);
    }

    [Fact]
    public void TokenizersOfOtherLibraries()
    {
        using ClipModel model = ClipModel.Load(s_modelFolder);
        using var folder = new TemporaryFolder();
        string vocabulary = folder.File("vocab.txt");
        File.WriteAllText(vocabulary, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");

        Tokenizer tokens = model.Tokenizer.AsMicrosoftTokenizer();
        int count = tokens.CountTokens("a photo of a cat");
        ITokenizer own = BertTokenizer.Create($"{vocabulary}").ForModel(new ModelTokenizerOptions { ContextLength = 77, VocabularySize = 30522, StartId = 101, EndId = 102 });
        var options = new ClipModelOptions { Tokenizer = own };

        Assert.Equal(7, count);
        Assert.Equal(77, options.Tokenizer.ContextLength);
    }

    [Fact]
    public void Downloads()
    {
        using var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false });
        using var store = new ModelStore(ModelStoreOptions.FromEnvironment() with { HttpClient = client });
        StoredWeights? weights = store.Find(ModelCatalogue.Find("ViT-B-32/laion2b_s34b_b79k"));

        Assert.True(weights is null || File.Exists(weights.Path));
    }
}
