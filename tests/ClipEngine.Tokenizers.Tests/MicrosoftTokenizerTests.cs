using System.Buffers;
using System.Text.Json;
using ClipEngine.Testing;
using ClipEngine.Tokenization;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.Tokenizers.Tests;

/// <summary>CLIP's tokenizer as Microsoft.ML.Tokenizers sees it, against the ids of open_clip.</summary>
public sealed class MicrosoftTokenizerTests
{
    private static readonly Tokenizer s_clip = new ClipTokenizer().AsMicrosoftTokenizer();

    [Fact]
    public void EveryGoldenLineHasOpenClipsIdsAndTokensThatSpellThem()
    {
        int lines = 0;
        foreach (string line in File.ReadLines(TestData.Path("tokenizer", "clip-bpe.jsonl")))
        {
            using var golden = JsonDocument.Parse(line);
            string text = golden.RootElement.GetProperty("text").GetString()!;
            int[] expected = [.. golden.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(expected, s_clip.EncodeToIds(text));
            IReadOnlyList<EncodedToken> tokens = s_clip.EncodeToTokens(text, out string? normalized);
            Assert.Equal(expected, tokens.Select(token => token.Id));
            Assert.All(tokens, token => Assert.Equal(token.Value, normalized![token.Offset]));
            Assert.Equal(normalized, string.Concat(tokens.Select(token => token.Value)));
            Assert.Equal(normalized, s_clip.Decode(expected));
            lines++;
        }

        Assert.Equal(867, lines);
    }

    [Theory]
    [InlineData("a photo of a dog")]
    [InlineData("the quick brown fox jumps over the lazy dog")]
    [InlineData("zwölf boxkämpfer jagen viktor quer über den großen sylter deich")]
    [InlineData("東京 の 夜 🌃 🌃")]
    public void DecodingGivesTheWordsBack(string text)
    {
        IReadOnlyList<int> ids = s_clip.EncodeToIds(text);
        Assert.Equal(text, s_clip.Decode(ids)!.TrimEnd());
        char[] room = new char[text.Length + 10];
        Assert.Equal(OperationStatus.Done, s_clip.Decode(ids, room, out int consumed, out int written));
        Assert.Equal((ids.Count, text), (consumed, new string(room, 0, written).TrimEnd()));
        Assert.Equal(OperationStatus.DestinationTooSmall, s_clip.Decode(ids, room.AsSpan(0, 3), out consumed, out written));
        Assert.StartsWith(new string(room, 0, written), text);
        Assert.True(consumed < ids.Count);
    }

    /// <summary>BERT's, GPT-2's, mT5's and Gemma's vocabularies write their spaces in front of words; Gemma's padding stands in front too.</summary>
    [Theory]
    [InlineData("bert-uncased", "A photo of unbelievable anteaters", "a photo of unbelievable anteaters")]
    [InlineData("gpt2", "A photo of 東京 🌃", "A photo of 東京 🌃")]
    [InlineData("mt5", "A photo of ü, really", "A photo of ü, really")]
    [InlineData("siglip2", "A photo of 東京 🌃", "A photo of 東京 🌃")]
    public void OtherFamiliesDecodeToo(string family, string text, string expected)
    {
        TextTokenizer own = TokenizerFolder.Load(TestData.Path("tokenizer", "families", family));
        Tokenizer tokenizer = own.AsMicrosoftTokenizer();
        IReadOnlyList<int> ids = tokenizer.EncodeToIds(text);
        Assert.Equal(own.Encode(text, out _), ids);
        Assert.Equal(expected, tokenizer.Decode(ids)!.Trim(' '));
        Assert.Equal(ids.Count, tokenizer.CountTokens(text));
        IReadOnlyList<EncodedToken> tokens = tokenizer.EncodeToTokens(text, out string? normalized);
        Assert.All(tokens, token => Assert.Equal(token.Value, normalized![token.Offset]));
        Assert.Equal(expected, normalized!.Trim(' '));
    }

    [Fact]
    public void CountsAreThoseOfTheWholeSentenceAndIdsThoseThatFit()
    {
        string text = string.Join(' ', Enumerable.Repeat("a", 100));
        Assert.Equal(102, s_clip.CountTokens(text));
        IReadOnlyList<int> ids = s_clip.EncodeToIds(text);
        Assert.Equal(77, ids.Count);
        Assert.Equal(ClipTokenizer.EndOfText, ids[^1]);
        IReadOnlyList<int> few = s_clip.EncodeToIds("a photo of a dog", maxTokenCount: 3, out string? normalized, out int taken);
        Assert.Equal([ClipTokenizer.StartOfText, 320, 1125], few);
        Assert.Equal("a photo ", normalized![..taken]);
        int end = s_clip.GetIndexByTokenCount("a photo of a dog", 3, out normalized, out int count);
        Assert.Equal(("a photo ", 3), (normalized![..end], count));
    }

    [Fact]
    public void WhatCannotTellItsTextsStillCountsAndEncodes()
    {
        Tokenizer silent = new Silent().AsMicrosoftTokenizer();
        Assert.Equal([7, 8], silent.EncodeToIds("x"));
        Assert.Equal(2, silent.CountTokens("x"));
        Assert.Contains("Silent", Assert.Throws<NotSupportedException>(() => silent.Decode([7])).Message);
    }

    private sealed class Silent : ITokenizer
    {
        public int ContextLength => 4;

        public int VocabularySize => 9;

        public EncodedLength Encode(string text, Span<int> ids)
        {
            new[] { 7, 8, 0, 0 }.CopyTo(ids);
            return new EncodedLength(2, 2);
        }
    }
}
