using ClipEngine.Testing;
using ClipEngine.Tokenization;
using Xunit.Abstractions;

namespace ClipEngine.Tests.Tokenization;

public sealed class ClipTokenizerTests(ITestOutputHelper output)
{
    private static readonly ClipTokenizer s_tokenizer = new();

    [Fact]
    public void EveryGoldenLineMatchesOpenClip()
    {
        List<GoldenSentence> sentences = GoldenSentence.Read(TestData.Path("tokenizer", "clip-bpe.jsonl"));
        Assert.Equal(867, sentences.Count);
        Assert.DoesNotContain(sentences, sentence => !sentence.Matches(s_tokenizer));
    }

    [SkippableFact]
    public void PublicClassNamesMatchAndTheShareOfMojibakeIsReported()
    {
        List<GoldenSentence> sentences = GoldenSentence.Read(TestData.SharedPath("goldens", "tokenizer", "clip-bpe-public.jsonl"));
        ILookup<bool, GoldenSentence> byKind = sentences.ToLookup(sentence => sentence.Category == "mojibake");
        Assert.NotEmpty(byKind[false]);
        Assert.DoesNotContain(byKind[false], sentence => !sentence.Matches(s_tokenizer));
        output.WriteLine($"mojibake: {byKind[true].Count(sentence => sentence.Matches(s_tokenizer))} of {byKind[true].Count()} lines match without ftfy's weighing of encodings");
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("\t\r\n\u2028\u3000\u00a0")]
    public void NothingButWhiteSpaceIsStartAndEnd(string text) =>
        Assert.Equal([ClipTokenizer.StartOfText, ClipTokenizer.EndOfText], GoldenSentence.Encode(s_tokenizer, text));

    [Theory]
    [InlineData(74, 76, false)]
    [InlineData(75, 77, false)]
    [InlineData(76, 78, true)]
    [InlineData(9998, 10_000, true)]
    public void CuttingKeepsTheEndAndIsReported(int words, int fullCount, bool isTruncated)
    {
        int[] ids = new int[77];
        EncodedLength length = s_tokenizer.Encode(string.Join(' ', Enumerable.Repeat("a", words)), ids);
        Assert.Equal(fullCount, length.FullCount);
        Assert.Equal(Math.Min(77, fullCount), length.Count);
        Assert.Equal(isTruncated, length.IsTruncated);
        Assert.Equal(ClipTokenizer.EndOfText, ids[length.Count - 1]);
        Assert.Equal(320, ids[length.Count - 2]);
    }

    [Fact]
    public void AnotherContextLengthCutsElsewhere()
    {
        var tokenizer = new ClipTokenizer(contextLength: 4);
        int[] ids = new int[4];
        EncodedLength length = tokenizer.Encode("a photo of a dog", ids);
        Assert.Equal([49406, 320, 1125, 49407], ids);
        Assert.Equal(new EncodedLength(4, 7), length);
        Assert.Throws<ArgumentException>(() => tokenizer.Encode("a", new int[5]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ClipTokenizer(1));
    }

    /// <summary>Sizes at which anything quadratic, or a backtracking expression, would not end within a test run.</summary>
    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("'")]
    [InlineData("ab")]
    [InlineData("&amp;")]
    [InlineData("&amp")]
    [InlineData("amp;")]
    [InlineData("&semi")]
    [InlineData("a\u0301\u0323")]
    [InlineData("\u0301\u0323")]
    [InlineData("Σ'")]
    [InlineData("\u001b[1;")]
    [InlineData("\ufffd")]
    [InlineData("😀")]
    [InlineData("\r\n")]
    [InlineData("٣")]
    public void MillionsOfCharactersAreEncoded(string unit)
    {
        string text = string.Concat(Enumerable.Repeat(unit, 1_000_000 / unit.Length));
        int[] ids = new int[77];
        EncodedLength length = s_tokenizer.Encode(text, ids);
        Assert.InRange(length.FullCount, 2, 4_000_002);
        Assert.InRange(ids.Max(), 0, ClipTokenizer.EndOfText);
    }

    [Fact]
    public void ALongWordJoinsAsTheDefinitionSays()
    {
        var random = new Random(5);
        for (int round = 0; round < 300; round++)
        {
            string word = string.Concat(Enumerable.Range(0, random.Next(1, 60)).Select(_ => (char)('a' + random.Next(round % 2 == 0 ? 3 : 26))));
            Assert.Equal(ReferencePairEncoding.Encode(word), GoldenSentence.Encode(new ClipTokenizer(100), word)[1..^1]);
        }
    }

    [Fact]
    public void AnyTextIsEncodedWithoutAnException()
    {
        var random = new Random(11);
        int[] ids = new int[77];
        string[] fragments = ["&", "&#", ";", "&amp;", "<", "\u001b[", "'s", "İ", "Σ", "ﬁ", "\u0301", "\ud83d", "\ude00", "<start_of_text>", "\u1100\u1161\u11a8", "Ａ", "\0"];
        for (int round = 0; round < 20_000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(30)).Select(_ =>
                random.Next(3) == 0 ? fragments[random.Next(fragments.Length)] : ((char)random.Next(0x10000)).ToString()));
            EncodedLength length = s_tokenizer.Encode(text, ids);
            Assert.Equal(ClipTokenizer.StartOfText, ids[0]);
            Assert.Equal(ClipTokenizer.EndOfText, ids[length.Count - 1]);
        }
    }

    /// <summary>Cultures cannot be set where globalization is invariant; one that lowers and compares as Turkish does not exist then.</summary>
    [Fact]
    public void ThreadsShareATokenizer()
    {
        List<GoldenSentence> sentences = GoldenSentence.Read(TestData.Path("tokenizer", "clip-bpe.jsonl"));
        int[] alone = [.. sentences.Select(sentence => GoldenSentence.Encode(s_tokenizer, sentence.Text).Aggregate(HashCode.Combine))];
        Parallel.For(0, 4, _ => Assert.Equal(alone, sentences.Select(sentence => GoldenSentence.Encode(s_tokenizer, sentence.Text).Aggregate(HashCode.Combine))));
        Assert.Throws<System.Globalization.CultureNotFoundException>(() => new System.Globalization.CultureInfo("tr-TR"));
    }

    [Fact]
    public void SpecialWordsAreTheOnesOfOpenClip()
    {
        Assert.Equal([49406, 49406, 1883, 49407, 49407], GoldenSentence.Encode(s_tokenizer, "<START_OF_TEXT> hi <end_of_text>"));
        Assert.DoesNotContain(49407, GoldenSentence.Encode(s_tokenizer, "<|endoftext|>")[1..^1]);
    }
}
