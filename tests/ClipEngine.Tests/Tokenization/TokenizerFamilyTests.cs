using System.Text;
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

    /// <summary>Vocabularies of bytes lose nothing: every line comes back as it was, but for signs of the model that it names.</summary>
    [Theory]
    [InlineData("gpt2", "transformers")]
    [InlineData("roberta", "open_clip")]
    public void BytesComeBackFromTheirIds(string family, string pipeline)
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(Folder(family), new TokenizerOptions { ContextLength = 4096 });
        int count = 0;
        foreach (string text in Lines(family, pipeline).Select(static line => line.Text).Where(static text => !text.Contains("<|", StringComparison.Ordinal) && !text.Contains('<') && IsWellFormed(text)))
        {
            Assert.Equal(text, Decode(tokenizer, tokenizer.Encode(text, out EncodedLength length)));
            Assert.False(length.IsTruncated);
            count++;
        }

        Assert.True(count > 200);
    }

    /// <summary>Words come back with spaces where the vocabulary has them; what training's cleaning takes away does not.</summary>
    [SkippableTheory]
    [InlineData("bert-uncased", "A photo of unbelievable anteaters, really!", "a photo of unbelievable anteaters , really !")]
    [InlineData("bert-cased", "A photo of Unbelievable Anteaters", "A photo of Unbelievable Anteaters")]
    [InlineData("bert-chinese", "一只猫 cat", "一 只 猫 cat")]
    [InlineData("clip", "A photo of Unbelievable anteaters", "a photo of unbelievable anteaters")]
    [InlineData("gpt2", "A photo  of ü\n", "A photo  of ü\n")]
    [InlineData("roberta", "A photo  of 東京 🌃", "A photo  of 東京 🌃")]
    [InlineData("mt5", "A photo of Tokyo, ü", "A photo of Tokyo, ü")]
    [InlineData("siglip2", "A photo of 東京 🌃 ü", "A photo of 東京 🌃 ü")]
    [InlineData("siglip", "a photo of unbelievable anteaters", "a photo of unbelievable anteaters")]
    [InlineData("siglip-i18n", "ein Foto von Köln", "ein Foto von Köln")]
    [InlineData("xlm-roberta", "ein Foto von Köln, ja", "ein Foto von Köln, ja")]
    [InlineData("nllb", "ein Foto von Köln", "ein Foto von Köln")]
    public void WordsComeBackFromTheirIds(string family, string text, string expected)
    {
        TextTokenizer tokenizer = TokenizerFolder.Load(Folder(family), new TokenizerOptions { ContextLength = 64 });
        Assert.Equal(expected.TrimEnd(' '), Decode(tokenizer, tokenizer.Encode(text, out _)).Trim(' '));
        int[] row = new int[64];
        if (tokenizer.PaddingId is not null)
        {
            tokenizer.Encode(text, row);
            Assert.Equal(expected.TrimEnd(' '), Decode(tokenizer, row).Trim(' ')); // padding stands for nothing
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.BytesOf(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.BytesOf(tokenizer.VocabularySize));
    }

    /// <summary>The file read as it stands, a SentencePiece model alone, and SigLIP's own class have vocabularies of their own.</summary>
    [SkippableTheory]
    [InlineData("mt5", "spiece.model", null)]
    [InlineData("siglip2", "tokenizer.json", null)]
    [InlineData("bert-cased", "tokenizer.json", null)]
    [InlineData("clip", "tokenizer.json", null)]
    [InlineData("siglip", "", "SiglipTokenizer")]
    public void EveryWayToReadAVocabularyKnowsItsTexts(string family, string file, string? className)
    {
        const string Text = "a photo of anteaters";
        TextTokenizer tokenizer = TokenizerFolder.Load(Path.Combine(Folder(family), file), className is null
            ? new TokenizerOptions { Like = TokenizerStyle.File, ContextLength = 64 } : new TokenizerOptions { ClassName = className, ContextLength = 64 });
        Assert.Equal(Text, Decode(tokenizer, tokenizer.Encode(Text, out _)).Trim(' '));
    }

    private static string Decode(TextTokenizer tokenizer, int[] ids)
    {
        var bytes = new List<byte>();
        foreach (int id in ids)
            bytes.AddRange(tokenizer.BytesOf(id).Span);
        return Encoding.UTF8.GetString([.. bytes]);
    }

    private static bool IsWellFormed(string text) => Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)) == text && !text.Contains('\uFFFD');

    /// <summary>The tokenizer that a model's own configuration asks for, beside the files of its repository: every line again.</summary>
    [SkippableTheory]
    [InlineData("nllb", "open_clip", "facebook/nllb-200-distilled-600M", """ "hf_proj_type": "linear", "hf_pooler_type": "cls_pooler" """)]
    [InlineData("nllb", "open_clip-zho_Hans", "facebook/nllb-200-distilled-600M", """ "hf_pooler_type": "cls_pooler", "tokenizer_kwargs": { "language": "zho_Hans" } """)]
    [InlineData("mt5", "open_clip-whitespace", "google/mt5-base", """ "hf_pooler_type": "mean_pooler" """)]
    [InlineData("mt5", "open_clip-canonicalize", "google/mt5-xl", """ "tokenizer_kwargs": { "clean": "canonicalize" } """)]
    [InlineData("roberta", "open_clip", "roberta-base", """ "hf_pooler_type": "mean_pooler" """)]
    [InlineData("xlm-roberta", "open_clip", "xlm-roberta-large", """ "hf_pooler_type": "mean_pooler" """)]
    [InlineData("bert-cased", "open_clip", "bert-base-cased", """ "hf_pooler_type": "mean_pooler" """)]
    public void EveryLineMatchesThroughTheConfigurationOfATextTower(string family, string pipeline, string name, string options)
    {
        string vision = """{ "image_size": 224, "layers": 12, "width": 768, "patch_size": 32 }""";
        CompareModel(family, pipeline, "open_clip_config.json",
            $$"""{ "model_cfg": { "embed_dim": 512, "vision_cfg": {{vision}}, "text_cfg": { "hf_model_name": "{{name}}", "hf_tokenizer_name": "{{name}}", {{options}} } } }""");
    }

    [SkippableTheory]
    [InlineData("bert-chinese", """{ "model_type": "chinese_clip", "text_config": { "max_position_embeddings": 52 } }""")]
    [InlineData("xlm-roberta", """{ "model_type": "altclip", "text_config": { "max_position_embeddings": 79 } }""")]
    public void EveryLineMatchesThroughTheConfigurationOfAModelOfTransformers(string family, string configuration) => CompareModel(family, "transformers", "config.json", configuration);

    private static void CompareModel(string family, string pipeline, string configurationName, string configuration)
    {
        using var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(Folder(family)).Where(static file => !file.EndsWith(".jsonl", StringComparison.Ordinal) && !file.EndsWith("golden.json", StringComparison.Ordinal)))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        File.WriteAllText(folder.File(configurationName), configuration);
        ITokenizer tokenizer = ModelTokenizer.Load(folder.Root);
        int padding = Golden(family, pipeline).GetProperty("pad_id").GetInt32();
        Assert.Equal(Golden(family, pipeline).GetProperty("context_length").GetInt32(), tokenizer.ContextLength);
        int[] row = new int[tokenizer.ContextLength];
        Compare(Lines(family, pipeline), line =>
        {
            tokenizer.Encode(line.Text, row);
            return [.. row];
        }, line => [.. line.Ids, .. Enumerable.Repeat(padding, row.Length - line.Ids.Length)]);
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
