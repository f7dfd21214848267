using System.Text.Json;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

/// <summary>A line of the goldens that open_clip's SimpleTokenizer made.</summary>
internal sealed record GoldenSentence(string Category, string Text, int[] Ids)
{
    public static List<GoldenSentence> Read(string path)
    {
        var sentences = new List<GoldenSentence>();
        foreach (string line in File.ReadLines(path))
        {
            using JsonDocument document = JsonDocument.Parse(line);
            sentences.Add(new GoldenSentence(
                document.RootElement.GetProperty("category").GetString()!,
                document.RootElement.GetProperty("text").GetString()!,
                [.. document.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())]));
        }

        return sentences;
    }

    /// <summary>The ids without padding, as the goldens keep them.</summary>
    public static int[] Encode(ITokenizer tokenizer, string text)
    {
        int[] ids = new int[tokenizer.ContextLength];
        EncodedLength length = tokenizer.Encode(text, ids);
        Assert.All(ids[length.Count..], id => Assert.Equal(0, id));
        return ids[..length.Count];
    }

    public bool Matches(ITokenizer tokenizer) => Encode(tokenizer, Text).SequenceEqual(Ids);

    public override string ToString() => $"{Category}: {BadInputException.Escape(Text, 80)}";
}
