using System.Net.Http;
using System.Security.Cryptography;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Configuration and tokenizer that weights in transformers' layout are used with: they come with the weights or not at all, and are bound to their first use. Servers are on loopback.</summary>
public sealed class ModelCompanionTests : IDisposable
{
    private const string Repository = "org/model-x";
    private const string Weights = "model.safetensors";

    private static readonly CatalogueEntry s_entry = ModelCatalogue.Find("blip-itm-base/coco") with { HubRepository = Repository };
    private static readonly string s_next = new('a', 40);

    private readonly TemporaryFolder _folder = new();
    private readonly List<IDisposable> _opened = [];
    // The tokenizer as a large file, of which the hub states the SHA-256.
    private readonly LoopbackHub _hub = new LoopbackHub()
        .Add(Repository, Weights, RandomNumberGenerator.GetBytes(10_000))
        .AddSmall(Repository, "config.json", "{\"model_type\": \"blip\"}"u8.ToArray())
        .Add(Repository, "tokenizer.json", RandomNumberGenerator.GetBytes(2_000));

    public void Dispose()
    {
        foreach (IDisposable opened in _opened)
            opened.Dispose();
        _folder.Dispose();
    }

    public static TheoryData<int, DownloadError> Failures => new() { { 403, DownloadError.Forbidden }, { 500, DownloadError.Network }, { 200, DownloadError.UnexpectedAnswer } };

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task WhereOneCannotBeHadTheSnapshotBeforeStaysInUse(int status, DownloadError error)
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        var exception = await Assert.ThrowsAsync<DownloadException>(() => Store(Instead("tokenizer.json", status)).PullAsync(s_entry));
        Assert.Equal(error, exception.Error);
        Assert.Contains("stays as it was", exception.Message, StringComparison.Ordinal);
        AssertWhole(LoopbackHub.Commit);
        await Store(_hub.Answer).PullAsync(s_entry);
        AssertWhole(s_next);
    }

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task WhereOneCannotBeHadTheFirstTimeTheWeightsAreNotHere(int status, DownloadError error)
    {
        Assert.Equal(error, (await Assert.ThrowsAsync<DownloadException>(() => Store(Instead("tokenizer.json", status)).PullAsync(s_entry))).Error);
        Assert.Null(Store(_hub.Answer).Find(s_entry));
        await Store(_hub.Answer).PullAsync(s_entry);
        AssertWhole(LoopbackHub.Commit);
    }

    /// <summary>A hub that cannot be reached at all changes nothing, and all is here.</summary>
    [Fact]
    public async Task WithoutANetworkWhatIsHereIsChecked()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Assert.Equal(Verification.Recorded, (await Store(static _ => new LoopbackAnswer(500, [])).PullAsync(s_entry)).Verification);
        AssertWhole(LoopbackHub.Commit);
    }

    [Fact]
    public async Task WhereOnlyTheWeightsCannotBeReachedTheSnapshotBeforeStaysTheMainOne()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        Assert.Equal(Path.Combine(Snapshot(LoopbackHub.Commit), Weights), (await Store(Instead(Weights, 500)).PullAsync(s_entry)).Path);
        AssertWhole(LoopbackHub.Commit);
    }

    [Fact]
    public async Task APullThatIsStoppedBeforeTheWeightsChangesNothing()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        using var stop = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store(request =>
        {
            if (request.Path.EndsWith(Weights, StringComparison.Ordinal))
                stop.Cancel();
            return _hub.Answer(request);
        }).PullAsync(s_entry, cancellation: stop.Token));
        AssertWhole(LoopbackHub.Commit);
    }

    /// <summary>The companions have their names in the new snapshot, and the weights cannot get theirs: something is in the way.</summary>
    [Fact]
    public async Task APullThatEndsBetweenCompanionsAndWeightsLeavesTheSnapshotBeforeInUse()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        string obstacle = Path.Combine(Snapshot(s_next), Weights);
        Directory.CreateDirectory(obstacle);
        await Assert.ThrowsAnyAsync<Exception>(() => Store(_hub.Answer).PullAsync(s_entry));
        Assert.True(File.Exists(Path.Combine(Snapshot(s_next), "tokenizer.json")));
        AssertWhole(LoopbackHub.Commit);
        Directory.Delete(obstacle);
        await Store(_hub.Answer).PullAsync(s_entry);
        AssertWhole(s_next);
    }

    /// <summary>All names are there, and the revision has not moved.</summary>
    [Fact]
    public async Task APullThatEndsBeforeTheRevisionMovesLeavesTheSnapshotBeforeInUse()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        var cache = new HubCache(_folder.File("hub"));
        foreach (string name in new[] { "config.json", "tokenizer.json", Weights })
            cache.Link(Repository, s_next, name, HubCache.HashOf(Path.Combine(Snapshot(LoopbackHub.Commit), name))!);
        AssertWhole(LoopbackHub.Commit);
    }

    [Fact]
    public async Task ARepositoryThatChangesUnderAPullIsRefused()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        bool isChanged = false;
        var exception = await Assert.ThrowsAsync<DownloadException>(() => Store(request =>
        {
            if (!isChanged && request.Path.EndsWith(Weights, StringComparison.Ordinal))
            {
                isChanged = true;
                Change();
            }

            return _hub.Answer(request);
        }).PullAsync(s_entry));
        Assert.Contains("changed while it was fetched", exception.Message, StringComparison.Ordinal);
        AssertWhole(LoopbackHub.Commit);
    }

    [Fact]
    public async Task ATokenizerThatIsTakenAwayIsAChange()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Change();
        var exception = await Assert.ThrowsAsync<DownloadException>(() => Store(Instead("tokenizer.json", 404)).PullAsync(s_entry));
        Assert.Equal(DownloadError.HashMismatch, exception.Error);
        Assert.Contains(Record("tokenizer.json"), exception.Message, StringComparison.Ordinal);
        AssertWhole(LoopbackHub.Commit);
    }

    /// <summary>A cache that another program filled holds no records: blobs must have the hashes that they are named after, git's and SHA-256 alike.</summary>
    [Theory]
    [InlineData("config.json")]
    [InlineData("tokenizer.json")]
    public async Task ABlobThatIsNotWhatItsNameSaysIsRefused(string name)
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        File.AppendAllText(Path.Combine(Snapshot(LoopbackHub.Commit), name), " ");
        File.Delete(Record(name));
        Assert.Contains(name, (await Assert.ThrowsAsync<DownloadException>(() => Store(_hub.Answer).VerifyAsync(s_entry))).Message, StringComparison.Ordinal);
        Assert.Contains("its name in the cache", Assert.Throws<DownloadException>(() => Store(_hub.Answer).Use(s_entry)).Message, StringComparison.Ordinal);
        Assert.Contains("its name in the cache", Assert.Throws<DownloadException>(() => Store(_hub.Answer).UseCompanions(s_entry)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Record(name)));
    }

    [Fact]
    public async Task TheFirstUseIsRecordedAndAChangeAfterItRefused()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        File.Delete(Record("config.json"));
        // A plain copy, as file systems without links have: no name tells its hash.
        string file = Path.Combine(Snapshot(LoopbackHub.Commit), "config.json");
        byte[] content = File.ReadAllBytes(file);
        File.Delete(file);
        File.WriteAllBytes(file, content);
        Assert.NotNull(Store(_hub.Answer).UseCompanions(s_entry));
        Assert.StartsWith(Convert.ToHexStringLower(SHA256.HashData(content)), File.ReadAllText(Record("config.json")), StringComparison.Ordinal);
        File.AppendAllText(file, " ");
        Assert.Contains("config.json", Assert.Throws<BadInputException>(() => Store(_hub.Answer).UseCompanions(s_entry)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhereNoRecordsCanBeWrittenWeightsAreUsedAllTheSame()
    {
        await Store(_hub.Answer).PullAsync(s_entry);
        Directory.Delete(_folder.File("clip"), recursive: true);
        File.WriteAllText(_folder.File("clip"), "in the way of the records' folder");
        Assert.NotNull(Store(_hub.Answer).UseCompanions(s_entry));
        AssertWhole(LoopbackHub.Commit);
    }

    /// <summary>Another commit, of which nothing matters but that it is one.</summary>
    private void Change()
    {
        _hub.Push(s_next);
        _hub.AddSmall(Repository, "README.md", "two"u8.ToArray());
    }

    private void AssertWhole(string commit)
    {
        string path = Store(_hub.Answer).Use(s_entry).Path;
        Assert.Equal(Path.Combine(Snapshot(commit), Weights), path);
        Assert.All(["config.json", "tokenizer.json"], name => Assert.True(File.Exists(Path.Combine(Snapshot(commit), name)), name));
        Assert.Equal(commit, new HubCache(_folder.File("hub")).MainCommit(Repository));
    }

    private string Snapshot(string commit) => Path.Combine(_folder.File("hub"), "models--org--model-x", "snapshots", commit);

    private string Record(string name) => Path.Combine(_folder.File("clip"), $"models--org--model-x--{name}.sha256-seen");

    private Func<LoopbackRequest, LoopbackAnswer> Instead(string name, int status) =>
        request => request.Path.EndsWith("/" + name, StringComparison.Ordinal) ? new LoopbackAnswer(status, []) : _hub.Answer(request);

    private ModelStore Store(Func<LoopbackRequest, LoopbackAnswer> answer)
    {
        var server = new LoopbackServer(answer);
        var store = new ModelStore(
            new ModelStoreOptions { HubCacheFolder = _folder.File("hub"), ReleaseFolder = _folder.File("clip"), HubEndpoint = server.Address },
            new DownloadSettings { Delay = static _ => TimeSpan.Zero, Handler = static () => new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false } });
        _opened.AddRange([store, server]);
        return store;
    }
}
