using System.Text.Json.Nodes;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

public sealed class TokenizerJsonTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AClipTokenizerGivesTheIdsOfItsVocabulary()
    {
        ITokenizer tokenizer = Load(Valid(), contextLength: 8);
        int[] ids = new int[8];
        // l o w+end merge to "lo" (512) and "low" + end (513); é is composed first; digits stand alone.
        EncodedLength length = tokenizer.Encode("Low  LO", ids);
        Assert.Equal([900, 513, 512 - 512 + Byte('l'), 256 + Byte('o'), 901, 901, 901, 901], ids);
        Assert.Equal(new EncodedLength(5, 5), length);
        Assert.Equal(902, tokenizer.VocabularySize);
    }

    [Fact]
    public void AddedTokensSplitTheTextAsWritten()
    {
        int[] ids = new int[8];
        Load(Valid(), contextLength: 8).Encode("low<|endoftext|>low", ids);
        Assert.Equal([900, 513, 901, 513, 901, 901, 901, 901], ids);
    }

    public static TheoryData<string, string> Refusals() => new()
    {
        { "model.type=WordLevel", "WordLevel" },
        { "model.type=Unigram", "'vocab' is of kind Object" },
        { "model.byte_fallback=true", "byte_fallback" },
        { "model.ignore_merges=true", "ignore_merges" },
        { "model.unk_token=<none>", "<none>" },
        { "model.dropout=0.1", "dropout" },
        { "model.continuing_subword_prefix=##", "continuing_subword_prefix" },
        { "normalizer.normalizers.0.type=NFKC", "NFKC" },
        { "normalizer.normalizers.1.pattern.Regex=\\\\d", "\\d" },
        { "pre_tokenizer.pretokenizers.0.pattern.Regex=\\\\w+", "\\w+" },
        { "pre_tokenizer.pretokenizers.0.behavior=Isolated", "Isolated" },
        { "pre_tokenizer.pretokenizers.1.type=UnicodeScripts", "UnicodeScripts" },
        { "post_processor.type=TemplateProcessing", "'special_tokens' is missing" },
        { "post_processor.sep.1=902", "902" },
        { "padding.pad_id=902", "902" },
        { "model.vocab.!=-1", "-1" },
        { "model.vocab.!=1", "twice" },
        { "model.vocab.!=99999999999", "99999999999" },
        { "model.vocab.lo=remove", "'lo'" },
        { "model.merges.0=l o w", "model.merges[0]" },
        { "model.merges.1=l o", "repeats" },
        { "model.vocab=remove", "'vocab' is missing" },
        { "model=remove", "'model' is missing" },
        { "added_tokens.0.id=5", "contradicts" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void WhatIsNotUnderstoodIsRefusedByName(string change, string named)
    {
        JsonObject root = Valid();
        string path = change[..change.IndexOf('=')], value = change[(change.IndexOf('=') + 1)..];
        string[] steps = path.Split('.');
        JsonNode node = root;
        foreach (string step in steps[..^1])
            node = int.TryParse(step, out int index) ? node[index]! : node[step]!;
        JsonNode? replacement = value is "true" || double.TryParse(value, out _) ? JsonNode.Parse(value) : JsonValue.Create(value);
        if (value == "remove")
            node.AsObject().Remove(steps[^1]);
        else if (int.TryParse(steps[^1], out int index))
            node[index] = replacement;
        else
            node[steps[^1]] = replacement;
        BadInputException exception = Assert.Throws<BadInputException>(() => Load(root, 8));
        Assert.Contains(named, exception.Message, StringComparison.Ordinal);
        Assert.Contains(_folder.Root, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DamagedFilesAreRefused()
    {
        string whole = Valid().ToJsonString();
        foreach (string text in new[] { "", "[]", "null", "{", whole[..(whole.Length / 2)], "{\"model\":{},\"model\":{}}", "\u001f\u008b" })
        {
            string path = _folder.File("damaged.json");
            File.WriteAllText(path, text);
            Assert.Throws<BadInputException>(() => TokenizerFolder.Load(path, new TokenizerOptions { Like = TokenizerStyle.File }));
        }
    }

    private static int Byte(char character) => character - '!';

    private ITokenizer Load(JsonObject root, int contextLength)
    {
        string path = _folder.File("tokenizer.json");
        File.WriteAllText(path, root.ToJsonString());
        return TokenizerFolder.Load(path, new TokenizerOptions { Like = TokenizerStyle.File, ContextLength = contextLength });
    }

    private static JsonObject Valid()
    {
        var vocabulary = new JsonObject();
        int id = 0;
        foreach (string suffix in new[] { "", "</w>" })
        {
            foreach (int value in BytePairEncoder.BytesInVocabularyOrder())
                vocabulary.Add(BytePairEncoder.ByteCharacter(value) + suffix, id++);
        }

        vocabulary.Add("lo", 512);
        vocabulary.Add("low</w>", 513);
        vocabulary.Add("<|startoftext|>", 900);
        vocabulary.Add("<|endoftext|>", 901);
        return new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = new JsonObject { ["pad_id"] = 901, ["pad_token"] = "<|endoftext|>" },
            ["added_tokens"] = new JsonArray(
                new JsonObject { ["id"] = 900, ["content"] = "<|startoftext|>", ["special"] = true },
                new JsonObject { ["id"] = 901, ["content"] = "<|endoftext|>", ["special"] = true }),
            ["normalizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(
                    new JsonObject { ["type"] = "NFC" },
                    new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["Regex"] = "\\s+" }, ["content"] = " " },
                    new JsonObject { ["type"] = "Lowercase" }),
            },
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = @"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+" },
                        ["behavior"] = "Removed",
                        ["invert"] = true,
                    },
                    new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true }),
            },
            ["post_processor"] = new JsonObject
            {
                ["type"] = "RobertaProcessing",
                ["sep"] = new JsonArray("<|endoftext|>", 901),
                ["cls"] = new JsonArray("<|startoftext|>", 900),
            },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = "<|endoftext|>",
                ["continuing_subword_prefix"] = "",
                ["end_of_word_suffix"] = "</w>",
                ["fuse_unk"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray("l o", "lo w</w>"),
            },
        };
    }
}
