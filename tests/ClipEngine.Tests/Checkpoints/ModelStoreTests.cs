using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>List DL, a test per misbehaviour, and list CW for the cache. Servers are on loopback; the real hub was never tried.</summary>
public sealed class ModelStoreTests : IDisposable
{
    private const string Repository = "org/model-x";
    private const string FileName = "open_clip_model.safetensors";

    private static readonly CatalogueEntry s_hubEntry = ModelCatalogue.Find("ViT-B-16/laion2b_s34b_b88k") with { HubRepository = Repository };

    private readonly TemporaryFolder _folder = new();
    private readonly byte[] _content = new byte[100_000];
    private readonly string _hash;
    private readonly LoopbackHub _hub = new();
    private readonly ConcurrentQueue<IDisposable> _opened = new();

    public ModelStoreTests()
    {
        new Random(1).NextBytes(_content);
        _hash = Hash(_content);
        _hub.Add(Repository, FileName, _content);
    }

    public void Dispose()
    {
        foreach (IDisposable opened in _opened)
            opened.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task AnHonestHubFillsTheCacheInPythonsLayout()
    {
        StoredWeights weights = await Store(_hub.Answer).PullAsync(s_hubEntry);
        Assert.Equal(Verification.HubHash, weights.Verification);
        Assert.Equal(_hash, weights.Sha256);
        string repository = Path.Combine(_folder.Root, "hub", "models--org--model-x");
        Assert.Equal(Path.Combine(repository, "snapshots", LoopbackHub.Commit, FileName), weights.Path);
        Assert.Equal(Path.Combine("..", "..", "blobs", _hash), new FileInfo(weights.Path).LinkTarget);
        Assert.Equal(LoopbackHub.Commit, File.ReadAllText(Path.Combine(repository, "refs", "main")));
        AssertIntact();
    }

    [Fact]
    public async Task TheRevisionIsPinnedToTheCommitOfTheHeaders()
    {
        LoopbackServer server = Serve(_hub.Answer);
        await Store(server).PullAsync(s_hubEntry);
        Assert.Contains(server.Requests, request => request.Method == "GET" && request.Path.Contains(LoopbackHub.Commit, StringComparison.Ordinal));
        Assert.DoesNotContain(server.Requests, request => request.Method == "GET" && request.Path.Contains("/main/", StringComparison.Ordinal));
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(7, Environment.GetEnvironmentVariable("CLIPENGINE_LONG") == "1" ? 10 : 1)];

    /// <summary>One cut at every percent of the file, then a second one at a random place behind it; with CLIPENGINE_LONG=1 with ten seeds.</summary>
    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task AConnectionCutAnywhereIsResumed(int seed)
    {
        var random = new Random(seed);
        int cut = 0, second = 0, gets = 0;
        LoopbackServer server = Serve(request =>
        {
            LoopbackAnswer answer = _hub.Answer(request);
            if (request.Method != "GET")
                return answer;
            gets++;
            return gets switch
            {
                1 => answer with { CutAfter = cut },
                2 => answer with { CutAfter = second },
                _ => answer,
            };
        });
        for (int percent = 0; percent < 100; percent++)
        {
            cut = _content.Length * percent / 100;
            second = random.Next(_content.Length - cut);
            gets = 0;
            Directory.CreateDirectory(_folder.File("hub"));
            Directory.Delete(_folder.File("hub"), recursive: true);
            Assert.Equal(_hash, (await Store(server).PullAsync(s_hubEntry)).Sha256);
            AssertIntact();
        }

        Assert.Contains(server.Requests, request => request.RangeStart > 0);
    }

    [Fact]
    public async Task AStalledConnectionIsGivenUpAndResumed()
    {
        bool hasStalled = false;
        ModelStore store = Store(Serve(request =>
        {
            LoopbackAnswer answer = _hub.Answer(request);
            if (request.Method == "HEAD" || hasStalled)
                return answer;
            hasStalled = true;
            return answer with { CutAfter = 5000, Stalls = true };
        }), Settings() with { StallTimeout = TimeSpan.FromSeconds(1) });
        Assert.Equal(_hash, (await store.PullAsync(s_hubEntry)).Sha256);
        Assert.True(hasStalled);
    }

    public static TheoryData<string, DownloadError> AlwaysWrong() => new()
    {
        { "short body", DownloadError.Network },
        { "announces more", DownloadError.Network },
        { "announces less", DownloadError.Network },
        { "wrong bytes", DownloadError.HashMismatch },
        { "gzip", DownloadError.UnexpectedAnswer },
        { "web page", DownloadError.UnexpectedAnswer },
        { "web page for all", DownloadError.UnexpectedAnswer },
        { "403", DownloadError.Forbidden },
        { "404", DownloadError.NotFound },
        { "429 for an hour", DownloadError.Network },
        { "500", DownloadError.Network },
        { "redirect loop", DownloadError.UnexpectedAnswer },
        { "hash of another kind", DownloadError.UnexpectedAnswer },
        { "commit that is a path", DownloadError.UnexpectedAnswer },
        { "nobody listens", DownloadError.Network },
    };

    [Theory]
    [MemberData(nameof(AlwaysWrong))]
    public async Task WhatStaysWrongIsATypedFailureAndLeavesNothing(string kind, DownloadError error)
    {
        LoopbackServer server = Serve(request => Misbehave(kind, request));
        if (kind == "nobody listens")
            server.Dispose();
        DownloadException exception = await Assert.ThrowsAsync<DownloadException>(() => Store(server).PullAsync(s_hubEntry));
        Assert.Equal(error, exception.Error);
        Assert.InRange(server.Requests.Count(request => request.Method == "GET"), 0, 11);
        AssertNoFinalFile();
    }

    public static TheoryData<string> OnceWrong() => ["short body", "announces more", "announces less", "wrong bytes", "500", "429 now", "416"];

    [Theory]
    [MemberData(nameof(OnceWrong))]
    public async Task WhatIsWrongOnceIsTriedAgain(string kind)
    {
        int gets = 0;
        ModelStore store = Store(request => request.Method == "GET" && gets++ == 0 ? Misbehave(kind, request) : _hub.Answer(request));
        Assert.Equal(_hash, (await store.PullAsync(s_hubEntry)).Sha256);
        Assert.Equal(2, gets);
        AssertIntact();
    }

    public static TheoryData<string> WrongResumes() => ["ignores the range", "another range", "no range", "changed file", "416"];

    [Theory]
    [MemberData(nameof(WrongResumes))]
    public async Task AResumeThatDoesNotFitStartsAgain(string kind)
    {
        int gets = 0;
        ModelStore store = Store(request =>
        {
            LoopbackAnswer answer = _hub.Answer(request);
            if (request.Method != "GET")
                return answer;
            gets++;
            if (gets == 1)
                return answer with { CutAfter = 40_000 };
            if (gets > 2)
                return answer;
            return kind switch
            {
                "ignores the range" => _hub.Answer(request with { Headers = new Dictionary<string, string>() }),
                "another range" => answer with { Headers = new(answer.Headers) { ["Content-Range"] = $"bytes 0-{answer.Body.Length - 1}/{_content.Length}" } },
                "no range" => answer with { Headers = new(answer.Headers.Where(header => header.Key != "Content-Range")) },
                "changed file" => answer with { Headers = new(answer.Headers) { ["ETag"] = "\"other\"" } },
                _ => new LoopbackAnswer(416, []),
            };
        });
        Assert.Equal(_hash, (await store.PullAsync(s_hubEntry)).Sha256);
        AssertIntact();
    }

    [Fact]
    public async Task TheTokenStaysWithTheHub()
    {
        var elsewhere = new LoopbackHub().AddRelease(new Uri("https://storage/blob"), _content);
        LoopbackServer storage = Serve(elsewhere.Answer);
        LoopbackServer hub = Serve(request =>
        {
            LoopbackAnswer answer = _hub.Answer(request);
            return answer.Status == 404 ? answer : new LoopbackAnswer(302, []) { Headers = new(answer.Headers) { ["Location"] = new Uri(storage.Address, "blob").AbsoluteUri } };
        });
        StoredWeights weights = await Store(hub, options: Options(hub) with { Token = "secret" }).PullAsync(s_hubEntry);
        Assert.Equal(_hash, weights.Sha256);
        Assert.All(hub.Requests, request => Assert.Equal("Bearer secret", request.Headers["Authorization"]));
        Assert.NotEmpty(storage.Requests);
        Assert.All(storage.Requests, request => Assert.False(request.Headers.ContainsKey("Authorization")));
    }

    [Fact]
    public async Task ARedirectAwayFromHttpsIsRefused()
    {
        var settings = Settings() with { Handler = () => new RedirectToHttp() };
        var options = Options(null) with { HubEndpoint = new Uri("https://hub.invalid/"), Token = "secret" };
        var store = new ModelStore(options, settings);
        _opened.Enqueue(store);
        DownloadException exception = await Assert.ThrowsAsync<DownloadException>(() => store.PullAsync(s_hubEntry));
        Assert.Equal(DownloadError.UnexpectedAnswer, exception.Error);
        Assert.Contains("https", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnIntactCachedFileIsCheckedAndNotFetchedAgain()
    {
        await Store(_hub.Answer).PullAsync(s_hubEntry);
        LoopbackServer server = Serve(_hub.Answer);
        await Store(server).PullAsync(s_hubEntry);
        Assert.DoesNotContain(server.Requests, request => request.Method == "GET");
    }

    /// <summary>A cache on a read-only disk serves, too: what is whole is not written again.</summary>
    [Fact]
    public async Task AnIntactCacheIsNotWrittenTo()
    {
        await Store(_hub.Answer).PullAsync(s_hubEntry);
        string[] everything = Directory.GetFileSystemEntries(_folder.Root, "*", SearchOption.AllDirectories);
        DateTime past = new(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        foreach (string folder in everything.Where(Directory.Exists))
            Directory.SetLastWriteTimeUtc(folder, past);
        Assert.Equal(_hash, (await Store(_hub.Answer).PullAsync(s_hubEntry)).Sha256);
        Assert.Equal(everything, Directory.GetFileSystemEntries(_folder.Root, "*", SearchOption.AllDirectories));
        Assert.All(everything.Where(Directory.Exists), folder => Assert.Equal(past, Directory.GetLastWriteTimeUtc(folder)));
    }

    [Fact]
    public async Task ADamagedCachedFileIsReplacedWhole()
    {
        StoredWeights weights = await Store(_hub.Answer).PullAsync(s_hubEntry);
        string blob = Path.Combine(_folder.Root, "hub", "models--org--model-x", "blobs", _hash);
        File.WriteAllBytes(blob, _content[..5000]);
        await Store(_hub.Answer).PullAsync(s_hubEntry);
        Assert.Equal(_content, File.ReadAllBytes(weights.Path));
    }

    [Fact]
    public async Task OfflineIsAStateOfItsOwn()
    {
        var handler = new Func<HttpMessageHandler>(() => new NoNetwork());
        ModelStore Offline() => Store(null, Settings() with { Handler = handler }, Options(null) with { IsOffline = true });
        DownloadException missing = await Assert.ThrowsAsync<DownloadException>(() => Offline().PullAsync(s_hubEntry));
        Assert.Equal(DownloadError.Offline, missing.Error);
        Assert.Contains("models--org--model-x", missing.Message, StringComparison.Ordinal);

        await Store(_hub.Answer).PullAsync(s_hubEntry);
        Assert.Equal(Verification.Recorded, (await Offline().PullAsync(s_hubEntry)).Verification);
        Assert.NotNull(Offline().Find(s_hubEntry));

        File.WriteAllBytes(Path.Combine(_folder.Root, "hub", "models--org--model-x", "blobs", _hash), [1, 2, 3]);
        await Assert.ThrowsAsync<DownloadException>(() => Offline().PullAsync(s_hubEntry));
    }

    [Fact]
    public async Task ACacheThatPythonFilledIsFoundWithoutANetwork()
    {
        string repository = Path.Combine(_folder.Root, "hub", "models--org--model-x");
        string other = new('f', 40);
        foreach (string folder in new[] { "blobs", "refs", $"snapshots/{LoopbackHub.Commit}", $"snapshots/{other}" })
            Directory.CreateDirectory(Path.Combine(repository, folder));
        File.WriteAllBytes(Path.Combine(repository, "blobs", _hash), _content);
        File.WriteAllText(Path.Combine(repository, "refs", "main"), LoopbackHub.Commit);
        foreach (string commit in new[] { LoopbackHub.Commit, other })
            File.CreateSymbolicLink(Path.Combine(repository, "snapshots", commit, "open_clip_pytorch_model.bin"), $"../../blobs/{_hash}");
        ModelStore store = Store(null, Settings() with { Handler = () => new NoNetwork() }, Options(null) with { IsOffline = true });
        Assert.Contains(LoopbackHub.Commit, store.Find(s_hubEntry)!.Path, StringComparison.Ordinal);
        Assert.Equal(_hash, (await store.PullAsync(s_hubEntry)).Sha256);
    }

    [Fact]
    public async Task FileNamesAreTriedInOrder()
    {
        var hub = new LoopbackHub().Add(Repository, "open_clip_pytorch_model.bin", _content);
        LoopbackServer server = Serve(hub.Answer);
        StoredWeights weights = await Store(server).PullAsync(s_hubEntry);
        Assert.EndsWith("open_clip_pytorch_model.bin", weights.Path, StringComparison.Ordinal);
        Assert.Equal(s_hubEntry.HubFileNames, server.Requests.Where(request => request.Method == "HEAD").Select(request => Path.GetFileName(request.Path)));
    }

    [Fact]
    public async Task AReleaseFileIsPrefixCheckedAndTheWrongEpochRefused()
    {
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-16-plus-240/laion400m_e32");
        LoopbackServer server = Serve(new LoopbackHub().AddRelease(entry.ReleaseUrl!, _content).Answer);
        DownloadException exception = await Assert.ThrowsAsync<DownloadException>(() => Store(server).PullAsync(entry));
        Assert.Equal(DownloadError.HashMismatch, exception.Error);
        Assert.Contains("699c4b84", exception.Message, StringComparison.Ordinal);
        AssertNoFinalFile();

        StoredWeights weights = await Store(server).PullAsync(entry with { ReleaseSha256Prefix = _hash[..8] });
        Assert.Equal(Verification.PrefixChecked, weights.Verification);
        Assert.Equal(_content, File.ReadAllBytes(weights.Path));
    }

    [Fact]
    public async Task AFileWithoutAKnownHashIsRefusedAndThenRemembered()
    {
        CatalogueEntry entry = s_hubEntry with { HubRepository = null, ReleaseUrl = new Uri("https://host.invalid/weights.pt") };
        byte[] served = _content;
        LoopbackServer server = Serve(request => new LoopbackHub().AddRelease(entry.ReleaseUrl, served).Answer(request));
        DownloadException refusal = await Assert.ThrowsAsync<DownloadException>(() => Store(server).PullAsync(entry));
        Assert.Equal(DownloadError.NoHash, refusal.Error);
        Assert.Empty(server.Requests);

        StoredWeights weights = await Store(server).PullAsync(entry, allowUnverified: true);
        Assert.Equal(Verification.Unverified, weights.Verification);
        File.Delete(weights.Path);
        served = [.. _content.Reverse()];
        DownloadException changed = await Assert.ThrowsAsync<DownloadException>(() => Store(server).PullAsync(entry, allowUnverified: true));
        Assert.Equal(DownloadError.HashMismatch, changed.Error);
        Assert.False(File.Exists(weights.Path));
    }

    [Fact]
    public async Task TheReleaseFileStandsInForABrokenHub()
    {
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-16/laion400m_e32") with { ReleaseSha256Prefix = _hash[..8] };
        ModelStore store = Store(new LoopbackHub().AddRelease(entry.ReleaseUrl!, _content).Answer);
        Assert.Equal(Verification.PrefixChecked, (await store.PullAsync(entry)).Verification);
    }

    [Fact]
    public async Task ALeftoverOfAKilledProcessIsTakenOverAndHashedAgain()
    {
        foreach (bool isIntact in new[] { true, false })
        {
            string blobs = Directory.CreateDirectory(_folder.File("hub", "models--org--model-x", "blobs")).FullName;
            foreach (string file in Directory.EnumerateFiles(blobs))
                File.Delete(file);
            string leftover = Path.Combine(blobs, $"{_hash}.99999999-{Guid.NewGuid():N}.download");
            byte[] start = _content[..60_000];
            if (!isIntact)
                start[100] ^= 1;
            File.WriteAllBytes(leftover, start);
            LoopbackServer server = Serve(_hub.Answer);
            await Store(server).PullAsync(s_hubEntry);
            Assert.Contains(server.Requests, request => request.RangeStart == 60_000);
            AssertIntact();
        }
    }

    [Fact]
    public async Task ManyWritersOfOneCacheAgree()
    {
        LoopbackServer server = Serve(_hub.Answer);
        for (int round = 0; round < 5; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () => Assert.Equal(_hash, (await Store(server).PullAsync(s_hubEntry)).Sha256))));
            AssertIntact();
            Directory.Delete(_folder.File("hub"), recursive: true);
        }
    }

    [Fact]
    public async Task ACancelledDownloadLeavesOnlyAPartThatIsResumed()
    {
        using var cancel = new CancellationTokenSource();
        ModelStore store = Store(request => request.Method == "GET" ? _hub.Answer(request) with { CutAfter = 50_000, Stalls = true } : _hub.Answer(request));
        var progress = new Reporter(value =>
        {
            if (value.ReceivedBytes >= 50_000)
                cancel.Cancel();
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => store.PullAsync(s_hubEntry, progress: progress, cancellation: cancel.Token));
        AssertNoFinalFile();
        LoopbackServer server = Serve(_hub.Answer);
        await Store(server).PullAsync(s_hubEntry);
        Assert.Contains(server.Requests, request => request.RangeStart == 50_000);
        AssertIntact();
    }

    [Fact]
    public void TheEnvironmentIsReadAsPythonReadsIt()
    {
        var variables = new Dictionary<string, string?> { ["HF_HOME"] = "/h", ["HF_TOKEN"] = "t", ["HF_HUB_OFFLINE"] = "1", ["HF_ENDPOINT"] = "https://mirror/sub" };
        ModelStoreOptions options = ModelStoreOptions.FromEnvironment(variables.GetValueOrDefault);
        Assert.Equal(Path.Combine("/h", "hub"), options.HubCacheFolder);
        Assert.Equal("t", options.Token);
        Assert.True(options.IsOffline);
        Assert.Equal("https://mirror/sub/", options.HubEndpoint.AbsoluteUri);
        variables["HF_HUB_CACHE"] = "/c";
        Assert.Equal("/c", ModelStoreOptions.FromEnvironment(variables.GetValueOrDefault).HubCacheFolder);
        variables["HF_ENDPOINT"] = "file:///x";
        Assert.Throws<BadInputException>(() => ModelStoreOptions.FromEnvironment(variables.GetValueOrDefault));
    }

    private LoopbackAnswer Misbehave(string kind, LoopbackRequest request)
    {
        LoopbackAnswer honest = _hub.Answer(request);
        bool isGet = request.Method == "GET";
        byte[] wrong = [.. honest.Body.Select(value => (byte)(value ^ 0x55))];
        return kind switch
        {
            "web page for all" => new LoopbackAnswer(200, "<html>"u8.ToArray()) { Headers = { ["Content-Type"] = "text/html" } },
            "403" => new LoopbackAnswer(403, []),
            "404" => new LoopbackAnswer(404, []),
            "429 for an hour" => new LoopbackAnswer(429, []) { Headers = { ["Retry-After"] = "3600" } },
            "429 now" => new LoopbackAnswer(429, []) { Headers = { ["Retry-After"] = "0" } },
            "500" => new LoopbackAnswer(500, []),
            "416" => new LoopbackAnswer(416, []),
            "redirect loop" => new LoopbackAnswer(302, []) { Headers = { ["Location"] = request.Path } },
            "hash of another kind" => honest with { Headers = new(honest.Headers) { ["X-Linked-Etag"] = "\"../../x\"" } },
            "commit that is a path" => honest with { Headers = new(honest.Headers) { ["X-Repo-Commit"] = "../../x" } },
            _ when !isGet => honest,
            "short body" => honest with { Body = honest.Body[..(honest.Body.Length / 2)] },
            "announces more" => honest with { Headers = new(honest.Headers) { ["Content-Length"] = (honest.Body.Length + 10).ToString() } },
            "announces less" => honest with { Headers = new(honest.Headers) { ["Content-Length"] = (honest.Body.Length - 10).ToString() } },
            "wrong bytes" => honest with { Body = wrong },
            "gzip" => honest with { Headers = new(honest.Headers) { ["Content-Encoding"] = "gzip" } },
            "web page" => new LoopbackAnswer(200, "<html>"u8.ToArray()) { Headers = { ["Content-Type"] = "text/html; charset=utf-8" } },
            _ => honest,
        };
    }

    private LoopbackServer Serve(Func<LoopbackRequest, LoopbackAnswer> answer)
    {
        var server = new LoopbackServer(answer);
        _opened.Enqueue(server);
        return server;
    }

    private ModelStore Store(Func<LoopbackRequest, LoopbackAnswer> answer) => Store(Serve(answer));

    private ModelStore Store(LoopbackServer? server, DownloadSettings? settings = null, ModelStoreOptions? options = null)
    {
        var store = new ModelStore(options ?? Options(server), settings ?? Settings());
        _opened.Enqueue(store);
        return store;
    }

    private ModelStoreOptions Options(LoopbackServer? server) => new()
    {
        HubCacheFolder = _folder.File("hub"),
        ReleaseFolder = _folder.File("clip"),
        HubEndpoint = server?.Address ?? new Uri("http://127.0.0.1:9/"),
        ReleaseEndpoint = server?.Address,
    };

    private static DownloadSettings Settings() => new()
    {
        Delay = _ => TimeSpan.Zero,
        Handler = () => new SocketsHttpHandler { AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.None, UseProxy = false, UseCookies = false },
    };

    private void AssertIntact()
    {
        string blobs = Path.Combine(_folder.Root, "hub", "models--org--model-x", "blobs");
        Assert.Equal([Path.Combine(blobs, _hash)], Directory.EnumerateFiles(blobs));
        Assert.Equal(_hash, Hash(File.ReadAllBytes(Path.Combine(blobs, _hash))));
    }

    private void AssertNoFinalFile() =>
        Assert.All(Directory.EnumerateFiles(_folder.Root, "*", SearchOption.AllDirectories), file => Assert.EndsWith(".download", file, StringComparison.Ordinal));

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private sealed class Reporter(Action<DownloadProgress> report) : IProgress<DownloadProgress>
    {
        public void Report(DownloadProgress value) => report(value);
    }

    private sealed class NoNetwork : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("a connection was opened");
    }

    private sealed class RedirectToHttp : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Assert.Equal("https", request.RequestUri!.Scheme);
            var response = new HttpResponseMessage(HttpStatusCode.Found);
            response.Headers.Location = new Uri("http://hub.invalid/x");
            return Task.FromResult(response);
        }
    }
}
