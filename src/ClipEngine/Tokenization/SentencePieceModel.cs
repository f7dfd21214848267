using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// A SentencePiece model as the library of that name runs it (<c>SentencePieceProcessor.encode</c>): its own normalization, then unigram or
/// byte-pair encoding over the pieces' scores in single precision. No special tokens, and none are found in the text.
/// </summary>
internal sealed class SentencePieceModel
{
    private const float UnknownPenalty = 10f;
    private const string MarkText = "\u2581";

    private readonly SentencePieceFile _file;
    private readonly PieceTrie _trie;
    private readonly PieceTrie? _userDefined;
    private readonly int[] _bytes = new int[256];
    private readonly float _unknownScore;
    private readonly float _largestScore;
    private readonly int _longestPiece;
    private readonly int[] _ranks;

    public SentencePieceModel(SentencePieceFile file)
    {
        _file = file;
        (SentencePiece Piece, int Id)[] all = [.. file.Pieces.Select((piece, id) => (piece, id))];
        (SentencePiece Piece, int Id)[] found = [.. all.Where(static entry => entry.Piece.Kind is PieceKind.Normal or PieceKind.UserDefined or PieceKind.Unused)];
        _trie = new PieceTrie(found.Select(static entry => (entry.Piece.Text, entry.Id)));
        _longestPiece = found.Length == 0 ? 0 : found.Max(static entry => Encoding.UTF8.GetByteCount(entry.Piece.Text));
        (string, int)[] userDefined = [.. all.Where(static entry => entry.Piece.Kind == PieceKind.UserDefined).Select(static entry => (entry.Piece.Text, entry.Id))];
        _userDefined = userDefined.Length == 0 ? null : new PieceTrie(userDefined);
        float[] normal = [.. file.Pieces.Where(static piece => piece.Kind == PieceKind.Normal).Select(static piece => piece.Score)];
        _unknownScore = (normal.Length == 0 ? 0 : normal.Min()) - UnknownPenalty;
        _largestScore = normal.Length == 0 ? 0 : normal.Max();
        Dictionary<string, int> bytes = all.Where(static entry => entry.Piece.Kind == PieceKind.Byte).ToDictionary(static entry => entry.Piece.Text, static entry => entry.Id, StringComparer.Ordinal);
        for (int value = 0; value < 256; value++)
            _bytes[value] = bytes.GetValueOrDefault(BytePieces.Name(value), -1);
        // Equal scores share a rank: between them the place in the text decides.
        float[] scores = [.. file.Pieces.Select(static piece => piece.Score).Distinct().OrderDescending()];
        Dictionary<float, int> rankOf = scores.Select((score, rank) => (score, rank)).ToDictionary(static entry => entry.score, static entry => entry.rank);
        _ranks = [.. file.Pieces.Select(piece => rankOf[piece.Score])];
    }

    /// <summary>Adds the ids of a text; the unknown id once for every run of unknown characters.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="addsMark">Whether a word mark is put in front; null for what the file says.</param>
    /// <param name="ids">Receives the ids.</param>
    public void Encode(string text, bool? addsMark, IdList ids)
    {
        byte[] normalized = Normalize(Encoding.UTF8.GetBytes(text), addsMark ?? _file.AddsMark);
        if (normalized.Length == 0)
            return;
        (int Start, int End, int Id)[] pieces = _file.IsPairEncoding ? Join(normalized) : Search(normalized);
        bool behindUnknown = false;
        foreach ((int start, int end, int id) in pieces)
        {
            bool isUnknown = id == _file.UnknownId;
            if (isUnknown && _file.FallsBackToBytes)
            {
                foreach (byte value in normalized.AsSpan(start, end - start))
                    ids.Add(_bytes[value] >= 0 ? _bytes[value] : _file.UnknownId);
            }
            else if (!isUnknown || !behindUnknown)
            {
                ids.Add(id);
            }

            behindUnknown = isUnknown;
        }
    }

    private byte[] Normalize(byte[] text, bool addsMark)
    {
        byte[] mark = _file.EscapesSpaces ? Encoding.UTF8.GetBytes(MarkText) : " "u8.ToArray();
        var output = new ArrayBufferWriter<byte>(text.Length + 8);
        ReadOnlySpan<byte> rest = text;
        if (_file.RemovesExtraSpaces)
        {
            while (rest.Length > 0)
            {
                ReadOnlySpan<byte> prefix = Prefix(rest, out int used);
                if (!prefix.SequenceEqual(" "u8))
                    break;
                rest = rest[used..];
            }
        }

        if (rest.Length == 0)
            return [];
        if (addsMark && !_file.PutsMarkBehind)
            output.Write(mark);
        bool behindSpace = _file.RemovesExtraSpaces;
        while (rest.Length > 0)
        {
            ReadOnlySpan<byte> prefix = Prefix(rest, out int used);
            rest = rest[used..];
            while (behindSpace && prefix.StartsWith(" "u8))
                prefix = prefix[1..];
            if (prefix.Length == 0)
                continue;
            foreach (byte value in prefix)
            {
                if (value == ' ')
                    output.Write(mark);
                else
                    output.Write([value]);
            }

            behindSpace = _file.RemovesExtraSpaces && prefix[^1] == ' ';
        }

        ReadOnlySpan<byte> written = output.WrittenSpan;
        if (_file.RemovesExtraSpaces)
        {
            while (written.EndsWith(mark))
                written = written[..^mark.Length];
        }

        return addsMark && _file.PutsMarkBehind ? [.. written, .. mark] : written.ToArray();
    }

    /// <summary>The normalized form of the beginning of a text: a user-defined piece as it stands, the longest sequence with a replacement, or one character.</summary>
    private ReadOnlySpan<byte> Prefix(ReadOnlySpan<byte> rest, out int used)
    {
        used = LongestUserDefined(rest, out _);
        if (used > 0)
            return rest[..used];
        if (_file.Map is not null && _file.Map.TryMatch(rest, longest: true, out used, out ReadOnlySpan<byte> replacement))
            return replacement;
        used = Math.Min(PieceTrie.CharacterLength(rest[0]), rest.Length);
        return rest[..used];
    }

    private int LongestUserDefined(ReadOnlySpan<byte> rest, out int id)
    {
        id = -1;
        int longest = 0;
        if (_userDefined is null)
            return 0;
        int node = PieceTrie.Root;
        for (int i = 0; i < rest.Length && _userDefined.TryStep(ref node, rest[i], out int found); i++)
        {
            if (found >= 0)
            {
                longest = i + 1;
                id = found;
            }
        }

        return longest;
    }

    /// <summary>The unigram model's best cut, its sums in single precision as in the library: that decides between cuts of nearly equal sums.</summary>
    private (int, int, int)[] Search(ReadOnlySpan<byte> text)
    {
        var nodes = new (float Score, int Start, int Id)[text.Length + 1];
        nodes.AsSpan().Fill((0, -1, -1));
        for (int start = 0; start < text.Length;)
        {
            float until = nodes[start].Score;
            int width = Math.Min(PieceTrie.CharacterLength(text[start]), text.Length - start);
            bool hasSingle = false;
            int node = PieceTrie.Root;
            for (int end = start; end < text.Length && _trie.TryStep(ref node, text[end], out int id);)
            {
                end++;
                if (id < 0 || _file.Pieces[id].Kind == PieceKind.Unused)
                    continue;
                float score = _file.Pieces[id].Kind == PieceKind.UserDefined ? (float)(((end - start) * _largestScore) - 0.1) : _file.Pieces[id].Score;
                Offer(ref nodes[end], score + until, start, id);
                hasSingle |= end - start == width;
            }

            if (!hasSingle)
                Offer(ref nodes[start + width], _unknownScore + until, start, _file.UnknownId);
            start += width;
        }

        var pieces = new List<(int, int, int)>();
        for (int end = text.Length; end > 0; end = nodes[end].Start)
            pieces.Add((nodes[end].Start, end, nodes[end].Id));
        pieces.Reverse();
        return [.. pieces];
    }

    private static void Offer(ref (float Score, int Start, int Id) node, float score, int start, int id)
    {
        if (node.Start < 0 || score > node.Score)
            node = (score, start, id);
    }

    /// <summary>Byte-pair encoding: the neighbours whose piece has the largest score join first, from left to right among equals; user-defined pieces never join.</summary>
    private (int, int, int)[] Join(ReadOnlySpan<byte> text)
    {
        int[] ends = new int[text.Length], next = new int[text.Length], previous = new int[text.Length];
        bool[] isFixed = new bool[text.Length];
        int last = -1;
        for (int start = 0; start < text.Length;)
        {
            int length = LongestUserDefined(text[start..], out _);
            isFixed[start] = length > 0;
            if (length == 0)
                length = Math.Min(PieceTrie.CharacterLength(text[start]), text.Length - start);
            ends[start] = start + length;
            previous[start] = last;
            next[start] = start + length;
            last = start;
            start += length;
        }

        using var queue = new MergeQueue(text.Length);
        for (int start = 0; start < text.Length; start = next[start])
            Offer(queue, text, start, ends, next, isFixed);
        while (queue.TryTake(out int rank, out int left))
        {
            // Stale where one of the two has been joined with another neighbour since.
            if (ends[left] == 0 || next[left] >= text.Length || RankOf(text, left, ends, next, isFixed) != rank)
                continue;
            int right = next[left];
            ends[left] = ends[right];
            next[left] = next[right];
            ends[right] = 0;
            if (next[left] < text.Length)
                previous[next[left]] = left;
            Offer(queue, text, left, ends, next, isFixed);
            if (previous[left] >= 0)
                Offer(queue, text, previous[left], ends, next, isFixed);
        }

        var pieces = new List<(int, int, int)>();
        for (int start = 0; start < text.Length; start = next[start])
        {
            int id = _trie.Find(text[start..ends[start]]);
            pieces.Add((start, ends[start], id < 0 ? _file.UnknownId : id));
        }

        return [.. pieces];
    }

    private void Offer(MergeQueue queue, ReadOnlySpan<byte> text, int left, int[] ends, int[] next, bool[] isFixed)
    {
        if (next[left] < text.Length && RankOf(text, left, ends, next, isFixed) is >= 0 and int rank)
            queue.Add(rank, left);
    }

    private int RankOf(ReadOnlySpan<byte> text, int left, int[] ends, int[] next, bool[] isFixed)
    {
        int right = next[left];
        if (isFixed[left] || isFixed[right] || ends[right] - left > _longestPiece)
            return -1;
        int id = _trie.Find(text[left..ends[right]]);
        return id < 0 ? -1 : _ranks[id];
    }
}
