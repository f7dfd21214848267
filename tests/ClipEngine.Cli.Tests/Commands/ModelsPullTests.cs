using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary><c>models pull</c> as a user starts it, against a hub on loopback: the real one was never tried.</summary>
public sealed class ModelsPullTests : IDisposable
{
    // Found by search: its SHA-256 begins with the eight digits that are published for the release file of ViT-B-16-plus-240/laion400m_e32.
    private static readonly byte[] s_epoch32 = "e32-000762328667"u8.ToArray();

    private readonly TemporaryFolder _folder = new();
    private readonly LoopbackHub _hub = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Stand-ins of some kilobytes for the weights. All else is as it will be: one command, the catalogue's own names and hashes.</summary>
    [Fact]
    public async Task OneCommandFetchesAndChecksAllAuditedWeights()
    {
        CatalogueEntry[] entries = FillHub();
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome outcome = await PullAsync(server.Address, "--audited", "--json");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        JsonElement[] lines = [.. outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(entries.Select(static entry => entry.Name), lines.Select(static line => line.GetProperty("weights").GetString()));
        // Two files serve two names each: the second time it is one that was recorded.
        Assert.All(lines, line => Assert.Equal(
            line.GetProperty("weights").GetString() switch { "ViT-B-16-plus-240/laion400m_e32" => "prefix-checked", string name when name.StartsWith("ViT-B-32-quickgelu/", StringComparison.Ordinal) => "recorded", _ => "hub-hash" },
            line.GetProperty("verification").GetString()));
        Assert.All(lines, static line => Assert.True(File.Exists(line.GetProperty("path").GetString())));
        Assert.Contains("14 of 14", outcome.Error, StringComparison.Ordinal);

        // Once more without the network: everything is checked again, nothing is asked.
        int requests = server.Requests.Count;
        outcome = await PullAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "--audited");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.Contains("14 of 14", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(requests, server.Requests.Count);
    }

    [Fact]
    public async Task SeveralProcessesFillOneCacheTogether()
    {
        const int Processes = 6;
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion2b_e16");
        byte[] content = new byte[3_000_000];
        new Random(9).NextBytes(content);
        _hub.Add(entry.HubRepository!, entry.HubFileNames[0], content);
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, Processes).Select(_ => PullAsync(server.Address, entry.Name)));
        Assert.All(outcomes, static outcome => Assert.True(outcome.ExitCode == 0, outcome.ToString()));
        string blobs = Path.Combine(_folder.Root, "hub", "models--timm--vit_base_patch32_clip_224.laion2b_e16", "blobs");
        Assert.Equal(content, File.ReadAllBytes(Assert.Single(Directory.GetFiles(blobs))));
    }

    /// <summary>The proxy of the environment is asked, and the host behind it is never looked up. What it answers over plain http is taken only where its hash is known.</summary>
    [Fact]
    public async Task AProxyOfTheEnvironmentIsUsed()
    {
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion2b_e16");
        _hub.Add(entry.HubRepository!, entry.HubFileNames[0], new byte[5000]);
        const string Hub = "http://hub.invalid";
        using var proxy = new LoopbackServer(request => request.Path.StartsWith(Hub, StringComparison.Ordinal) ? _hub.Answer(request with { Path = request.Path[Hub.Length..] }) : new LoopbackAnswer(400, []));
        ProcessOutcome outcome = await PullAsync(new Uri(Hub), ("http_proxy", proxy.Address.AbsoluteUri), entry.Name);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("plain http", outcome.Error, StringComparison.Ordinal);
        Assert.NotEmpty(proxy.Requests);
        Assert.Empty(Directory.Exists(_folder.File("hub")) ? Directory.GetFiles(_folder.File("hub"), "*.safetensors", SearchOption.AllDirectories) : []);
    }

    [Fact]
    public async Task OfflineWithoutTheFileIsRefusedAndSaysWhereItBelongs()
    {
        ProcessOutcome outcome = await PullAsync(new Uri("http://127.0.0.1:9/"), ("HF_HUB_OFFLINE", "1"), "ViT-L-14/laion400m_e32");
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("models--timm--vit_large_patch14_clip_224.laion400m_e32", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("vit_l_14-laion400m_e32-3d133497.pt", outcome.Error, StringComparison.Ordinal);
    }

    /// <summary>A model in transformers' layout: its tokenizer, configuration and processor come along, and sentences become features without the network. A tiny BLIP stands in.</summary>
    [SkippableTheory]
    [InlineData("blip-itm-base/coco", "transformers-itm-tiny")]
    [InlineData("blip2-itm-vit-g/salesforce", "transformers-blip2-tiny")]
    public async Task WhatIsPulledInTransformersLayoutIsWhole(string name, string standIn)
    {
        FillHubWithBlip(name, standIn);
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome outcome = await PullAsync(server.Address, name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        int requests = server.Requests.Count;
        string features = _folder.File("features.npy");
        outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "embed", "text", "a photo of a cat", "--model", name, "--out", features);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.True(File.Exists(features));
        outcome = await PullAsync(server.Address, ("HF_HUB_OFFLINE", "1"), name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.Equal(requests, server.Requests.Count);
    }

    /// <summary>
    /// Each family in transformers' layout with the files that its repositories have: the tokenizer is found with what 'pull' brought, and is the one that the model type asks
    /// for. Ids are transformers' own of the same sentence. Chinese-CLIP has a vocabulary and nothing else; of the two SigLIP 2, one lower-cases.
    /// </summary>
    [SkippableTheory]
    [InlineData("siglip-base-patch16-224/webli", "hf-siglip", "siglip/transformers.jsonl", "siglip/spiece.model", "siglip/transformers/tokenizer_config.json")]
    [InlineData("siglip2-base-patch16-224/webli", "hf-siglip", "siglip2/transformers-fixres.jsonl", "siglip2/tokenizer.json", "siglip2/tokenizer.model", "siglip2/tokenizer_config.json")]
    [InlineData("siglip2-base-patch16-naflex/webli", "hf-siglip2-naflex", "siglip2/transformers-naflex.jsonl", "siglip2/tokenizer.json", "siglip2/tokenizer.model", "siglip2/tokenizer_config.json")]
    [InlineData("AltCLIP-m9/baai", "hf-altclip", "xlm-roberta/transformers.jsonl", "xlm-roberta/tokenizer.json", "xlm-roberta/tokenizer_config.json")]
    [InlineData("chinese-clip-vit-base-patch16/ofa-sys", "hf-chinese-clip", "bert-chinese/transformers.jsonl", "bert-chinese/vocab.txt")]
    [InlineData("metaclip-b32/400m", "hf-clip", "clip/transformers.jsonl", "clip/vocab.json", "clip/merges.txt", "clip/tokenizer_config.json")]
    public async Task TheTokenizerOfEveryFamilyInTransformersLayoutIsPulled(string name, string model, string golden, params string[] tokenizer)
    {
        string repository = ModelCatalogue.Find(name).HubRepository!;
        // The tiny model's configuration, with room for the tokenizer's ids.
        JsonObject configuration = JsonNode.Parse(await File.ReadAllTextAsync(TestData.SharedPath("goldens", "families", model, "config.json")))!.AsObject();
        configuration["text_config"]!["vocab_size"] = 4000;
        configuration["text_config"]!["max_position_embeddings"] = 80;
        configuration["text_config"]!["eos_token_id"] = 1401;
        _hub.AddSmall(repository, "config.json", Encoding.UTF8.GetBytes(configuration.ToJsonString()))
            .Add(repository, ModelCatalogue.Find(name).HubFileNames[^1], new byte[5000]);
        foreach (string file in tokenizer)
            _hub.AddSmall(repository, Path.GetFileName(file), await File.ReadAllBytesAsync(TestData.SharedPath(["goldens", "tokenizer", "families", .. file.Split('/')])));
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome outcome = await PullAsync(server.Address, name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        JsonElement line = File.ReadLines(TestData.SharedPath(["goldens", "tokenizer", "families", .. golden.Split('/')])).Select(static text => JsonDocument.Parse(text).RootElement).First(static line => line.GetProperty("text").GetString()!.Any(char.IsUpper));
        outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "tokenize", line.GetProperty("text").GetString()!, "--model", name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        int[] expected = Ids(line), found = Ids(JsonDocument.Parse(outcome.Output).RootElement);
        Assert.Equal(expected, found[..expected.Length]);

        static int[] Ids(JsonElement line) => [.. line.GetProperty("ids").EnumerateArray().Select(static id => id.GetInt32())];
    }

    /// <summary>The tokenizer that an open_clip configuration names is fetched from its own repository, where open_clip looks for it, too.</summary>
    [SkippableFact]
    public async Task TheTokenizerOfAnotherRepositoryIsFetchedAndFound()
    {
        const string Name = "roberta-ViT-B-32/laion2b_s12b_b32k";
        CatalogueEntry entry = ModelCatalogue.Find(Name);
        _hub.Add(entry.HubRepository!, entry.HubFileNames[0], new byte[5000]);
        string folder = TestData.SharedPath("goldens", "tokenizer", "families", "roberta");
        foreach (string file in new[] { "config.json", "vocab.json", "merges.txt", "tokenizer_config.json" })
            _hub.AddSmall("roberta-base", file, await File.ReadAllBytesAsync(Path.Combine(folder, file)));
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "tokenize", "a photo of a cat", "--model", Name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.Contains("\"ids\":[", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WeightsWhoseTokenizerIsMissingAreSaidToBeUnfinished()
    {
        const string Name = "blip-itm-base/coco";
        CatalogueEntry entry = ModelCatalogue.Find(Name);
        _hub.Add(entry.HubRepository!, "model.safetensors", new byte[5000]).AddSmall(entry.HubRepository!, "tokenizer_config.json", "{}"u8.ToArray());
        using var server = new LoopbackServer(_hub.Answer);
        ProcessOutcome outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("Salesforce/blip-itm-base-coco has none of tokenizer.json", outcome.Error, StringComparison.Ordinal);
        outcome = await PullAsync(server.Address, ("HF_HUB_OFFLINE", "1"), Name);
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("tokenizer", outcome.Error, StringComparison.Ordinal);
    }

    /// <summary>
    /// What decides about features is bound to its first use, and nothing else: a changed description is no matter, a changed configuration is refused by its name, what was
    /// fetched before stays in use, and the message says how a change is accepted.
    /// </summary>
    [SkippableFact]
    public async Task ARepositoryWhoseConfigurationChangesIsRefusedAndOneWhoseDescriptionChangesIsNot()
    {
        const string Name = "blip-itm-base/coco";
        string repository = FillHubWithBlip(Name);
        _hub.AddSmall(repository, "README.md", "one"u8.ToArray());
        using var server = new LoopbackServer(_hub.Answer);
        Assert.Equal(0, (await PullAsync(server.Address, Name)).ExitCode);
        _hub.Push(new string('a', 40));
        _hub.AddSmall(repository, "README.md", "two"u8.ToArray()).AddSmall(repository, ".gitattributes", "three"u8.ToArray());
        ProcessOutcome outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());

        byte[] configuration = await File.ReadAllBytesAsync(TestData.SharedPath("goldens", "blip", "transformers-itm-tiny", "config.json"));
        _hub.Push(new string('b', 40));
        _hub.AddSmall(repository, "config.json", [.. configuration, (byte)'\n']);
        outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains($"config.json of {repository}", outcome.Error, StringComparison.Ordinal);
        string record = Path.Combine(_folder.Root, "clip", $"models--{repository.Replace("/", "--", StringComparison.Ordinal)}--config.json.sha256-seen");
        Assert.Contains(record, outcome.Error, StringComparison.Ordinal);
        // What was there before is used as before, by either name.
        foreach (string model in new[] { Name, "hf-hub:" + repository })
        {
            outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "embed", "text", "a photo of a cat", "--model", model, "--out", _folder.File("features.npy"));
            Assert.True(outcome.ExitCode == 0, outcome.ToString());
        }

        File.Delete(record);
        outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.EndsWith("\n", await File.ReadAllTextAsync(Path.Combine(_folder.Root, "hub", $"models--{repository.Replace("/", "--", StringComparison.Ordinal)}", "snapshots", new string('b', 40), "config.json")), StringComparison.Ordinal);
    }

    /// <summary>A description changes, and a file that decides about features cannot be had: the pull fails and says so, and what was fetched before is used as before, by either name.</summary>
    [SkippableTheory]
    [InlineData("tokenizer.json", 403)]
    [InlineData("config.json", 403)]
    [InlineData("tokenizer_config.json", 400)]
    public async Task APullThatCannotFetchAllLeavesAWorkingModel(string missing, int status)
    {
        const string Name = "blip-itm-base/coco";
        string repository = FillHubWithBlip(Name);
        bool isRefused = false;
        using var server = new LoopbackServer(request => isRefused && request.Path.EndsWith("/" + missing, StringComparison.Ordinal) ? new LoopbackAnswer(status, []) : _hub.Answer(request));
        Assert.Equal(0, (await PullAsync(server.Address, Name)).ExitCode);
        _hub.Push(new string('a', 40));
        _hub.AddSmall(repository, "README.md", "two"u8.ToArray());
        isRefused = true;
        ProcessOutcome outcome = await PullAsync(server.Address, Name);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("stays as it was", outcome.Error, StringComparison.Ordinal);
        Assert.Contains(missing, outcome.Error, StringComparison.Ordinal);
        foreach (string model in new[] { Name, "hf-hub:" + repository })
        {
            foreach (string[] arguments in new string[][] { ["embed", "text", "a photo of a cat", "--model", model, "--out", _folder.File("features.npy")], ["tokenize", "a photo of a cat", "--model", model] })
            {
                outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), arguments);
                Assert.True(outcome.ExitCode == 0, outcome.ToString());
            }
        }
    }

    /// <summary>A file beside the weights that somebody writes to is refused at use and by 'verify', by its name; another pull brings it back.</summary>
    [SkippableFact]
    public async Task ATokenizerThatIsWrittenToIsRefusedAndFetchedAgain()
    {
        const string Name = "blip-itm-base/coco";
        string repository = FillHubWithBlip(Name);
        using var server = new LoopbackServer(_hub.Answer);
        Assert.Equal(0, (await PullAsync(server.Address, Name)).ExitCode);
        string file = Path.Combine(_folder.Root, "hub", $"models--{repository.Replace("/", "--", StringComparison.Ordinal)}", "snapshots", LoopbackHub.Commit, "tokenizer_config.json");
        await File.AppendAllTextAsync(file, " ");
        string[] embed = ["embed", "text", "a photo of a cat", "--model", Name, "--out", _folder.File("features.npy")];
        foreach (string[] arguments in new[] { embed, ["tokenize", "a photo of a cat", "--model", Name], ["models", "verify", Name] })
        {
            ProcessOutcome refusal = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), arguments);
            Assert.True(refusal.ExitCode == 2, refusal.ToString());
            Assert.Contains("tokenizer_config.json", refusal.Error, StringComparison.Ordinal);
            Assert.Contains($"clipengine models pull {Name}", refusal.Error, StringComparison.Ordinal);
        }

        Assert.Equal(0, (await PullAsync(server.Address, Name)).ExitCode);
        foreach (string[] arguments in new[] { embed, ["tokenize", "a photo of a cat", "--model", Name], ["models", "verify", Name] })
        {
            ProcessOutcome outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), arguments);
            Assert.True(outcome.ExitCode == 0, outcome.ToString());
        }
    }

    [SkippableFact]
    public async Task ABrokenTokenizerIsRefusedByItsFile()
    {
        const string Name = "blip-itm-base/coco";
        string folder = TestData.SharedPath("goldens", "blip", "transformers-itm-tiny"), repository = ModelCatalogue.Find(Name).HubRepository!;
        foreach (string file in new[] { "model.safetensors", "config.json", "tokenizer_config.json" })
            _hub.Add(repository, file, await File.ReadAllBytesAsync(Path.Combine(folder, file)));
        _hub.AddSmall(repository, "tokenizer.json", "{\"version\": \"1.0\", \"model\": "u8.ToArray());
        using var server = new LoopbackServer(_hub.Answer);
        Assert.Equal(0, (await PullAsync(server.Address, Name)).ExitCode);
        ProcessOutcome outcome = await RunAsync(server.Address, ("HF_HUB_OFFLINE", "1"), "embed", "text", "a photo of a cat", "--model", Name, "--out", _folder.File("features.npy"));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains("tokenizer.json", outcome.Error, StringComparison.Ordinal);
    }

    /// <summary>A tiny BLIP under the name of a published one.</summary>
    /// <returns>Its repository.</returns>
    private string FillHubWithBlip(string name, string standIn = "transformers-itm-tiny")
    {
        string folder = TestData.SharedPath("goldens", "blip", standIn), repository = ModelCatalogue.Find(name).HubRepository!;
        foreach (string file in Directory.GetFiles(folder).Select(static path => Path.GetFileName(path)!).Where(static file => !file.StartsWith("golden", StringComparison.Ordinal)))
        {
            byte[] content = File.ReadAllBytes(Path.Combine(folder, file));
            _ = file == "model.safetensors" ? _hub.Add(repository, file, content) : _hub.AddSmall(repository, file, content);
        }

        return repository;
    }

    private CatalogueEntry[] FillHub()
    {
        CatalogueEntry[] entries = [.. ModelCatalogue.Entries.Where(static entry => entry.IsAudited)];
        foreach (CatalogueEntry entry in entries)
        {
            // Where the hash of a file is known, a stand-in is refused; the next of the usual names is tried.
            if (entry.HubRepository is { } repository)
                _hub.Add(repository, entry.HubFileNames.First(name => !entry.HubSha256.ContainsKey(name)), Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(repository, 100))));
            else
                _hub.AddRelease(entry.ReleaseUrl!, s_epoch32);
        }

        return entries;
    }

    private Task<ProcessOutcome> PullAsync(Uri hub, params string[] arguments) => PullAsync(hub, ("HF_HUB_OFFLINE", null), arguments);

    private Task<ProcessOutcome> PullAsync(Uri hub, (string Name, string? Value) variable, params string[] arguments) => RunAsync(hub, variable, ["models", "pull", .. arguments]);

    private Task<ProcessOutcome> RunAsync(Uri hub, (string Name, string? Value) variable, params string[] arguments)
    {
        // Nothing of this machine's own settings, and nothing into its caches.
        var environment = new Dictionary<string, string?>
        {
            ["HF_HUB_CACHE"] = _folder.File("hub"),
            ["HF_HOME"] = _folder.File("home"),
            ["HF_TOKEN"] = null,
            ["HF_ENDPOINT"] = hub.AbsoluteUri,
            ["TRANSFORMERS_OFFLINE"] = null,
            ["CLIPENGINE_RELEASE_CACHE"] = _folder.File("clip"),
            ["CLIPENGINE_RELEASE_ENDPOINT"] = hub.AbsoluteUri,
        };
        foreach (string name in new[] { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY" })
            environment[name] = null;
        environment[variable.Name] = variable.Value;
        return ProcessRunner.RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), .. arguments], environment: environment);
    }
}
