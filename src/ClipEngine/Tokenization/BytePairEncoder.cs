using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// Byte-pair encoding of single words: the bytes of a word, the last one marked as the word's end where the vocabulary does so,
/// joined by <see cref="PairMerges"/>. Immutable, and shared by any number of threads.
/// </summary>
internal sealed class BytePairEncoder
{
    private readonly int[] _byteIds;
    private readonly int[] _lastByteIds;
    private readonly PairMerges _merges;
    private readonly int _unknown;

    /// <summary>Takes the tables over; they must not change afterwards.</summary>
    /// <param name="byteIds">256 ids of bytes inside a word; -1 for a byte that the vocabulary lacks.</param>
    /// <param name="lastByteIds">256 ids of bytes that end a word; the same table where a word's end is not marked.</param>
    /// <param name="merges">Which two neighbours join.</param>
    /// <param name="unknown">What stands for a byte that the vocabulary lacks; -1 leaves it out.</param>
    public BytePairEncoder(int[] byteIds, int[] lastByteIds, PairMerges merges, int unknown = -1)
    {
        _byteIds = byteIds;
        _lastByteIds = lastByteIds;
        _merges = merges;
        _unknown = unknown;
    }

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
        int length = Encoding.UTF8.GetBytes(word, bytes);
        int[]? rentedSymbols = length > 256 ? ArrayPool<int>.Shared.Rent(length) : null;
        Span<int> symbols = rentedSymbols ?? stackalloc int[256];
        int count = 0;
        for (int i = 0; i < length; i++)
        {
            int id = (i == length - 1 ? _lastByteIds : _byteIds)[bytes[i]];
            if (id < 0)
                id = _unknown;
            if (id >= 0)
                symbols[count++] = id;
        }

        int total = _merges.Join(symbols[..count]);
        symbols[..Math.Min(total, ids.Length)].CopyTo(ids);
        if (rented is not null)
            ArrayPool<byte>.Shared.Return(rented);
        if (rentedSymbols is not null)
            ArrayPool<int>.Shared.Return(rentedSymbols);
        return total;
    }

    private static bool IsPrintable(int value) => value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
}
