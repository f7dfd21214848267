using System.Buffers.Binary;

namespace ClipEngine.Tokenization;

/// <summary>What the ids of CLIP's byte-pair encoding stand for.</summary>
internal static class ClipVocabulary
{
    private static readonly Lazy<byte[][]> s_texts = new(Make);

    /// <summary>The UTF-8 bytes of an id, a space where a word ends; nothing for the start and the end of a sentence.</summary>
    public static ReadOnlyMemory<byte> BytesOf(int id)
    {
        byte[][] texts = s_texts.Value;
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(id, ClipTokenizer.EndOfText);
        return id < texts.Length ? texts[id] : ReadOnlyMemory<byte>.Empty;
    }

    private static byte[][] Make()
    {
        byte[] pairs = EmbeddedTable.Inflate("clip-merges.bin");
        byte[][] texts = new byte[512 + (pairs.Length / 4)][];
        int next = 0;
        foreach (int value in BytePairEncoder.BytesInVocabularyOrder())
        {
            texts[next] = [(byte)value];
            texts[256 + next] = [(byte)value, (byte)' '];
            next++;
        }

        for (int rank = 0; rank < pairs.Length / 4; rank++)
        {
            ReadOnlySpan<byte> pair = pairs.AsSpan(4 * rank, 4);
            texts[512 + rank] = [.. texts[BinaryPrimitives.ReadUInt16LittleEndian(pair)], .. texts[BinaryPrimitives.ReadUInt16LittleEndian(pair[2..])]];
        }

        return texts;
    }
}
