using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// Byte-pair encoding of single words: the bytes of a word, the last one marked as the word's end, joined pair by pair, the
/// earliest merge first and from left to right among equals. A linked list and a heap make it n log n, so that one word
/// of a million letters costs what a million short words cost. Immutable, and shared by any number of threads.
/// </summary>
internal sealed class BytePairEncoder
{
    private readonly int[] _byteIds;
    private readonly int[] _lastByteIds;
    private readonly Dictionary<ulong, Merge> _merges;

    /// <summary>Takes the tables over; they must not change afterwards.</summary>
    /// <param name="byteIds">256 ids of bytes inside a word.</param>
    /// <param name="lastByteIds">256 ids of bytes that end a word.</param>
    /// <param name="merges">Which two neighbours join, into what, and how early.</param>
    public BytePairEncoder(int[] byteIds, int[] lastByteIds, Dictionary<ulong, Merge> merges)
    {
        _byteIds = byteIds;
        _lastByteIds = lastByteIds;
        _merges = merges;
    }

    /// <summary>One merge.</summary>
    /// <param name="Rank">0 is the first merge to be made.</param>
    /// <param name="Id">What the pair becomes.</param>
    public readonly record struct Merge(int Rank, int Id);

    /// <summary>
    /// Two neighbouring ids as a key of the merges. Multiplied by an odd number, which keeps keys distinct: the runtime's hash
    /// of a 64-bit number is one half xor the other, under which all pairs of equal ids would collide.
    /// </summary>
    public static ulong PairKey(int left, int right) => unchecked((((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15UL);

    /// <summary>The character that stands for a byte in vocabularies written as text (as in GPT-2).</summary>
    public static char ByteCharacter(int value)
    {
        if (IsPrintable(value))
            return (char)value;
        int index = 0;
        for (int other = 0; other < value; other++)
            index += IsPrintable(other) ? 0 : 1;
        return (char)(256 + index);
    }

    /// <summary>Bytes in the order of the vocabulary: the printable ones of Latin-1, then the rest.</summary>
    public static IEnumerable<int> BytesInVocabularyOrder()
    {
        for (int value = 0; value < 256; value++)
        {
            if (IsPrintable(value))
                yield return value;
        }

        for (int value = 0; value < 256; value++)
        {
            if (!IsPrintable(value))
                yield return value;
        }
    }

    /// <summary>Encodes a word and hands the ids over in order.</summary>
    /// <param name="word">Not empty. A lone surrogate becomes U+FFFD.</param>
    /// <param name="ids">Where ids go; what does not fit is only counted.</param>
    /// <returns>How many ids the word takes.</returns>
    public int Encode(ReadOnlySpan<char> word, Span<int> ids)
    {
        int capacity = Encoding.UTF8.GetMaxByteCount(word.Length);
        byte[]? rented = capacity > 256 ? ArrayPool<byte>.Shared.Rent(capacity) : null;
        Span<byte> bytes = rented ?? stackalloc byte[256];
        int count = Encoding.UTF8.GetBytes(word, bytes);

        int[] symbols = ArrayPool<int>.Shared.Rent(count);
        int[] next = ArrayPool<int>.Shared.Rent(count);
        int[] previous = ArrayPool<int>.Shared.Rent(count);
        try
        {
            for (int i = 0; i < count; i++)
            {
                symbols[i] = (i == count - 1 ? _lastByteIds : _byteIds)[bytes[i]];
                next[i] = i + 1;
                previous[i] = i - 1;
            }

            Join(symbols.AsSpan(0, count), next, previous);

            int total = 0;
            for (int i = 0; i < count; i = next[i], total++)
            {
                if (total < ids.Length)
                    ids[total] = symbols[i];
            }

            return total;
        }
        finally
        {
            ArrayPool<int>.Shared.Return(symbols);
            ArrayPool<int>.Shared.Return(next);
            ArrayPool<int>.Shared.Return(previous);
            if (rented is not null)
                ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>Joins until no merge applies. Position 0 is never absorbed, so that the list always starts there.</summary>
    private void Join(Span<int> symbols, int[] next, int[] previous)
    {
        const int Absorbed = -1;
        using var queue = new MergeQueue(symbols.Length);
        for (int i = 0; i + 1 < symbols.Length; i++)
            Offer(queue, symbols, i, i + 1);

        while (queue.TryTake(out int rank, out int left))
        {
            int right = next[left];
            // Stale where one of the two has been joined with another neighbour since.
            if (symbols[left] == Absorbed || right >= symbols.Length
                || !_merges.TryGetValue(PairKey(symbols[left], symbols[right]), out Merge merge) || merge.Rank != rank)
                continue;

            symbols[left] = merge.Id;
            symbols[right] = Absorbed;
            int behind = next[right];
            next[left] = behind;
            if (behind < symbols.Length)
            {
                previous[behind] = left;
                Offer(queue, symbols, left, behind);
            }

            if (previous[left] >= 0)
                Offer(queue, symbols, previous[left], left);
        }
    }

    private void Offer(MergeQueue queue, Span<int> symbols, int left, int right)
    {
        if (_merges.TryGetValue(PairKey(symbols[left], symbols[right]), out Merge merge))
            queue.Add(merge.Rank, left);
    }

    private static bool IsPrintable(int value) => value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);

    /// <summary>A binary heap of (rank, position) in eight bytes each: the smallest rank first, from left to right among equals.</summary>
    private sealed class MergeQueue(int capacity) : IDisposable
    {
        private ulong[] _heap = ArrayPool<ulong>.Shared.Rent(Math.Max(1, capacity));
        private int _count;

        public void Add(int rank, int position)
        {
            if (_count == _heap.Length)
            {
                ulong[] larger = ArrayPool<ulong>.Shared.Rent(2 * _count);
                _heap.AsSpan(0, _count).CopyTo(larger);
                ArrayPool<ulong>.Shared.Return(_heap);
                _heap = larger;
            }

            ulong key = ((ulong)(uint)rank << 32) | (uint)position;
            int hole = _count++;
            for (; hole > 0 && _heap[(hole - 1) / 2] > key; hole = (hole - 1) / 2)
                _heap[hole] = _heap[(hole - 1) / 2];
            _heap[hole] = key;
        }

        public bool TryTake(out int rank, out int position)
        {
            rank = position = 0;
            if (_count == 0)
                return false;
            rank = (int)(_heap[0] >> 32);
            position = (int)(uint)_heap[0];

            ulong last = _heap[--_count];
            int hole = 0;
            while (true)
            {
                int child = (2 * hole) + 1;
                if (child + 1 < _count && _heap[child + 1] < _heap[child])
                    child++;
                if (child >= _count || _heap[child] >= last)
                    break;
                _heap[hole] = _heap[child];
                hole = child;
            }

            _heap[hole] = last;
            return true;
        }

        public void Dispose() => ArrayPool<ulong>.Shared.Return(_heap);
    }
}
