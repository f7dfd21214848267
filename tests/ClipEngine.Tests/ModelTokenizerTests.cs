using System.Text.Json.Nodes;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests;

/// <summary>Which tokenizer a model has, by its layout and its configuration.</summary>
public sealed class ModelTokenizerTests : IDisposable
{
    private const string Curled = "“A photo” of THE cat, &amp; dog";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ATokenizerJsonBesideAnOpenClipModelChangesNothing()
    {
        WriteOpenClip(_ => { });
        Copy("bert-uncased");
        Assert.Equal(Ids(new ClipTokenizer()), Ids(ModelTokenizer.Load(_folder.Root)));
    }

    [Theory]
    [InlineData("whitespace", TextClean.Whitespace)]
    [InlineData("canonicalize", TextClean.Canonicalize)]
    public void OpenClipsCleaningIsTheConfigurations(string name, TextClean clean)
    {
        WriteOpenClip(text => text["tokenizer_kwargs"] = new JsonObject { ["clean"] = name });
        Assert.Equal(Ids(new ClipTokenizer(clean: clean)), Ids(ModelTokenizer.Load(_folder.Root)));
        Assert.NotEqual(Ids(new ClipTokenizer()), Ids(ModelTokenizer.Load(_folder.Root)));
    }

    [Fact]
    public void ANamedTokenizerIsReadFromTheFolderBehindOpenClipsCleaning()
    {
        WriteOpenClip(text =>
        {
            text["hf_tokenizer_name"] = "someone/something";
            text["tokenizer_kwargs"] = new JsonObject { ["strip_sep_token"] = true };
        });
        Assert.Contains("someone/something", Assert.Throws<BadInputException>(() => ModelTokenizer.Load(_folder.Root)).Message, StringComparison.Ordinal);
        Copy("bert-uncased");
        var options = new TokenizerOptions { Like = TokenizerStyle.OpenClip, StripSeparator = true, ContextLength = 77 };
        Assert.Equal(Ids(TokenizerFolder.Load(_folder.Root, options)), Ids(ModelTokenizer.Load(_folder.Root)));
    }

    [Fact]
    public void AModeThatIsNotBuiltIsRefusedByName()
    {
        WriteOpenClip(text => text["tokenizer_mode"] = "clips");
        Assert.Contains("clips", Assert.Throws<BadInputException>(() => ModelTokenizer.Load(_folder.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATransformersModelHasTransformersRules()
    {
        File.WriteAllText(_folder.File("config.json"), """{"model_type": "clip", "text_config": {"vocab_size": 49408}, "vision_config": {}}""");
        Assert.Equal(Ids(TokenizerFolder.Clip()), Ids(ModelTokenizer.Load(_folder.File("config.json"))));
        File.Copy(TestData.Path("tokenizer", "families", "clip", "tokenizer.json"), _folder.File("tokenizer.json"));
        Assert.Equal(Ids(TokenizerFolder.Load(_folder.Root, new TokenizerOptions { ClassName = "CLIPTokenizer", ContextLength = 77 })), Ids(ModelTokenizer.Load(_folder.File("config.json"))));
    }

    private static int[] Ids(ITokenizer tokenizer)
    {
        int[] ids = new int[tokenizer.ContextLength];
        tokenizer.Encode(Curled, ids);
        return ids;
    }

    private void WriteOpenClip(Action<JsonNode> change)
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(TestData.Path("towers", "vit-gelu", "open_clip_config.json")))!;
        JsonNode text = (root["model_cfg"] ?? root)["text_cfg"]!;
        text["vocab_size"] = 49408;
        text["context_length"] = 77;
        change(text);
        File.WriteAllText(_folder.File("open_clip_config.json"), root.ToJsonString());
    }

    private void Copy(string family)
    {
        foreach (string name in new[] { "tokenizer.json", "tokenizer_config.json", "config.json" })
            File.Copy(TestData.Path("tokenizer", "families", family, name), _folder.File(name));
    }
}
