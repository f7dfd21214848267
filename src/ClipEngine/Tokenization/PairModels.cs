namespace ClipEngine.Tokenization;

/// <summary>Collects the merges of a byte-pair encoding in their order.</summary>
internal sealed class MergeListReader(int capacity, Dictionary<string, int> ids, Func<string, BadInputException> refuse)
{
    private readonly Dictionary<ulong, PairMerges.Merge> _merges = new(capacity);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _ids = ids.GetAlternateLookup<ReadOnlySpan<char>>();
    private char[] _joined = new char[64];

    public int Count { get; private set; }

    /// <summary>Adds a merge that is written as two symbols with a space between.</summary>
    public void Add(string pair)
    {
        int space = pair.IndexOf(' ');
        if (space < 0 || pair.IndexOf(' ', space + 1) >= 0)
            throw refuse($"merges[{Count}] is '{BadInputException.Escape(pair, 80)}'; a pair of symbols was expected.");
        Add(pair.AsSpan(0, space), pair.AsSpan(space + 1));
    }

    public void Add(ReadOnlySpan<char> left, ReadOnlySpan<char> right)
    {
        if (_joined.Length < left.Length + right.Length)
            Array.Resize(ref _joined, 2 * (left.Length + right.Length));
        left.CopyTo(_joined);
        right.CopyTo(_joined.AsSpan(left.Length));
        ulong pair = PairMerges.PairKey(Id(left), Id(right));
        if (!_merges.TryAdd(pair, new PairMerges.Merge(Count, Id(_joined.AsSpan(0, left.Length + right.Length)))))
            throw refuse($"merges[{Count}] repeats the pair '{BadInputException.Escape(left.ToString(), 80)}' '{BadInputException.Escape(right.ToString(), 80)}'.");
        Count++;
    }

    public PairMerges Complete() => new(_merges);

    private int Id(ReadOnlySpan<char> symbol) => _ids.TryGetValue(symbol, out int id)
        ? id
        : throw refuse($"vocab lacks '{BadInputException.Escape(symbol.ToString(), 80)}', which merges[{Count}] needs.");
}

/// <summary>Builds byte-pair models from vocabularies.</summary>
internal static class PairModels
{
    /// <summary>A model over bytes that are written as GPT-2's characters.</summary>
    /// <param name="vocabulary">With its merges.</param>
    /// <param name="endOfWord">What marks the last symbol of a word; may be empty.</param>
    /// <param name="unknown">What stands for a byte that the vocabulary lacks; -1 leaves it out.</param>
    /// <param name="refuse">Makes the error of a vocabulary without merges.</param>
    public static TokenModel ByteLevel(Vocabulary vocabulary, string endOfWord, int unknown, Func<string, BadInputException> refuse)
    {
        int[] byteIds = new int[256], lastByteIds = new int[256];
        for (int value = 0; value < 256; value++)
        {
            string symbol = BytePairEncoder.ByteCharacter(value).ToString();
            byteIds[value] = vocabulary.Id(symbol);
            lastByteIds[value] = vocabulary.Id(symbol + endOfWord);
        }

        return new ByteLevelModel(new BytePairEncoder(byteIds, lastByteIds, vocabulary.Merges ?? throw refuse("it has no merges."), unknown));
    }

    /// <summary>
    /// The merges that the pieces of a SentencePiece model stand for: every way to cut a piece into two others, in the order of the pieces, of one
    /// piece the shortest beginning first.
    /// </summary>
    public static PairMerges FromPieces(Dictionary<string, int> ids, IEnumerable<string> pieces)
    {
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var merges = new Dictionary<ulong, PairMerges.Merge>();
        foreach (string piece in pieces)
        {
            for (int cut = 1; cut < piece.Length; cut++)
            {
                if (!char.IsLowSurrogate(piece[cut]) && lookup.TryGetValue(piece.AsSpan(0, cut), out int left) && lookup.TryGetValue(piece.AsSpan(cut), out int right))
                    merges.TryAdd(PairMerges.PairKey(left, right), new PairMerges.Merge(merges.Count, ids[piece]));
            }
        }

        return new PairMerges(merges);
    }
}
