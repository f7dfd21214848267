using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using ClipEngine.Testing;

namespace ClipEngine.PublicApi.Tests;

/// <summary>
/// The samples, each run as its own process with the demo checkpoint; the service on loopback. Beside no other test: a process that is
/// being started holds, for a moment, the locks of files that others have open for writing.
/// </summary>
[Collection(nameof(Alone))]
public sealed class SampleTests
{
    private static readonly string s_model = TestData.DemoPath("models", "small");
    private static readonly string s_images = TestData.DemoPath("probe", "images");
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task TheConsoleListsImagesByCosine()
    {
        string[] files = [.. new[] { "solid-circle", "hollow-circle", "solid-square" }.Select(name => Path.Combine(s_images, $"scene00-{name}.png"))];
        (int code, string output, _) = await RunAsync("ConsoleEmbedding", [s_model, "a photo of an anchor", .. files]);
        Assert.Equal(0, code);
        using ClipModel model = ClipModel.Load(s_model);
        float[] sentence = model.EncodeTexts(["a photo of an anchor"]).Values;
        string[] expected = [.. files.Select(file => (file, cosine: model.EncodeImage(file).Zip(sentence, (a, b) => (double)a * b).Sum()))
            .OrderByDescending(pair => pair.cosine).Select(pair => string.Create(CultureInfo.InvariantCulture, $"{pair.cosine:F4} {pair.file}"))];
        Assert.Equal(expected, output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task TheConsoleNamesAFileThatIsNoImage()
    {
        (int code, _, string error) = await RunAsync("ConsoleEmbedding", [s_model, "a", Path.Combine(s_model, "open_clip_config.json")]);
        Assert.Equal(2, code);
        Assert.Contains("open_clip_config.json", error);
        Assert.DoesNotContain("   at ", error);
    }

    [Fact]
    public async Task TheServiceEmbedsClassifiesAndRefuses()
    {
        byte[] image = File.ReadAllBytes(Path.Combine(s_images, "scene00-solid-circle.png"));
        using Process service = Start("MinimalApi", ["--urls", "http://127.0.0.1:0", $"--Clip:Model={s_model}", "--Logging:Console:FormatterName=simple"]);
        try
        {
            using var client = new HttpClient { BaseAddress = await AddressAsync(service), Timeout = s_patience };
            using ClipModel model = ClipModel.Load(s_model);
            using (HttpResponseMessage features = await client.PostAsync("embed/image", new ByteArrayContent(image)))
                Assert.Equal(model.EncodeImage(Imaging.ImageInput.FromBytes(image)), await features.Content.ReadFromJsonAsync<float[]>());
            using (HttpResponseMessage features = await client.PostAsJsonAsync("embed/text", new[] { "a cat", "a dog" }))
                Assert.Equal(model.EncodeTexts(["a cat", "a dog"])[1].ToArray(), (await features.Content.ReadFromJsonAsync<float[][]>())![1]);
            using (HttpResponseMessage classified = await client.PostAsync("classify?label=anchor&label=candle&template=a%20photo%20of%20a%20%7B%7D.", new ByteArrayContent(image)))
            {
                LabelProbability best = (await model.ClassifyAsync(Imaging.ImageInput.FromBytes(image), ["anchor", "candle"], ["a photo of a {}."]))[0];
                Assert.Equal(best, (await classified.Content.ReadFromJsonAsync<LabelProbability[]>())![0]);
            }

            using HttpResponseMessage refused = await client.PostAsync("embed/image", new StringContent("hello"));
            Assert.Equal(400, (int)refused.StatusCode);
            Assert.Contains("it looks like text", (await refused.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("detail").GetString());
            HttpResponseMessage[] many = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => client.PostAsync("embed/image", new ByteArrayContent(image))));
            Assert.All(many, answer => Assert.True(answer.IsSuccessStatusCode));
        }
        finally
        {
            service.Kill();
            await service.WaitForExitAsync();
        }
    }

    [Fact]
    public async Task TheVectorStoreFindsTheImagesNearestToASentence()
    {
        (int code, string output, _) = await RunAsync("VectorSearch", [s_model, s_images, "a photo of a candle"]);
        Assert.Equal(0, code);
        using ClipModel model = ClipModel.Load(s_model);
        float[] sentence = model.EncodeTexts(["a photo of a candle"]).Values;
        string[] files = [.. Directory.EnumerateFiles(s_images)];
        FeatureMatrix images = model.EncodeImages(files);
        IEnumerable<string> expected = Enumerable.Range(0, files.Length)
            .OrderByDescending(i => images[i].ToArray().Zip(sentence, (a, b) => (double)a * b).Sum()).Take(3).Select(i => files[i]);
        Assert.Equal(expected, output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..]));
    }

    [Fact]
    public async Task AnImageSharpImageGoesInAsItLiesInMemory()
    {
        (int code, string output, string error) = await RunAsync("ImageSharpInput", [s_model, Path.Combine(s_images, "scene00-solid-circle.png")]);
        Assert.True(code == 0, error);
        Assert.StartsWith("cosine between the image and its mirror image: 0.", output);
    }

    [Fact]
    public async Task ASkiaSharpBitmapGivesTheAnswerOfItsFile()
    {
        string file = Path.Combine(s_images, "scene00-solid-circle.png");
        (int code, string output, string error) = await RunAsync("SkiaSharpInput", [s_model, "anchor,basket,candle", file]);
        Assert.True(code == 0, error);
        using ClipModel model = ClipModel.Load(s_model);
        IEnumerable<string> expected = model.Classify([file], ["anchor", "basket", "candle"])[0].Select(item => string.Create(CultureInfo.InvariantCulture, $"{item.Probability:F4} {item.Label}"));
        Assert.Equal(expected, output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(0, (await RunAsync("SkiaSharpInput", [s_model, "anchor,basket"])).Code);
    }

    private static async Task<Uri> AddressAsync(Process service)
    {
        using var patience = new CancellationTokenSource(s_patience);
        const string announcement = "Now listening on: ";
        var said = new System.Text.StringBuilder();
        while (await service.StandardOutput.ReadLineAsync(patience.Token) is { } line)
        {
            said.AppendLine(line);
            int at = line.IndexOf(announcement, StringComparison.Ordinal);
            if (at < 0)
                continue;
            _ = service.StandardOutput.ReadToEndAsync(CancellationToken.None); // so that its log never fills the pipe
            _ = service.StandardError.ReadToEndAsync(CancellationToken.None);
            return new Uri(line[(at + announcement.Length)..].Trim() + "/");
        }

        throw new InvalidOperationException($"The service ended before it listened: {said}{await service.StandardError.ReadToEndAsync(patience.Token)}");
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(string sample, string[] arguments)
    {
        using Process process = Start(sample, arguments);
        using var patience = new CancellationTokenSource(s_patience);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(patience.Token), error = process.StandardError.ReadToEndAsync(patience.Token);
            await process.WaitForExitAsync(patience.Token);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    private static Process Start(string sample, string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(TestData.RepositoryRoot, "samples", sample, "bin", "Release", "net10.0", sample + ".dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
        };
        return Process.Start(start)!;
    }
}
