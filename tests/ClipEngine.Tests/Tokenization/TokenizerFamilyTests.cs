using System.Text.Json;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

/// <summary>The ids that open_clip 3.3, transformers 5.24 and sentencepiece 0.2.3 make of some 300 lines for each family; every line must match.</summary>
public class TokenizerFamilyTests
{
    /// <summary>Needs ftfy's encoding repair, or depends on each library's Unicode tables.</summary>
    private static readonly string[] s_reportedOnly = ["mojibake", "unassigned"];

    [SkippableTheory]
    [InlineData("bert-uncased", "clipa")]
    [InlineData("bert-uncased", "blip")]
    [InlineData("bert-cased", "open_clip")]
    [InlineData("bert-chinese", "transformers")]
    [InlineData("clip", "transformers")]
    [InlineData("gpt2", "transformers")]
    [InlineData("mt5", "open_clip-whitespace")]
    [InlineData("mt5", "open_clip-canonicalize")]
    [InlineData("nllb", "open_clip")]
    [InlineData("nllb", "open_clip-zho_Hans")]
    [InlineData("roberta", "open_clip")]
    [InlineData("siglip", "open_clip")]
    [InlineData("siglip", "transformers", "SiglipTokenizer")]
    [InlineData("siglip-i18n", "open_clip")]
    [InlineData("siglip2", "open_clip")]
    [InlineData("siglip2", "transformers-fixres")]
    [InlineData("siglip2", "transformers-naflex", "Siglip2Tokenizer")]
    [InlineData("xlm-roberta", "open_clip")]
    [InlineData("xlm-roberta", "transformers")]
    public void EveryLineOfThePipelineMatches(string family, string pipeline, string? className = null)
    {
        string folder = Folder(family);
        JsonElement golden = Golden(family, pipeline);
        JsonElement arguments = golden.GetProperty("arguments");
        int context = golden.GetProperty("context_length").GetInt32();
        bool isOpenClip = golden.GetProperty("by").GetString()!.StartsWith("open_clip", StringComparison.Ordinal);
        TextTokenizer tokenizer = TokenizerFolder.Load(folder, new TokenizerOptions
        {
            Like = isOpenClip ? TokenizerStyle.OpenClip : TokenizerStyle.Transformers,
            ClassName = className,
            ContextLength = context,
            Clean = arguments.TryGetProperty("clean", out _) ? TextClean.Canonicalize : null,
            Language = arguments.TryGetProperty("language", out JsonElement language) ? language.GetString() : null,
            StripSeparator = arguments.TryGetProperty("strip_sep_token", out _),
        });
        Compare(Lines(family, pipeline), line => tokenizer.Encode(line.Text, out _), static line => line.Ids);
        Assert.Equal(golden.GetProperty("pad_id").ValueKind == JsonValueKind.Null ? null : golden.GetProperty("pad_id").GetInt32(), tokenizer.PaddingId);
        if (tokenizer.PaddingId is not { } padding)
            return;
        int[] row = new int[context];
        foreach (Line line in Lines(family, pipeline).Take(50))
        {
            int[] ids = tokenizer.Encode(line.Text, out EncodedLength expected);
            Assert.Equal(expected, tokenizer.Encode(line.Text, row));
            Assert.Equal([.. ids, .. Enumerable.Repeat(padding, context - ids.Length)], row);
        }
    }

    [SkippableTheory]
    [InlineData("bert-uncased", "blip")]
    [InlineData("bert-cased", "open_clip")]
    [InlineData("clip", "transformers")]
    [InlineData("gpt2", "transformers")]
    [InlineData("nllb", "open_clip")]
    [InlineData("roberta", "open_clip")]
    [InlineData("siglip", "open_clip")]
    [InlineData("siglip-i18n", "open_clip")]
    [InlineData("siglip2", "open_clip")]
    [InlineData("siglip2", "transformers-naflex")]
    [InlineData("xlm-roberta", "transformers")]
    public void TheFileReadLiterallyGivesItsOwnIds(string family, string pipeline)
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(Folder(family), new TokenizerOptions { Like = TokenizerStyle.File, ContextLength = Golden(family, pipeline).GetProperty("context_length").GetInt32() });
        Compare(Lines(family, pipeline), line => tokenizer.Encode(line.Clean, out _), static line => line.FileIds);
    }

    [SkippableTheory]
    [InlineData("mt5", "spiece.model")]
    [InlineData("siglip", "spiece.model")]
    [InlineData("siglip2", "tokenizer.model")]
    public void ASentencePieceModelAloneGivesThatLibrarysIds(string family, string model)
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(Path.Combine(Folder(family), model), new TokenizerOptions { Like = TokenizerStyle.File });
        Compare(Lines(family, "sentencepiece"), line => tokenizer.Encode(line.Text, out _), static line => line.Ids);
    }

    [SkippableTheory]
    [InlineData("bert-uncased", "blip", "vocab.txt", "config.json", "tokenizer_config.json")]
    [InlineData("gpt2", "transformers", "vocab.json", "merges.txt", "config.json", "tokenizer_config.json")]
    [InlineData("roberta", "open_clip", "vocab.json", "merges.txt", "config.json", "tokenizer_config.json")]
    [InlineData("siglip", "open_clip", "spiece.model", "tokenizer_config.json")]
    [InlineData("siglip2", "transformers-fixres", "tokenizer.model", "tokenizer_config.json")]
    public void TheFamilysOtherFilesLeadToTheSameIds(string family, string pipeline, params string[] names)
    {
        using var folder = new TemporaryFolder();
        foreach (string name in names)
            File.Copy(Path.Combine(Folder(family), name), folder.File(name));
        JsonElement golden = Golden(family, pipeline);
        TextTokenizer tokenizer = TokenizerFolder.Load(folder.Root, new TokenizerOptions
        {
            Like = golden.GetProperty("by").GetString()!.StartsWith("open_clip", StringComparison.Ordinal) ? TokenizerStyle.OpenClip : TokenizerStyle.Transformers,
            ContextLength = golden.GetProperty("context_length").GetInt32(),
            Clean = golden.GetProperty("arguments").TryGetProperty("clean", out _) ? TextClean.Canonicalize : null,
        });
        Compare(Lines(family, pipeline), line => tokenizer.Encode(line.Text, out _), static line => line.Ids);
    }

    [Theory]
    [InlineData("siglip", "transformers-fixres")]
    [InlineData("siglip2", "transformers-naflex")]
    public void TheModelTypeDecidesBetweenGemmasClasses(string modelType, string pipeline)
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(Folder("siglip2"), new TokenizerOptions { ModelType = modelType, ContextLength = 64 });
        Compare(Lines("siglip2", pipeline), line => tokenizer.Encode(line.Text, out _), static line => line.Ids);
    }

    [Fact]
    public void OnClipsOwnVocabularyTheTwoLibrariesDifferAsStored()
    {
        var ownRules = new ClipTokenizer();
        TextTokenizer transformers = TokenizerFolder.Clip();
        string path = Path.Combine(Folder("clip-real"), "differences.jsonl");
        foreach (string text in File.ReadLines(path))
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement root = document.RootElement;
            if (s_reportedOnly.Contains(root.GetProperty("category").GetString()))
                continue;
            string sentence = root.GetProperty("text").GetString()!;
            Assert.Equal(Ids(root, "open_clip"), GoldenSentence.Encode(ownRules, sentence));
            Assert.Equal(Ids(root, "transformers"), transformers.Encode(sentence, out _));
        }
    }

    private static void Compare(IEnumerable<Line> lines, Func<Line, int[]> encode, Func<Line, int[]> expected)
    {
        var wrong = new List<string>();
        int count = 0;
        foreach (Line line in lines.Where(static line => !s_reportedOnly.Contains(line.Category)))
        {
            count++;
            int[] ids = encode(line);
            if (!ids.SequenceEqual(expected(line)))
                wrong.Add($"{line.Category}: {BadInputException.Escape(line.Text, 80)}: [{string.Join(' ', ids)}] for [{string.Join(' ', expected(line))}]");
        }

        Assert.True(count > 50);
        Assert.True(wrong.Count == 0, $"{wrong.Count} of {count} lines differ:\n{string.Join('\n', wrong.Take(5))}");
    }

    /// <summary>Small families lie in every clone; the others are large and stand beside some checkouts.</summary>
    private static string Folder(string family)
    {
        string folder = TestData.Path("tokenizer", "families", family);
        return Directory.Exists(folder) ? folder : TestData.SharedPath("goldens", "tokenizer", "families", family);
    }

    private static JsonElement Golden(string family, string pipeline)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder(family), "golden.json")));
        return document.RootElement.GetProperty("pipelines").GetProperty(pipeline).Clone();
    }

    private static List<Line> Lines(string family, string pipeline)
    {
        var lines = new List<Line>();
        foreach (string text in File.ReadLines(Path.Combine(Folder(family), pipeline + ".jsonl")))
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement root = document.RootElement;
            string sentence = root.GetProperty("text").GetString()!;
            int[] ids = Ids(root, "ids");
            lines.Add(new Line(root.GetProperty("category").GetString()!, sentence, root.TryGetProperty("clean", out JsonElement clean) ? clean.GetString()! : sentence,
                ids, root.TryGetProperty("ids_file", out _) ? Ids(root, "ids_file") : ids));
        }

        return lines;
    }

    private static int[] Ids(JsonElement root, string name) => [.. root.GetProperty(name).EnumerateArray().Select(static id => id.GetInt32())];

    private sealed record Line(string Category, string Text, string Clean, int[] Ids, int[] FileIds);
}
