using System.Text;
using ClipEngine.Audit.Tables;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Cli.Tests.Commands;

public sealed class TokenizeCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly MemoryStream _output = new();
    private readonly StringWriter _errors = new();

    public void Dispose()
    {
        _folder.Dispose();
        _output.Dispose();
        _errors.Dispose();
    }

    [Fact]
    public void SentencesBecomeJsonLinesWithoutPadding()
    {
        Assert.Equal(0, TokenizeCommand.Run(new ClipTokenizer(), ["a", "你\n\"b\""], _output, _errors));
        Assert.Equal(2, Lines().Length);
        Assert.Equal("{\"text\":\"a\",\"ids\":[49406,320,49407]}", Lines()[0]);
        Assert.StartsWith("{\"text\":\"你\\n\\\"b\\\"\",\"ids\":[49406,47466,", Lines()[1], StringComparison.Ordinal);
        Assert.Empty(_errors.ToString());
    }

    [Fact]
    public void ACutSentenceIsMarkedAndNoted()
    {
        TokenizeCommand.Run(new ClipTokenizer(3), ["a", "a b"], _output, _errors);
        Assert.Equal(["{\"text\":\"a\",\"ids\":[49406,320,49407]}", "{\"text\":\"a b\",\"ids\":[49406,320,49407],\"truncated\":true}"], Lines());
        Assert.Contains("1 of the sentences", _errors.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("in.txt", "a\n\nb\n", 3)]
    [InlineData("in.jsonl", "\"a\"\n\n{\"text\":\"b\",\"x\":1}\n", 2)]
    public void FilesAreReadLineByLine(string name, string content, int lines)
    {
        File.WriteAllText(_folder.File(name), content);
        TokenizeCommand.Run(new ClipTokenizer(), TextList.Read(_folder.File(name)), _output, _errors);
        Assert.Equal(lines, Lines().Length);
    }

    /// <summary>Brackets, keys and quotes of JSON must not become part of a prompt where the name says nothing of JSON.</summary>
    [Theory]
    [InlineData("[\"a\", \"b\"]")]
    [InlineData("\n[\n \"a\"\n]")]
    [InlineData("{\"text\": \"a\"}\n{\"text\": \"b\"}")]
    [InlineData("[{\"text\": \"a\"}]")]
    public void JsonUnderAnotherNameIsRefused(string content)
    {
        string file = _folder.File("in.txt");
        File.WriteAllText(file, content);
        Assert.Contains(".jsonl", Assert.Throws<BadInputException>(() => TextList.Read(file).ToList()).Message, StringComparison.Ordinal);
        File.WriteAllText(file, "[a photo] of \"b\"\n{c}\n");
        Assert.Equal(["[a photo] of \"b\"", "{c}"], TextList.Read(file));
    }

    [Theory]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("{\"name\":\"a\"}")]
    [InlineData("\"\\ud800\"")]
    public void ABadLineIsNamed(string line)
    {
        string file = _folder.File("in.jsonl");
        File.WriteAllText(file, "\"a\"\n" + line);
        BadInputException exception = Assert.Throws<BadInputException>(() => TokenizeCommand.Run(new ClipTokenizer(), TextList.Read(file), _output, _errors));
        Assert.Contains("line 2", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ViT-B-32", 77)]
    [InlineData("ViT-L-14/laion2b_s32b_b82k", 77)]
    public void ACatalogueNameGivesItsTokenizer(string model, int contextLength) =>
        Assert.Equal(contextLength, ModelTokenizer.Load(model).ContextLength);

    [Fact]
    public void AFoldersConfigurationGivesTheContextLength()
    {
        string json = ClipEngine.Checkpoints.ModelCatalogue.FindModel("ViT-B-32").ConfigurationJson;
        File.WriteAllText(_folder.File("open_clip_config.json"), json.Replace("\"context_length\": 77", "\"context_length\": 9", StringComparison.Ordinal));
        Assert.Equal(9, ModelTokenizer.Load(_folder.Root).ContextLength);
        Assert.Equal(9, ModelTokenizer.Load(_folder.File("open_clip_config.json")).ContextLength);
        File.WriteAllText(_folder.File("open_clip_config.json"), json.Replace("49408", "1000", StringComparison.Ordinal));
        Assert.Throws<BadInputException>(() => ModelTokenizer.Load(_folder.Root));
    }

    [Theory]
    [InlineData("ViT-L-14-CLIPA", "bert-base-uncased")]
    [InlineData("ViT-X-99", "no model or weights of that name")]
    [InlineData("weights.safetensors", "no such file")]
    public void WhatHasNoClipTokenizerIsRefusedByName(string model, string named) =>
        Assert.Contains(named, Assert.Throws<BadInputException>(() => ModelTokenizer.Load(model)).Message, StringComparison.Ordinal);

    [Fact]
    public async Task ATokenizersFolderIsReadAsAskedFor()
    {
        string folder = TestData.Path("tokenizer", "families", "bert-uncased");
        ProcessOutcome outcome = await CommandLine.RunAsync("tokenize", "--tokenizer", folder, "--like", "open_clip", "--strip-sep", "--context", "4", "--clean", "lower", "a", "a b c d");
        Assert.Equal(0, outcome.ExitCode);
        TextTokenizer tokenizer = TokenizerFolder.Load(folder, new TokenizerOptions { Like = TokenizerStyle.OpenClip, StripSeparator = true, ContextLength = 4, Clean = TextClean.Lower });
        Assert.StartsWith($"{{\"text\":\"a\",\"ids\":[{string.Join(',', tokenizer.Encode("a", out _))}]}}\n", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("\"truncated\":true", outcome.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--model", "--model", "ViT-B-32", "--like", "open_clip")]
    [InlineData("--tokenizer", "--like", "file")]
    [InlineData("--clean", "--like", "transformers", "--clean", "lower")]
    [InlineData("--like", "--like", "other")]
    [InlineData("nowhere", "--tokenizer", "nowhere")]
    public async Task OptionsThatContradictEachOtherAreWrongUsage(string named, params string[] options)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync(["tokenize", .. options, "a"]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(named, outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    private string[] Lines() => Encoding.UTF8.GetString(_output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
