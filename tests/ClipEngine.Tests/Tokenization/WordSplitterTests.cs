using System.Text.RegularExpressions;
using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

public sealed class WordSplitterTests
{
    /// <summary>The runtime's engine works on halves of surrogate pairs, so that only the basic plane can be compared.</summary>
    [Fact]
    public void CutsAsTheRegularExpressionInTheBasicPlane()
    {
        var expression = new Regex(@"<start_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
            RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
        var random = new Random(3);
        string[] pieces = ["'s", "'re", "'", "s", "don't", " ", "!?", "12", "é", "你好", "Ⅷ", "½", "\u0301", "<start_of_text>", "<start", "_", "-"];
        for (int round = 0; round < 5000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(20)).Select(_ => pieces[random.Next(pieces.Length)]));
            Assert.Equal(expression.Matches(text).Select(match => match.Value), Split(text, ignoreCase: false));
        }
    }

    [Fact]
    public void TheLongSEqualsTheShortOneWhereCaseIsIgnored()
    {
        Assert.Equal(["a", "'ſ", "b"], Split("a'ſb", ignoreCase: true));
        Assert.Equal(["a", "'", "ſb"], Split("a'ſb", ignoreCase: false));
        Assert.Equal(["<ſtart_of_text>"], Split("<ſtart_of_text>", ignoreCase: true));
    }

    private static List<string> Split(string text, bool ignoreCase)
    {
        var words = new List<string>();
        var splitter = new WordSplitter(text, ["<start_of_text>"], ignoreCase);
        while (splitter.MoveNext())
            words.Add(splitter.Current.ToString());
        return words;
    }
}
