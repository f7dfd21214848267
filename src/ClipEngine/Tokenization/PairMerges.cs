using System.Buffers;

namespace ClipEngine.Tokenization;

/// <summary>
/// The merges of a byte-pair encoding: neighbours join pair by pair, the earliest merge first and from left to right among
/// equals. Few symbols are scanned again for every merge; for many, a linked list and a heap make it n log n, so that one word of
/// a million letters costs what a million short words cost. Immutable, and shared by any number of threads.
/// </summary>
internal sealed class PairMerges
{
    /// <summary>Up to so many symbols scanning is quicker than the heap.</summary>
    private const int ScanLimit = 24;

    private readonly Dictionary<ulong, Merge> _merges;

    /// <summary>Takes over which two neighbours join, into what, and how early.</summary>
    public PairMerges(Dictionary<ulong, Merge> merges) => _merges = merges;

    /// <summary>One merge.</summary>
    /// <param name="Rank">0 is the first merge to be made.</param>
    /// <param name="Id">What the pair becomes.</param>
    public readonly record struct Merge(int Rank, int Id);

    /// <summary>
    /// Two neighbouring ids as a key of the merges. Multiplied by an odd number, which keeps keys distinct: the runtime's hash
    /// of a 64-bit number is one half xor the other, under which all pairs of equal ids would collide.
    /// </summary>
    public static ulong PairKey(int left, int right) => unchecked((((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15UL);

    /// <summary>Joins until no merge applies; what is left stands at the beginning of <paramref name="symbols"/>.</summary>
    /// <returns>How many symbols are left.</returns>
    public int Join(Span<int> symbols) => symbols.Length <= ScanLimit ? Scan(symbols) : JoinMany(symbols);

    private int Scan(Span<int> symbols)
    {
        Span<int> ranks = stackalloc int[ScanLimit], results = stackalloc int[ScanLimit];
        int count = symbols.Length;
        for (int i = 0; i + 1 < count; i++)
            Look(symbols, i, ranks, results);
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i + 1 < count; i++)
            {
                if (ranks[i] < ranks[best])
                    best = i;
            }

            if (ranks[best] == int.MaxValue)
                break;
            symbols[best] = results[best];
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            ranks[(best + 1)..(count - 1)].CopyTo(ranks[best..]);
            results[(best + 1)..(count - 1)].CopyTo(results[best..]);
            count--;
            if (best + 1 < count)
                Look(symbols, best, ranks, results);
            if (best > 0)
                Look(symbols, best - 1, ranks, results);
        }

        return count;
    }

    private void Look(Span<int> symbols, int at, Span<int> ranks, Span<int> results)
    {
        bool joins = _merges.TryGetValue(PairKey(symbols[at], symbols[at + 1]), out Merge merge);
        ranks[at] = joins ? merge.Rank : int.MaxValue;
        results[at] = merge.Id;
    }

    /// <summary>Position 0 is never absorbed, so that the list always starts there.</summary>
    private int JoinMany(Span<int> symbols)
    {
        const int Absorbed = -1;
        int count = symbols.Length;
        int[] next = ArrayPool<int>.Shared.Rent(count), previous = ArrayPool<int>.Shared.Rent(count);
        using var queue = new MergeQueue(count);
        for (int i = 0; i < count; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            if (i > 0)
                Offer(queue, symbols, i - 1, i);
        }

        while (queue.TryTake(out int rank, out int left))
        {
            int right = next[left];
            // Stale where one of the two has been joined with another neighbour since.
            if (symbols[left] == Absorbed || right >= count
                || !_merges.TryGetValue(PairKey(symbols[left], symbols[right]), out Merge merge) || merge.Rank != rank)
                continue;

            symbols[left] = merge.Id;
            symbols[right] = Absorbed;
            int behind = next[right];
            next[left] = behind;
            if (behind < count)
            {
                previous[behind] = left;
                Offer(queue, symbols, left, behind);
            }

            if (previous[left] >= 0)
                Offer(queue, symbols, previous[left], left);
        }

        int total = 0;
        for (int i = 0; i < count; i = next[i])
            symbols[total++] = symbols[i];
        ArrayPool<int>.Shared.Return(next);
        ArrayPool<int>.Shared.Return(previous);
        return total;
    }

    private void Offer(MergeQueue queue, Span<int> symbols, int left, int right)
    {
        if (_merges.TryGetValue(PairKey(symbols[left], symbols[right]), out Merge merge))
            queue.Add(merge.Rank, left);
    }
}
