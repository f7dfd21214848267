using System.Text;
using System.Text.RegularExpressions;
using ClipEngine.Tokenization;
using FsCheck;
using FsCheck.Fluent;

namespace ClipEngine.Tests.Tokenization;

/// <summary>The models and the cutting of words against plain definitions of what they compute.</summary>
public class TokenModelTests
{
    [Fact]
    public void AUnigramModelFindsTheLargestSumOfScores()
    {
        var random = new System.Random(1);
        for (int round = 0; round < 400; round++)
        {
            (string Piece, double Score)[] pieces = [("<unk>", 0), .. Words(random, "abé", 3, 14).Select(word => (word, -(random.NextDouble() * 8) - 0.5))];
            var model = new UnigramModel(pieces, unknown: 0, fallsBackToBytes: false);
            string text = Word(random, "abéz", 9);
            var ids = new IdList();
            model.Encode(text, ids);
            double unknown = pieces.Min(static piece => piece.Score) - 10;
            double best = BestSum(text, pieces.Skip(1).ToDictionary(static piece => piece.Piece, static piece => piece.Score), unknown);
            Assert.Equal(best, Cut(text, ids.Span.ToArray(), pieces, unknown), 9);
        }
    }

    [Fact]
    public void WordPieceTakesTheLongestBeginningEachTime()
    {
        var random = new System.Random(2);
        for (int round = 0; round < 400; round++)
        {
            string[] pieces = ["[UNK]", .. Words(random, "abc", 3, 8), .. Words(random, "abc", 2, 8).Select(static word => "##" + word)];
            Dictionary<string, int> ids = pieces.Distinct().Select((piece, id) => (piece, id)).ToDictionary(static entry => entry.piece, static entry => entry.id, StringComparer.Ordinal);
            string word = Word(random, "abc", 10);
            var found = new IdList();
            new WordPieceModel(ids, "##", unknown: 0, longestWord: 8).Encode(word, found);
            Assert.Equal(LongestFirst(word, ids), found.Span.ToArray());
        }
    }

    [Fact]
    public void FewAndManySymbolsJoinAlike()
    {
        var random = new System.Random(3);
        for (int round = 0; round < 400; round++)
        {
            var merges = new Dictionary<ulong, PairMerges.Merge>();
            for (int i = 0; i < 30; i++)
                merges.TryAdd(PairMerges.PairKey(random.Next(4 + i), random.Next(4 + i)), new PairMerges.Merge(merges.Count, 4 + i));
            int[] symbols = [.. Enumerable.Range(0, random.Next(1, 60)).Select(_ => random.Next(4))];
            int[] expected = JoinPlainly(symbols, merges);
            Assert.Equal(expected, symbols.AsSpan(0, new PairMerges(merges).Join(symbols)).ToArray());
        }
    }

    /// <summary>The runtime's engine works on halves of surrogate pairs, so that only the basic plane can be compared.</summary>
    [Fact]
    public void Gpt2sWordsAreThoseOfItsExpressionInTheBasicPlane()
    {
        var expression = new Regex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", RegexOptions.CultureInvariant, TimeSpan.FromMinutes(1));
        var random = new System.Random(4);
        string[] parts = ["'s", "'re", "'", "s", "don't", " ", "  ", "\n", "\t", "!?", "12", "é", "你好", "Ⅷ", "\u0301", "\u00a0", "_", "-"];
        var from = new TextPieces();
        var to = new TextPieces();
        for (int round = 0; round < 4000; round++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 16)).Select(_ => parts[random.Next(parts.Length)]));
            from.Clear();
            from.Add(text);
            new ByteLevelSplitter(addsSpace: false, cuts: true).Split(from, to);
            Assert.Equal(expression.Matches(text).Select(static match => match.Value), Enumerable.Range(0, to.Count).Select(i => to[i].ToString()));
        }
    }

    [Fact]
    public void OfTokensThatBeginTogetherTheLongestIsFoundAndWhiteSpaceGoesWithIt()
    {
        var tokens = new AddedTokens([new AddedToken("<a>", 1), new AddedToken("<a><b>", 2), new AddedToken("mask", 3) { StripsLeft = true, SingleWord = true }]);
        string text = "x<a><b> mask masked <a>";
        var found = new List<(int, int, int)>();
        for (int done = 0; tokens.TryFind(text, done, out AddedTokens.Match match); done = match.End)
            found.Add((match.Token.Id, match.Start, match.End));
        Assert.Equal([(2, 1, 7), (3, 7, 12), (1, 20, 23)], found);
    }

    [Fact]
    public void ASentenceIsCutInFrontOfItsLastSpecialToken() => Prop.ForAll(ArbMap.Default.ArbFor<NonNull<string>>(), text =>
    {
        foreach (int context in new[] { 3, 5, 17 })
        {
            TextTokenizer tokenizer = TokenizerFolder.Clip(new TokenizerOptions { ContextLength = context });
            int[] whole = TokenizerFolder.Clip(new TokenizerOptions { ContextLength = 1 << 20 }).Encode(text.Get, out _);
            int[] ids = tokenizer.Encode(text.Get, out EncodedLength length);
            Assert.Equal(whole.Length > context, length.IsTruncated);
            Assert.Equal(whole.Length, length.FullCount);
            Assert.Equal(whole.Length > context ? [.. whole[..(context - 1)], whole[^1]] : whole, ids);
        }
    }).QuickCheckThrowOnFailure();

    private static double BestSum(string text, Dictionary<string, double> scores, double unknown)
    {
        double[] best = [0, .. Enumerable.Repeat(double.NegativeInfinity, text.Length)];
        for (int end = 1; end <= text.Length; end++)
        {
            for (int start = 0; start < end; start++)
            {
                double? score = scores.TryGetValue(text[start..end], out double found) ? found : end - start == 1 ? unknown : null;
                if (score is { } known)
                    best[end] = Math.Max(best[end], best[start] + known);
            }
        }

        return best[^1];
    }

    /// <summary>The sum of a result; runs of unknown characters were joined.</summary>
    private static double Cut(string text, int[] ids, (string Piece, double Score)[] pieces, double unknown)
    {
        double sum = 0;
        int at = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            if (ids[i] != 0)
            {
                Assert.StartsWith(pieces[ids[i]].Piece, text[at..], StringComparison.Ordinal);
                at += pieces[ids[i]].Piece.Length;
                sum += pieces[ids[i]].Score;
                continue;
            }

            // How long an unknown run is follows from where the next piece fits: of all lengths the one that lets the rest fit.
            int rest = ids[(i + 1)..].Where(static id => id != 0).Sum(id => pieces[id].Piece.Length);
            bool isLast = !ids[(i + 1)..].Contains(0);
            int length = isLast ? text.Length - at - rest : 1;
            while (!isLast && !text[(at + length)..].StartsWith(pieces[ids[i + 1]].Piece, StringComparison.Ordinal))
                length++;
            sum += length * unknown;
            at += length;
        }

        Assert.Equal(text.Length, at);
        return sum;
    }

    private static int[] LongestFirst(string word, Dictionary<string, int> ids)
    {
        if (word.Length > 8)
            return [0];
        var found = new List<int>();
        for (int start = 0; start < word.Length;)
        {
            int end = word.Length;
            while (end > start && !ids.ContainsKey((start > 0 ? "##" : "") + word[start..end]))
                end--;
            if (end == start)
                return [0];
            found.Add(ids[(start > 0 ? "##" : "") + word[start..end]]);
            start = end;
        }

        return [.. found];
    }

    private static int[] JoinPlainly(int[] symbols, Dictionary<ulong, PairMerges.Merge> merges)
    {
        var list = symbols.ToList();
        while (true)
        {
            int best = -1, rank = int.MaxValue;
            for (int i = 0; i + 1 < list.Count; i++)
            {
                if (merges.TryGetValue(PairMerges.PairKey(list[i], list[i + 1]), out PairMerges.Merge merge) && merge.Rank < rank)
                    (best, rank) = (i, merge.Rank);
            }

            if (best < 0)
                return [.. list];
            list[best] = merges[PairMerges.PairKey(list[best], list[best + 1])].Id;
            list.RemoveAt(best + 1);
        }
    }

    private static string[] Words(System.Random random, string letters, int longest, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => Word(random, letters, longest)).Distinct()];

    private static string Word(System.Random random, string letters, int longest)
    {
        var word = new StringBuilder();
        for (int i = random.Next(1, longest + 1); i > 0; i--)
            word.Append(letters[random.Next(letters.Length)]);
        return word.ToString();
    }
}
