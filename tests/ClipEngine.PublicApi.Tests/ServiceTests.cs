using System.Collections.Concurrent;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Testing;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ClipEngine.PublicApi.Tests;

/// <summary>A model as a service of an application, its logging, and downloads over the application's client.</summary>
public sealed class ServiceTests
{
    private static readonly string s_model = TestData.DemoPath("models", "small");

    [Fact]
    public async Task OneModelServesTheWholeApplicationAndEndsWithIt()
    {
        var services = new ServiceCollection();
        services.AddClipEngine(options => options.Model = s_model);
        ServiceProvider provider = services.BuildServiceProvider();
        ClipModel model = provider.GetRequiredService<ClipModel>();
        Assert.Same(model, provider.GetRequiredService<ClipModel>());
        float[] expected = model.EncodeTexts(["a red square"])[0].ToArray();
        Embedding<float> text = await provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>().GenerateAsync("a red square");
        Assert.Equal(expected, text.Vector.ToArray());
        Assert.Equal("small", text.ModelId);
        byte[] image = File.ReadAllBytes(TestData.Path("preprocess", "images", "tiny.png"));
        Embedding<float> picture = await provider.GetRequiredService<IEmbeddingGenerator<DataContent, Embedding<float>>>().GenerateAsync(new DataContent(image, "image/png"));
        Assert.Equal(model.EncodeImage(ImageInput.FromBytes(image)), picture.Vector.ToArray());
        Assert.NotNull(provider.GetRequiredService<ModelStore>());
        await provider.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => model.EncodeTexts(["a"]));
    }

    [Fact]
    public void AModelThatIsNotNamedIsRefusedByTheOptions()
    {
        var services = new ServiceCollection();
        services.AddClipEngine(_ => { });
        using ServiceProvider provider = services.BuildServiceProvider();
        Assert.Contains("ClipEngineOptions.Model", Assert.Throws<OptionsValidationException>(() => provider.GetRequiredService<ClipModel>()).Message);
    }

    [Fact]
    public void LoadsNoticesAndRunsAreLogged()
    {
        var log = new Log();
        var services = new ServiceCollection();
        services.AddSingleton(typeof(ILogger<>), typeof(Log<>)).AddSingleton(log);
        services.AddClipEngine(options => options.Model = s_model);
        using ServiceProvider provider = services.BuildServiceProvider();
        ClipModel model = provider.GetRequiredService<ClipModel>();
        model.EncodeTexts(["a", "b"]);
        Assert.Contains(log.Lines, line => line.Level == LogLevel.Information && line.Text.Contains(s_model, StringComparison.Ordinal));
        Assert.Equal(model.Notices, log.Lines.Where(line => line.Level == LogLevel.Warning).Select(line => line.Text));
        Assert.Contains(log.Lines, line => line.Level == LogLevel.Debug && line.Text.StartsWith("Encoded 2 sentences", StringComparison.Ordinal));
    }

    [Fact]
    public async Task WeightsAreFetchedByTheApplicationsClient()
    {
        byte[] content = new byte[10_000];
        var hub = new LoopbackHub().Add("org/model-x", "open_clip_model.safetensors", content);
        int failures = 1;
        using var server = new LoopbackServer(request => request.Method == "GET" && failures-- > 0 ? new LoopbackAnswer(503, []) : hub.Answer(request));
        using var folder = new TemporaryFolder();
        var log = new Log();
        var handler = new Counting { InnerHandler = new SocketsHttpHandler { AllowAutoRedirect = false } };
        using var client = new HttpClient(handler);
        var options = new ModelStoreOptions { HubCacheFolder = folder.File("hub"), ReleaseFolder = folder.File("release"), HubEndpoint = server.Address, HttpClient = client, Logger = log };
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion2b_e16") with { HubRepository = "org/model-x" };
        using (var store = new ModelStore(options))
            Assert.Equal(content, File.ReadAllBytes((await store.PullAsync(entry)).Path));
        Assert.Equal(server.Requests.Count, handler.Count);
        Assert.Contains(log.Lines, line => line.Level == LogLevel.Warning && line.Text.StartsWith("Attempt 1", StringComparison.Ordinal));
        Assert.Contains(log.Lines, line => line.Level == LogLevel.Information && line.Text.StartsWith("Fetched", StringComparison.Ordinal) && line.Text.Contains("10000 bytes", StringComparison.Ordinal));
        (await client.GetAsync(server.Address)).Dispose(); // the store has not closed it
    }

    [Fact]
    public async Task AClientThatFollowsRedirectsIsRefusedWithWhatToDo()
    {
        using var server = new LoopbackServer(request => request.Path == "/elsewhere"
            ? new LoopbackAnswer(200, [])
            : new LoopbackAnswer(302, []) { Headers = new Dictionary<string, string> { ["Location"] = "/elsewhere" } });
        using var folder = new TemporaryFolder();
        using var client = new HttpClient();
        using var store = new ModelStore(new ModelStoreOptions { HubCacheFolder = folder.File("hub"), ReleaseFolder = folder.File("release"), HubEndpoint = server.Address, HttpClient = client });
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion2b_s34b_b79k") with { HubRepository = "org/model-x" };
        Assert.Contains("AllowAutoRedirect", (await Assert.ThrowsAsync<InvalidOperationException>(() => store.PullAsync(entry))).Message);
    }

    private sealed class Counting : DelegatingHandler
    {
        public int Count { get; private set; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Count++;
            return base.SendAsync(request, cancellationToken);
        }
    }

    private class Log : ILogger
    {
        public ConcurrentQueue<(LogLevel Level, string Text)> Lines { get; init; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        void ILogger.Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue((logLevel, formatter(state, exception)));
    }

    private sealed class Log<T> : Log, ILogger<T>
    {
        public Log(Log all) => Lines = all.Lines;
    }
}
