using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public sealed class ModelsCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    public void Dispose()
    {
        _folder.Dispose();
        _output.Dispose();
        _errors.Dispose();
    }

    [Fact]
    public void ShowStatesSizesSourcesHashesAndTraps()
    {
        CatalogueModel model = ModelCatalogue.FindModel("ViT-B-32");
        ModelsCommand.Show(model, model.Weights, asJson: false, _output);
        string text = _output.ToString();
        Assert.Contains("151.28 M parameters, 14.78 GFLOP", text, StringComparison.Ordinal);
        Assert.Contains("46683a32", text, StringComparison.Ordinal);
        Assert.Contains("activation mismatch", text, StringComparison.Ordinal);
    }

    [Fact]
    public void ListAndShowAreMachineReadable()
    {
        using ModelStore store = Store(new Uri("http://127.0.0.1:9/"));
        ModelsCommand.List(store, ModelCatalogue.Entries, asJson: true, _output);
        using JsonDocument list = JsonDocument.Parse(_output.ToString());
        Assert.Equal(196 + 49, list.RootElement.GetArrayLength()); // open_clip's, and those in transformers' layout
        Assert.All(list.RootElement.EnumerateArray(), static entry =>
        {
            Assert.True(entry.GetProperty("parameters").GetInt64() > 10_000_000);
            Assert.True(entry.GetProperty("gflop").GetDouble() > 1);
            Assert.Contains(entry.GetProperty("name").GetString()!.StartsWith("blip-image-captioning", StringComparison.Ordinal) ? "captions" : "features", entry.GetProperty("can").GetString(), StringComparison.Ordinal);
            Assert.False(entry.GetProperty("published_weights_seen").GetBoolean());
        });
        JsonElement blip = list.RootElement.EnumerateArray().First(static entry => entry.GetProperty("name").GetString() == "blip2-itm-vit-g/salesforce");
        Assert.Equal(("BLIP-2", "features+pairs", "structure"), (blip.GetProperty("family").GetString(), blip.GetProperty("can").GetString(), blip.GetProperty("compared").GetString()));
        JsonElement coca = list.RootElement.EnumerateArray().First(static entry => entry.GetProperty("name").GetString() == "coca_ViT-B-32/laion2b_s13b_b90k");
        Assert.Equal("features+captions", coca.GetProperty("can").GetString());
        Assert.Equal("size", coca.GetProperty("compared").GetString());
        Assert.Equal(14, list.RootElement.EnumerateArray().Count(entry => entry.GetProperty("audited").GetBoolean()));
    }

    /// <summary>
    /// Stand-ins of a few kilobytes for the weights: what is shown is that one call fetches all fourteen, from the hub where it
    /// has the right file and else from the release, and checks each. The release prefix is the stand-in's own.
    /// </summary>
    [Fact]
    public async Task OneCommandPullsAndChecksTheAuditedFourteen()
    {
        var hub = new LoopbackHub();
        ImmutableArray<CatalogueEntry> entries = [.. ModelCatalogue.Entries.Where(entry => entry.IsAudited).Select(entry =>
        {
            byte[] content = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(entry.HubRepository ?? entry.Name, 100)));
            if (entry.HubRepository is string repository)
                hub.Add(repository, entry.HubFileNames[1], content);
            if (entry.ReleaseUrl is not null)
                hub.AddRelease(entry.ReleaseUrl, content);
            // The hashes that are known of the real files are not the stand-ins'.
            CatalogueEntry standIn = entry with { HubSha256 = ImmutableDictionary<string, string>.Empty };
            return entry.ReleaseUrl is null ? standIn : standIn with { ReleaseSha256Prefix = Convert.ToHexStringLower(SHA256.HashData(content))[..8] };
        })];
        using var server = new LoopbackServer(hub.Answer);
        using ModelStore store = Store(server.Address);
        Assert.Equal(0, await ModelsCommand.PullAsync(store, entries, allowUnverified: false, asJson: true, _output, _errors, default));
        string[] states = [.. _output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement.GetProperty("verification").GetString()!)];
        // Two files serve two names each: the second time it is one that was recorded.
        Assert.Equal(11, states.Count(state => state == "hub-hash"));
        Assert.Equal(2, states.Count(state => state == "recorded"));
        Assert.Equal(1, states.Count(state => state == "prefix-checked"));
        Assert.Contains("14 of 14", _errors.ToString(), StringComparison.Ordinal);
        Assert.All(entries, entry => Assert.NotNull(store.Find(entry)));
    }

    [Fact]
    public async Task OneFailureDoesNotStopTheOthersAndShowsInTheExitCode()
    {
        CatalogueEntry good = ModelCatalogue.Find("ViT-B-32/laion2b_e16"), missing = ModelCatalogue.Find("ViT-B-16/laion2b_s34b_b88k");
        using var server = new LoopbackServer(new LoopbackHub().Add(good.HubRepository!, good.HubFileNames[0], new byte[1000]).Answer);
        using ModelStore store = Store(server.Address);
        Assert.Equal(1, await ModelsCommand.PullAsync(store, [missing, good], allowUnverified: false, asJson: false, _output, _errors, default));
        Assert.Contains(good.Name, _output.ToString(), StringComparison.Ordinal);
        Assert.Contains(missing.Name, _errors.ToString(), StringComparison.Ordinal);
    }

    private ModelStore Store(Uri address) => new(new ModelStoreOptions
    {
        HubCacheFolder = _folder.File("hub"),
        ReleaseFolder = _folder.File("clip"),
        HubEndpoint = address,
        ReleaseEndpoint = address,
    });
}
