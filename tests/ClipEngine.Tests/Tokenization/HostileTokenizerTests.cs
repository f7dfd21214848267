using System.Text;
using System.Text.Json.Nodes;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

/// <summary>Damaged and hostile files end in an error that names the file, or in a tokenizer that works.</summary>
public sealed class HostileTokenizerTests : IDisposable
{
    private static readonly string[] s_sentences = ["A photo of the cat's <mask> 123!", "日本語 café \u0301 \ud83d\ude00", "<s></s>\n\n▁▁ [SEP] x"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("bert-uncased", "tokenizer.json", "BertTokenizer", 200)]
    [InlineData("bert-uncased", "vocab.txt", "BertTokenizer", 150)]
    [InlineData("clip", "tokenizer.json", "CLIPTokenizer", 150)]
    [InlineData("gpt2", "merges.txt", "GPT2Tokenizer", 150)]
    [InlineData("gpt2", "vocab.json", "GPT2Tokenizer", 150)]
    [InlineData("roberta", "tokenizer.json", null, 150)]
    [InlineData("siglip2", "tokenizer.json", "GemmaTokenizer", 150)]
    [InlineData("siglip2", "tokenizer.model", "GemmaTokenizer", 300)]
    [InlineData("siglip2", "tokenizer_config.json", null, 300)]
    [InlineData("mt5", "spiece.model", "T5Tokenizer", 150)]
    public void AMutantIsRefusedByNameOrWorks(string family, string name, string? className, int count)
    {
        var random = new Random(11);
        byte[] whole = File.ReadAllBytes(TestData.Path("tokenizer", "families", family, name));
        foreach (string other in Directory.GetFiles(TestData.Path("tokenizer", "families", family)).Where(static file => !file.EndsWith(".jsonl", StringComparison.Ordinal) && !file.EndsWith("golden.json", StringComparison.Ordinal)))
        {
            // The file under test must be the one that is read.
            if (Path.GetFileName(other) != "tokenizer.json" || name is "tokenizer.json" or "tokenizer_config.json")
                File.Copy(other, _folder.File(Path.GetFileName(other)), overwrite: true);
        }

        int refused = 0;
        for (int i = 0; i < count; i++)
        {
            File.WriteAllBytes(_folder.File(name), Mutate(whole, random));
            foreach (TokenizerStyle style in new[] { TokenizerStyle.Transformers, TokenizerStyle.File })
            {
                if (style == TokenizerStyle.File && name is "vocab.txt" or "vocab.json" or "merges.txt")
                    continue;
                try
                {
                    TextTokenizer tokenizer = TokenizerFolder.Load(_folder.Root, new TokenizerOptions { Like = style, ClassName = style == TokenizerStyle.File ? null : className, ContextLength = 32 });
                    foreach (string sentence in s_sentences)
                        Assert.All(tokenizer.Encode(sentence, out _), id => Assert.InRange(id, 0, tokenizer.VocabularySize - 1));
                }
                catch (BadInputException exception)
                {
                    Assert.Contains(_folder.Root, exception.Message, StringComparison.Ordinal);
                    refused++;
                }
            }
        }

        Assert.True(refused > 0, "no mutant was refused");
    }

    public static TheoryData<string, byte[]> Tables() => new()
    {
        { "at least 4", [1, 2] },
        { "1073741824 bytes", [0, 0, 0, 0x40, 0, 0, 0, 0] },
        { "units have 4", [3, 0, 0, 0, 1, 2, 3] },
        { "outside", [4, 0, 0, 0, 0, 0xFC, 0xFF, 0x3F, 0] },
        // Unit 0 leads to state 1; there 'a' (0x61) lies at 0x60 and leads back to state 1.
        { "cycle", Table(0x61 + 1, (0, 1 << 10), (0x60, (0x61 << 10) | 0x61)) },
        // 'a' has a leaf whose value lies behind the replacements.
        { "behind its", Table(0x61 + 1, (0, 1 << 10), (0x60, (0x60 << 10) | 0x100 | 0x61)) },
    };

    [Theory]
    [MemberData(nameof(Tables))]
    public void ATableOfReplacementsThatContradictsItselfIsRefused(string named, byte[] table)
    {
        Assert.Contains(named, Assert.Throws<FormatException>(() => CharacterMap.Read(table)).Message, StringComparison.Ordinal);
        JsonNode root = JsonNode.Parse(File.ReadAllText(TestData.Path("tokenizer", "families", "bert-cased", "tokenizer.json")))!;
        root["normalizer"] = new JsonObject { ["type"] = "Precompiled", ["precompiled_charsmap"] = Convert.ToBase64String(table) };
        string path = _folder.File("tokenizer.json");
        File.WriteAllText(path, root.ToJsonString());
        Assert.Contains(path, Assert.Throws<BadInputException>(() => TokenizerFolder.Load(path, new TokenizerOptions { Like = TokenizerStyle.File })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ANormalizerThatBlowsATextUpIsStopped()
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(TestData.Path("tokenizer", "families", "gpt2", "tokenizer.json")))!;
        JsonNode[] steps = [.. Enumerable.Range(0, 32).Select(_ => new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = "a" }, ["content"] = new string('a', 8) })];
        root["normalizer"] = new JsonObject { ["type"] = "Sequence", ["normalizers"] = new JsonArray(steps) };
        string path = _folder.File("tokenizer.json");
        File.WriteAllText(path, root.ToJsonString());
        TextTokenizer tokenizer = TokenizerFolder.Load(path, new TokenizerOptions { Like = TokenizerStyle.File });
        Assert.Contains("normalizer", Assert.Throws<BadInputException>(() => tokenizer.Encode("banana", out _)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AHugeFileIsRefusedUnread()
    {
        foreach (string name in new[] { "tokenizer.json", "spiece.model", "vocab.txt" })
        {
            string path = _folder.File(name);
            using (FileStream stream = File.Create(path))
                stream.SetLength(1L << 30);
            var options = new TokenizerOptions { Like = name == "vocab.txt" ? TokenizerStyle.Transformers : TokenizerStyle.File, ClassName = name == "vocab.txt" ? "BertTokenizer" : null };
            Assert.Contains("1073741824 bytes", Assert.Throws<BadInputException>(() => TokenizerFolder.Load(path, options)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("StrangeTokenizer", "StrangeTokenizer is not built")]
    [InlineData("SiglipTokenizer", "spiece.model")]
    [InlineData("T5Tokenizer", "needs Unigram")]
    public void AClassThatDoesNotFitIsRefusedByName(string className, string named) => Assert.Contains(named,
        Assert.Throws<BadInputException>(() => TokenizerFolder.Load(TestData.Path("tokenizer", "families", "bert-cased"), new TokenizerOptions { ClassName = className })).Message, StringComparison.Ordinal);

    [Fact]
    public void OptionsThatMeanNothingAreRefused()
    {
        string folder = TestData.Path("tokenizer", "families", "bert-cased");
        foreach (TokenizerOptions options in new TokenizerOptions[]
                 {
                     new() { Clean = TextClean.Lower }, new() { Language = "zho_Hans" }, new() { Like = TokenizerStyle.File, ClassName = "BertTokenizer" },
                     new() { Like = TokenizerStyle.File, StripSeparator = true }, new() { ContextLength = 2 }, new() { ContextLength = 0 },
                 })
            Assert.Throws<BadInputException>(() => TokenizerFolder.Load(folder, options));
        Assert.Throws<BadInputException>(() => TokenizerFolder.Load(_folder.Root));
        Assert.Throws<BadInputException>(() => TokenizerFolder.Load(_folder.File("nothing.json")));
    }

    [Fact]
    public void ATokenizerWithoutPaddingFillsNoRow()
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(TestData.Path("tokenizer", "families", "gpt2"), new TokenizerOptions { ContextLength = 4 });
        Assert.Contains("padding", Assert.Throws<BadInputException>(() => tokenizer.Encode("a", new int[4])).Message, StringComparison.Ordinal);
        Assert.True(tokenizer.Encode("a long sentence of many words", new int[4]).IsTruncated);
    }

    [Fact]
    public void OneEndlessWordTakesNoEndlessTime()
    {
        string text = string.Concat(Enumerable.Repeat("ab", 60_000));
        foreach (string family in new[] { "bert-cased", "clip", "siglip2", "mt5" })
            Assert.True(TokenizerFolder.Load(TestData.Path("tokenizer", "families", family), new TokenizerOptions { ContextLength = 16 }).Encode(text, out EncodedLength length).Length <= 16 && length.FullCount >= 3);
    }

    private static byte[] Table(int units, params (int Index, int Unit)[] set)
    {
        byte[] table = new byte[4 + (4 * units) + 1];
        BitConverter.TryWriteBytes(table, 4 * units);
        foreach ((int index, int unit) in set)
            BitConverter.TryWriteBytes(table.AsSpan(4 + (4 * index)), unit);
        return table;
    }

    /// <summary>Flips, removes, repeats or replaces a few bytes, or cuts the file.</summary>
    private static byte[] Mutate(byte[] whole, Random random)
    {
        var bytes = whole.ToList();
        for (int change = random.Next(1, 5); change > 0 && bytes.Count > 0; change--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(1, 40)));
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(random.Next(bytes.Count), 1));
                    break;
                case 4:
                    bytes.InsertRange(at, Encoding.UTF8.GetBytes(random.Next(4) switch { 0 => "null", 1 => "-1", 2 => "\"\"", _ => "99999999999" }));
                    break;
                default:
                    if (random.Next(8) == 0)
                        bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }

        return [.. bytes];
    }
}
