using System.Text;
using ClipEngine.Testing;
using ClipEngine.Tokenization;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.Tokenizers.Tests;

/// <summary>Tokenizers of Microsoft.ML.Tokenizers in a model's place for one: ids by hand, and a model's features by another way.</summary>
public sealed class TokenizerForModelTests
{
    /// <summary>WordPiece; ids are line numbers. Its start and end are added only by its own overloads, not by those that all tokenizers have.</summary>
    private static readonly BertTokenizer s_bert = BertTokenizer.Create(new MemoryStream("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ncat\n##s\ndog\n"u8.ToArray()));

    [Theory]
    [InlineData("a cats", 5, new[] { 2, 5, 6, 7, 3, 0 })]
    [InlineData("a cat a dog", 6, new[] { 2, 5, 6, 5, 8, 3 })]
    [InlineData("a cat a dog a dog", 8, new[] { 2, 5, 6, 5, 8, 3 })]
    [InlineData("", 2, new[] { 2, 3, 0, 0, 0, 0 })]
    public void StartEndAndPaddingAreAddedWhereTheTokenizerHasNone(string text, int fullCount, int[] expected)
    {
        ITokenizer tokenizer = s_bert.ForModel(new ModelTokenizerOptions { ContextLength = 6, VocabularySize = 9, StartId = s_bert.ClassificationTokenId, EndId = s_bert.SeparatorTokenId });
        int[] ids = new int[6];
        Assert.Equal(new EncodedLength(Math.Min(6, fullCount), fullCount), tokenizer.Encode(text, ids));
        Assert.Equal(expected, ids);
        Assert.Equal((6, 9), (tokenizer.ContextLength, tokenizer.VocabularySize));
        Assert.Throws<ArgumentException>(() => tokenizer.Encode("a", new int[5]));
    }

    [Theory]
    [InlineData("ab", 1, new[] { 3, 7, 7 })]
    [InlineData("abcc", 3, new[] { 3, 2, 2 })]
    [InlineData("abcca", 4, new[] { 3, 2, 2 })]
    public void NothingIsAddedThatWasNotAskedFor(string text, int fullCount, int[] expected)
    {
        var bpe = BpeTokenizer.Create(new MemoryStream("""{"a": 0, "b": 1, "c": 2, "ab": 3}"""u8.ToArray()), new MemoryStream("#version: 0.2\na b\n"u8.ToArray()));
        ITokenizer tokenizer = bpe.ForModel(new ModelTokenizerOptions { ContextLength = 3, VocabularySize = 8, PaddingId = 7 });
        int[] ids = new int[3];
        Assert.Equal(fullCount, tokenizer.Encode(text, ids).FullCount);
        Assert.Equal(expected, ids);
        Assert.Equal("ab", Encoding.UTF8.GetString(tokenizer.BytesOf(3).Span));
    }

    [Fact]
    public void ATokenizerThatAddsStartAndEndKeepsBothInASentenceThatIsCut()
    {
        ITokenizer tokenizer = new ClipTokenizer(contextLength: 20).AsMicrosoftTokenizer().ForModel(new ModelTokenizerOptions { ContextLength = 4, VocabularySize = ClipTokenizer.EndOfText + 1 });
        int[] ids = new int[4];
        Assert.Equal(new EncodedLength(4, 7), tokenizer.Encode("a photo of a dog", ids));
        Assert.Equal([49406, 320, 1125, 49407], ids);
    }

    [Fact]
    public void OptionsThatContradictEachOtherAreRefused()
    {
        Assert.Throws<ArgumentException>(() => s_bert.ForModel(new ModelTokenizerOptions { ContextLength = 2, VocabularySize = 9, StartId = 1, EndId = 2 }));
        Assert.Throws<ArgumentException>(() => s_bert.ForModel(new ModelTokenizerOptions { ContextLength = 9, VocabularySize = 9, PaddingId = 9 }));
        ITokenizer small = s_bert.ForModel(new ModelTokenizerOptions { ContextLength = 9, VocabularySize = 4 });
        Assert.Throws<InvalidOperationException>(() => small.Encode("cat", new int[9]));
    }

    [Fact]
    public void AModelTakesOneInPlaceOfItsOwn()
    {
        // CLIP's tokenizer, there and back, so that the features must be those of the model's own.
        ITokenizer there = new ClipTokenizer().AsMicrosoftTokenizer().ForModel(new ModelTokenizerOptions { ContextLength = ClipTokenizer.DefaultContextLength, VocabularySize = ClipTokenizer.EndOfText + 1 });
        string[] sentences = ["a photo of a candle", "", string.Join(' ', Enumerable.Repeat("basket", 100))];
        using ClipModel own = ClipModel.Load(TestData.DemoPath("models", "small"));
        ITokenizer fitting = own.Tokenizer.ContextLength == there.ContextLength ? there : new ClipTokenizer(own.Tokenizer.ContextLength).AsMicrosoftTokenizer()
            .ForModel(new ModelTokenizerOptions { ContextLength = own.Tokenizer.ContextLength, VocabularySize = ClipTokenizer.EndOfText + 1 });
        using ClipModel other = ClipModel.Load(TestData.DemoPath("models", "small"), new ClipModelOptions { Tokenizer = fitting });
        FeatureMatrix expected = own.EncodeTexts(sentences), found = other.EncodeTexts(sentences);
        Assert.Equal(expected.Values, found.Values);
    }
}
