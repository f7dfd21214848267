using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Which file a folder, a name of the hub or a link stands for.</summary>
public sealed class ModelFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>open_clip 3.3, local-dir:.</summary>
    [Theory]
    [InlineData("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")]
    [InlineData("open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")]
    [InlineData("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth")]
    [InlineData("open_clip_pytorch_model.bin", "model.safetensors")]
    [InlineData("open_clip_pytorch_model.pth", "model.safetensors")]
    [InlineData("model.safetensors", "pytorch_model.bin")]
    [InlineData("pytorch_model.bin", "model.pth")]
    public void OpenClipsOrderOfFiles(string first, string second)
    {
        Touch("open_clip_config.json", "config.json", first, second);
        Assert.Equal(_folder.File(first), Checkpoint.FindWeights(_folder.Root));
    }

    /// <summary>from_pretrained of transformers.</summary>
    [Theory]
    [InlineData("model.safetensors", "open_clip_pytorch_model.bin")]
    [InlineData("model.safetensors", "pytorch_model.bin")]
    [InlineData("model.safetensors.index.json", "pytorch_model.bin")]
    [InlineData("pytorch_model.bin", "pytorch_model.bin.index.json")]
    [InlineData("model.safetensors", "model.fp16.safetensors")]
    public void TransformersOrderOfFiles(string first, string second)
    {
        Touch("config.json", first, second);
        Assert.Equal(_folder.File(first), Checkpoint.FindWeights(_folder.Root));
    }

    [Theory]
    [InlineData("model.fp16.safetensors")]
    [InlineData("model.safetensors.index.fp16.json")]
    [InlineData("pytorch_model.fp16.bin")]
    public void AVariantByItselfIsTaken(string name)
    {
        Touch("config.json", name, "model.fp16-00001-of-00002.safetensors", "training_args.bin");
        Assert.Equal(_folder.File(name), Checkpoint.FindWeights(_folder.Root));
    }

    [Fact]
    public void SeveralVariantsAreNamed()
    {
        Touch("config.json", "model.fp16.safetensors", "model.bf16.safetensors");
        var exception = Assert.Throws<CheckpointException>(() => Checkpoint.FindWeights(_folder.Root));
        Assert.Equal(CheckpointError.Ambiguous, exception.Error);
        Assert.Contains("model.bf16.safetensors, model.fp16.safetensors", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheFolderOfARepositoryIsItsMainSnapshot()
    {
        string repository = _folder.File("models--acme--tiny"), first = new('a', 40), second = new('b', 40);
        foreach (string commit in new[] { first, second })
            Directory.CreateDirectory(Path.Combine(repository, "snapshots", commit));
        Directory.CreateDirectory(Path.Combine(repository, "refs"));
        Assert.Contains($"snapshots/{first}, snapshots/{second}", Assert.Throws<BadInputException>(() => ModelLocation.Resolve(repository)).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(repository, "refs", "main"), second);
        Assert.Equal(Path.Combine(repository, "snapshots", second), ModelLocation.Resolve(repository));
        Assert.Equal(Path.Combine(repository, "snapshots", second), ModelLocation.Resolve(repository + "/"));
        Assert.Equal(Path.Combine(repository, "snapshots", second), ModelLocation.Resolve("local-dir:" + repository));
        Directory.Delete(Path.Combine(repository, "snapshots", second));
        Assert.Equal(Path.Combine(repository, "snapshots", first), ModelLocation.Resolve(repository));
        Assert.Equal(_folder.Root, ModelLocation.Resolve(_folder.Root));
        Assert.Equal("ViT-B-32/openai", ModelLocation.Resolve("ViT-B-32/openai"));
    }

    [Theory]
    [InlineData("hf-hub:../x")]
    [InlineData("hf-hub:acme")]
    [InlineData("hf-hub:acme/nothing@../../x")]
    [InlineData("hf-hub:acme/nothing")]
    [InlineData("local-dir:/no/such/folder")]
    public void WhatIsNotThereIsRefusedByName(string name) =>
        Assert.StartsWith(name, Assert.Throws<BadInputException>(() => ModelLocation.Resolve(name)).Message, StringComparison.Ordinal);

    [Fact]
    public void VariablesThatNameFoldersAreExpandedAsTheHubDoes()
    {
        Dictionary<string, string> environment = new() { ["HOME"] = "/home/me", ["DATA"] = "/data" };
        Assert.Equal("/home/me/hf/hub", Read("HF_HOME", "~/hf").HubCacheFolder);
        Assert.Equal("/data/hf/hub", Read("HF_HOME", "$DATA/hf").HubCacheFolder);
        Assert.Equal("/data/hub", Read("HF_HUB_CACHE", "${DATA}/hub").HubCacheFolder);
        Assert.Equal("/home/me/old", Read("HUGGINGFACE_HUB_CACHE", "~/old").HubCacheFolder);
        Assert.Equal("/home/me/.cache/huggingface/hub", Read("NOTHING", "x").HubCacheFolder);
        Assert.StartsWith("HF_HOME: ", Assert.Throws<BadInputException>(() => Read("HF_HOME", "$MISSING/hf")).Message, StringComparison.Ordinal);
        Assert.StartsWith("HF_HOME: ", Assert.Throws<BadInputException>(() => Read("HF_HOME", "~other/hf")).Message, StringComparison.Ordinal);

        ModelStoreOptions Read(string name, string value)
        {
            var all = new Dictionary<string, string>(environment) { [name] = value };
            return ModelStoreOptions.FromEnvironment(key => all.GetValueOrDefault(key));
        }
    }

    [Fact]
    public void ALinkThatLeadsNowhereIsNoCopyOnThisMachine()
    {
        string commit = new('b', 40), repository = _folder.File("models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K");
        string snapshot = Path.Combine(repository, "snapshots", commit);
        Directory.CreateDirectory(snapshot);
        File.CreateSymbolicLink(Path.Combine(snapshot, "open_clip_model.safetensors"), "cache/blobs/nothing");
        using var store = new ModelStore(new ModelStoreOptions { HubCacheFolder = _folder.Root, ReleaseFolder = _folder.File("release") });
        CatalogueEntry entry = ModelCatalogue.TryFind("ViT-B-32/laion2b_s34b_b79k")!;
        Assert.Null(store.Find(entry));
        Assert.Contains("is a symbolic link that leads nowhere", store.Explain(entry).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CheckpointsOfOtherToolsAreNamedWithTheirWayOut()
    {
        Touch(".metadata", "__0_0.distcp");
        Assert.Contains("dcp_to_torch_save", Assert.Throws<CheckpointException>(() => Checkpoint.FindWeights(_folder.Root)).Message, StringComparison.Ordinal);
        Assert.Contains("dcp_to_torch_save", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.File("__0_0.distcp"))).Message, StringComparison.Ordinal);
        File.Delete(_folder.File(".metadata"));
        File.Delete(_folder.File("__0_0.distcp"));
        Touch("zero_pp_rank_0_mp_rank_00_optim_states.pt");
        Assert.Contains("zero_to_fp32", Assert.Throws<CheckpointException>(() => Checkpoint.FindWeights(_folder.Root)).Message, StringComparison.Ordinal);
        Assert.Contains("zero_to_fp32", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.File("zero_pp_rank_0_mp_rank_00_optim_states.pt"))).Message, StringComparison.Ordinal);
    }

    private void Touch(params string[] names)
    {
        foreach (string name in names)
            File.WriteAllText(_folder.File(name), "x");
    }
}
