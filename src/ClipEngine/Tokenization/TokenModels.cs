using System.Buffers;
using System.Globalization;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>Turns one piece of text into ids. Immutable and thread-safe.</summary>
internal abstract class TokenModel
{
    /// <summary>Adds the ids of a piece.</summary>
    /// <param name="piece">Not empty; no lone surrogates.</param>
    /// <param name="ids">Receives the ids.</param>
    public abstract void Encode(ReadOnlySpan<char> piece, IdList ids);
}

/// <summary>Byte-pair encoding of the bytes of words, as in GPT-2 and CLIP.</summary>
internal sealed class ByteLevelModel(BytePairEncoder encoder) : TokenModel
{
    public override void Encode(ReadOnlySpan<char> piece, IdList ids)
    {
        Span<int> free = ids.Reserve(Encoding.UTF8.GetMaxByteCount(piece.Length));
        ids.Advance(encoder.Encode(piece, free));
    }
}

/// <summary>BERT's WordPiece: the longest known beginning of a word, then the longest known continuations; a word that is not covered is unknown whole.</summary>
internal sealed class WordPieceModel(Dictionary<string, int> vocabulary, string continuation, int unknown, int longestWord) : TokenModel
{
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _beginnings = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();

    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _continuations = vocabulary
        .Where(entry => entry.Key.StartsWith(continuation, StringComparison.Ordinal))
        .ToDictionary(entry => entry.Key[continuation.Length..], entry => entry.Value, StringComparer.Ordinal)
        .GetAlternateLookup<ReadOnlySpan<char>>();

    private readonly int _longest = vocabulary.Keys.Max(static key => key.Length);

    public override void Encode(ReadOnlySpan<char> piece, IdList ids)
    {
        if (piece.Length > longestWord && CodePoints(piece) > longestWord)
        {
            ids.Add(unknown);
            return;
        }

        int before = ids.Count, start = 0;
        while (start < piece.Length)
        {
            Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = start == 0 ? _beginnings : _continuations;
            int length = Math.Min(piece.Length - start, _longest), id = 0;
            while (length > 0 && !lookup.TryGetValue(piece.Slice(start, length), out id))
                length--;
            if (length == 0)
            {
                ids.Shorten(before);
                ids.Add(unknown);
                return;
            }

            ids.Add(id);
            start += length;
        }
    }

    private static int CodePoints(ReadOnlySpan<char> piece)
    {
        int count = 0;
        foreach (char character in piece)
            count += char.IsLowSurrogate(character) ? 0 : 1;
        return count;
    }
}

/// <summary>Byte-pair encoding of characters, as Gemma's and NLLB's: unknown characters become their bytes, or one unknown id.</summary>
internal sealed class CharacterPairModel : TokenModel
{
    private readonly Dictionary<int, int> _characters = [];
    private readonly int[] _bytes = new int[256];
    private readonly PairMerges _merges;

    /// <summary>A model of these pieces.</summary>
    /// <param name="vocabulary">Pieces and their ids.</param>
    /// <param name="merges">Which neighbours join.</param>
    public CharacterPairModel(Dictionary<string, int> vocabulary, PairMerges merges)
    {
        _merges = merges;
        foreach ((string piece, int id) in vocabulary)
        {
            if (piece.Length > 0 && UnicodeKinds.CodePoint(piece, out int width) is int code && width == piece.Length)
                _characters.Add(code, id);
        }

        for (int value = 0; value < 256; value++)
            _bytes[value] = vocabulary.GetValueOrDefault(BytePieces.Name(value), -1);
    }

    /// <summary>Whether unknown characters become their bytes where all of these are known.</summary>
    public required bool FallsBackToBytes { get; init; }

    /// <summary>What stands for an unknown character; -1 leaves it out.</summary>
    public required int Unknown { get; init; }

    /// <summary>Whether neighbouring unknown characters become one id.</summary>
    public required bool FusesUnknown { get; init; }

    public override void Encode(ReadOnlySpan<char> piece, IdList ids)
    {
        // A character outside the basic plane takes two units and at most four bytes; others at most three.
        Span<int> symbols = ids.Reserve(3 * piece.Length);
        Span<byte> bytes = stackalloc byte[4];
        int count = 0;
        bool behindUnknown = false;
        while (piece.Length > 0)
        {
            int code = UnicodeKinds.CodePoint(piece, out int width);
            ReadOnlySpan<char> character = piece[..width];
            piece = piece[width..];
            if (_characters.TryGetValue(code, out int id))
            {
                symbols[count++] = id;
                behindUnknown = false;
                continue;
            }

            ReadOnlySpan<byte> encoded = bytes[..Encoding.UTF8.GetBytes(character, bytes)];
            if (FallsBackToBytes && AreKnown(encoded))
            {
                foreach (byte value in encoded)
                    symbols[count++] = _bytes[value];
                behindUnknown = false;
            }
            else if (Unknown >= 0 && !(behindUnknown && FusesUnknown))
            {
                symbols[count++] = Unknown;
                behindUnknown = true;
            }
        }

        ids.Advance(_merges.Join(symbols[..count]));
    }

    private bool AreKnown(ReadOnlySpan<byte> encoded)
    {
        foreach (byte value in encoded)
        {
            if (_bytes[value] < 0)
                return false;
        }

        return true;
    }
}

/// <summary>The pieces that stand for single bytes.</summary>
internal static class BytePieces
{
    /// <summary><c>&lt;0x0A&gt;</c> and the like.</summary>
    public static string Name(int value) => $"<0x{value:X2}>";

    /// <summary>The byte that a piece stands for; null for any other piece.</summary>
    public static byte? Value(string piece) =>
        piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>' && byte.TryParse(piece.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value)
            ? value
            : null;
}

/// <summary>
/// A unigram model: of all ways to cut a piece the one with the largest sum of scores (Viterbi's algorithm). Cuts of equal sums are
/// told apart as the <c>tokenizers</c> library does, which is not what SentencePiece itself does.
/// </summary>
internal sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10.0;

    private readonly PieceTrie _trie;
    private readonly double[] _scores;
    private readonly int[] _bytes = new int[256];
    private readonly double _unknownScore;
    private readonly int _unknown;
    private readonly bool _fallsBackToBytes;

    /// <summary>A model of these pieces.</summary>
    /// <param name="pieces">Each piece with the logarithm of its probability; its place is its id.</param>
    /// <param name="unknown">The id of what the pieces do not cover; -1 leaves it out.</param>
    /// <param name="fallsBackToBytes">Whether unknown characters become their bytes.</param>
    public UnigramModel(IReadOnlyList<(string Piece, double Score)> pieces, int unknown, bool fallsBackToBytes)
    {
        _unknown = unknown;
        _fallsBackToBytes = fallsBackToBytes;
        _scores = [.. pieces.Select(piece => piece.Score)];
        _unknownScore = _scores.Min() - UnknownPenalty;
        _trie = new PieceTrie(pieces.Select((piece, id) => (piece.Piece, id)));
        _bytes.AsSpan().Fill(-1);
        for (int value = 0; value < 256; value++)
            _bytes[value] = _trie.Find(Encoding.UTF8.GetBytes(BytePieces.Name(value)));
        _fallsBackToBytes &= !_bytes.Contains(-1);
    }

    public override void Encode(ReadOnlySpan<char> piece, IdList ids)
    {
        int capacity = Encoding.UTF8.GetMaxByteCount(piece.Length);
        byte[]? rentedBytes = capacity > 256 ? ArrayPool<byte>.Shared.Rent(capacity) : null;
        Node[]? rentedNodes = capacity > 256 ? ArrayPool<Node>.Shared.Rent(capacity + 1) : null;
        Span<byte> buffer = rentedBytes ?? stackalloc byte[256];
        Span<byte> bytes = buffer[..Encoding.UTF8.GetBytes(piece, buffer)];
        Span<Node> nodes = (rentedNodes ?? stackalloc Node[257])[..(bytes.Length + 1)];
        Search(bytes, nodes);
        Emit(bytes, nodes, ids);
        if (rentedBytes is not null)
            ArrayPool<byte>.Shared.Return(rentedBytes);
        if (rentedNodes is not null)
            ArrayPool<Node>.Shared.Return(rentedNodes);
    }

    private void Search(ReadOnlySpan<byte> bytes, Span<Node> nodes)
    {
        nodes.Fill(new Node(0, -1, -1));
        for (int start = 0; start < bytes.Length;)
        {
            double until = nodes[start].Score;
            int width = PieceTrie.CharacterLength(bytes[start]);
            bool hasSingle = false;
            int node = PieceTrie.Root;
            for (int end = start; end < bytes.Length && _trie.TryStep(ref node, bytes[end], out int id);)
            {
                end++;
                if (id < 0)
                    continue;
                hasSingle |= end - start == width;
                Offer(ref nodes[end], _scores[id] + until, start, id);
            }

            if (!hasSingle)
                Offer(ref nodes[start + width], _unknownScore + until, start, _unknown);
            start += width;
        }
    }

    private static void Offer(ref Node node, double score, int start, int id)
    {
        if (node.Start < 0 || score > node.Score)
            node = new Node(score, start, id);
    }

    private void Emit(ReadOnlySpan<byte> bytes, Span<Node> nodes, IdList ids)
    {
        // The path is known from its end: it is turned round in place, so that every node points to where its piece ends.
        int end = bytes.Length, next = -1;
        while (end >= 0)
        {
            int start = nodes[end].Start;
            int id = nodes[end].Id;
            nodes[end] = new Node(0, next, id);
            next = end;
            end = start;
        }

        bool behindUnknown = false;
        for (int at = 0; nodes[at].Start >= 0;)
        {
            int stop = nodes[at].Start, id = nodes[stop].Id;
            bool isUnknown = id == _unknown;
            if (!isUnknown)
            {
                ids.Add(id);
            }
            else if (_fallsBackToBytes)
            {
                foreach (byte value in bytes[at..stop])
                    ids.Add(_bytes[value]);
            }
            else if (id >= 0 && !behindUnknown)
            {
                ids.Add(id);
            }

            behindUnknown = isUnknown;
            at = stop;
        }
    }

    private readonly record struct Node(double Score, int Start, int Id);
}
