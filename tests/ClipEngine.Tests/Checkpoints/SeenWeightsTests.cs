using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>What is recorded of weights on first use and compared ever after, and what plain http may not bring. Servers are on loopback.</summary>
public sealed class SeenWeightsTests : IDisposable
{
    private const string Repository = "org/model-x";
    private const string FileName = "open_clip_model.safetensors";

    private static readonly CatalogueEntry s_entry = ModelCatalogue.Find("ViT-B-16/laion2b_s34b_b88k") with { HubRepository = Repository };

    private readonly TemporaryFolder _folder = new();
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(10_000);
    private readonly List<IDisposable> _opened = [];

    public void Dispose()
    {
        foreach (IDisposable opened in _opened)
            opened.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task TheHubsHashIsRecordedOnFirstUseAndComparedEverAfter()
    {
        Assert.Equal(Verification.HubHash, (await Store(_content).PullAsync(s_entry)).Verification);
        Assert.Equal(Verification.Recorded, (await Store(_content).PullAsync(s_entry)).Verification);
        var exception = await Assert.ThrowsAsync<DownloadException>(() => Store([.. _content, 1]).PullAsync(s_entry));
        Assert.Equal(DownloadError.HashMismatch, exception.Error);
        Assert.Contains("was recorded on first use", exception.Message, StringComparison.Ordinal);
        Assert.Equal(_content, File.ReadAllBytes(Store(_content).Use(s_entry).Path));
    }

    [Fact]
    public async Task AFileThatIsNoLongerWhatItWasIsNotUsed()
    {
        string path = (await Store(_content).PullAsync(s_entry)).Path;
        string blob = new FileInfo(path).ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        Assert.Equal(path, Store(_content).Use(s_entry).Path);

        // Another time and the same content: hashed again, and used.
        File.SetLastWriteTimeUtc(blob, DateTime.UtcNow.AddDays(-1));
        Assert.Equal(path, Store(_content).Use(s_entry).Path);

        byte[] changed = [.. _content];
        changed[5000] ^= 1;
        File.WriteAllBytes(blob, changed);
        File.SetLastWriteTimeUtc(blob, DateTime.UtcNow.AddDays(-2));
        Assert.Contains("its SHA-256 is", Assert.Throws<BadInputException>(() => Store(_content).Use(s_entry)).Message, StringComparison.Ordinal);
        Assert.Equal(DownloadError.HashMismatch, (await Assert.ThrowsAsync<DownloadException>(() => Store(_content).VerifyAsync(s_entry))).Error);

        File.WriteAllBytes(blob, _content[..100]);
        Assert.Contains("it has 100 bytes", Assert.Throws<BadInputException>(() => Store(_content).Use(s_entry)).Message, StringComparison.Ordinal);

        // A pull brings the published bytes back.
        await Store(_content).PullAsync(s_entry);
        Assert.Equal(Verification.Recorded, (await Store(_content).VerifyAsync(s_entry))!.Verification);
    }

    /// <summary>A cache that Python's huggingface_hub filled: its blob's name is recorded, and what else it keeps there does not matter.</summary>
    [Fact]
    public async Task ACacheOfPythonsIsUsedAndVerified()
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(_content)), repository = _folder.File("hub", "models--org--model-x");
        string snapshot = Path.Combine(repository, "snapshots", LoopbackHub.Commit);
        foreach (string folder in new[] { Path.Combine(repository, "blobs"), Path.Combine(repository, "refs"), Path.Combine(repository, "trees"), Path.Combine(repository, ".no_exist", LoopbackHub.Commit), snapshot })
            Directory.CreateDirectory(folder);
        File.WriteAllText(_folder.File("hub", "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55");
        File.WriteAllText(Path.Combine(repository, "trees", LoopbackHub.Commit + ".json"), "{}");
        File.WriteAllText(Path.Combine(repository, "refs", "main"), LoopbackHub.Commit);
        File.WriteAllBytes(Path.Combine(repository, "blobs", hash), _content);
        File.CreateSymbolicLink(Path.Combine(snapshot, FileName), $"../../blobs/{hash}");
        Assert.Equal(Path.Combine(snapshot, FileName), Store(_content).Use(s_entry).Path);
        StoredWeights weights = (await Store(_content).VerifyAsync(s_entry))!;
        Assert.Equal((Verification.Recorded, hash), (weights.Verification, weights.Sha256));
        Assert.Null(await Store(_content).VerifyAsync(ModelCatalogue.Find("ViT-L-14/openai")));
    }

    [Fact]
    public async Task OverPlainHttpBeyondThisMachineOnlyWhatWasSeenBeforeComesIn()
    {
        LoopbackServer server = Serve(_content);
        var options = new ModelStoreOptions { HubCacheFolder = _folder.File("hub"), ReleaseFolder = _folder.File("clip"), HubEndpoint = new Uri("http://hub.example/"), ReleaseEndpoint = new Uri("http://hub.example/") };
        var settings = new DownloadSettings { Delay = static _ => TimeSpan.Zero, Handler = () => Route(server) };
        using var plain = new ModelStore(options, settings);
        DownloadException exception = await Assert.ThrowsAsync<DownloadException>(() => plain.PullAsync(s_entry with { ReleaseUrl = null }, allowUnverified: true));
        Assert.Equal(DownloadError.Insecure, exception.Error);
        // The first digits of a hash can be met on purpose.
        CatalogueEntry release = ModelCatalogue.Find("ViT-B-16/laion400m_e31") with { HubRepository = null };
        Assert.Equal(HashKnowledge.Prefix, release.ReleaseHash);
        Assert.Equal(DownloadError.Insecure, (await Assert.ThrowsAsync<DownloadException>(() => plain.PullAsync(release, allowUnverified: true))).Error);
        Assert.False(Directory.Exists(_folder.File("hub")));

        await Store(_content).PullAsync(s_entry);
        Directory.Delete(_folder.File("hub"), recursive: true);
        Assert.Equal(Verification.Recorded, (await plain.PullAsync(s_entry)).Verification);
    }

    [Fact]
    public async Task AHubThatStatesAnotherHashThanIsKnownIsRefused()
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(_content));
        CatalogueEntry Pinned(string sha256) => s_entry with { HubSha256 = s_entry.HubSha256.Add(FileName, sha256) };
        Assert.Equal(DownloadError.HashMismatch, (await Assert.ThrowsAsync<DownloadException>(() => Store(_content).PullAsync(Pinned(new string('0', 64))))).Error);
        Assert.Equal(Verification.Pinned, (await Store(_content).PullAsync(Pinned(hash))).Verification);
        Assert.Equal(Verification.Pinned, (await Store(_content).VerifyAsync(Pinned(hash)))!.Verification);
        Assert.Equal(DownloadError.HashMismatch, (await Assert.ThrowsAsync<DownloadException>(() => Store(_content).VerifyAsync(Pinned(new string('0', 64))))).Error);
    }

    [Fact]
    public void PinnedHashesAreHashesOfFilesThatAreAskedFor() =>
        Assert.All(ModelCatalogue.Entries.SelectMany(static entry => entry.HubSha256, static (entry, file) => (entry, file)), static pin =>
        {
            Assert.Contains(pin.file.Key, pin.entry.HubFileNames);
            Assert.True(HubCache.IsHash(pin.file.Value) && pin.file.Value.Length == 64, pin.file.Value);
        });

    private static SocketsHttpHandler Route(LoopbackServer server) => new()
    {
        AllowAutoRedirect = false,
        UseProxy = false,
        ConnectCallback = async (_, cancellation) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, server.Address.Port), cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        },
    };

    private LoopbackServer Serve(byte[] content)
    {
        var server = new LoopbackServer(new LoopbackHub().Add(Repository, FileName, content).Answer);
        _opened.Add(server);
        return server;
    }

    private ModelStore Store(byte[] content)
    {
        var store = new ModelStore(
            new ModelStoreOptions { HubCacheFolder = _folder.File("hub"), ReleaseFolder = _folder.File("clip"), HubEndpoint = Serve(content).Address },
            new DownloadSettings { Delay = static _ => TimeSpan.Zero, Handler = static () => new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false } });
        _opened.Add(store);
        return store;
    }
}
