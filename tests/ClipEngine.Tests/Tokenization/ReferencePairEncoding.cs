using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Tokenization;

/// <summary>Byte-pair encoding straight from its definition, in quadratic time, from the data file in the source tree: of all neighbours that may join, all occurrences of the earliest pair join at once; repeat.</summary>
internal static class ReferencePairEncoding
{
    private static readonly Dictionary<(int Left, int Right), int> s_ranks = Load();

    public static int[] Encode(string asciiWord)
    {
        // '!' is byte 33 and id 0; ids of a word's last byte lie 256 higher.
        List<int> symbols = [.. Encoding.ASCII.GetBytes(asciiWord).Select(value => value - 33)];
        symbols[^1] += 256;
        while (true)
        {
            (int Left, int Right)[] pairs = [.. symbols.Zip(symbols.Skip(1)).Where(s_ranks.ContainsKey)];
            if (pairs.Length == 0)
                return [.. symbols];
            (int Left, int Right) best = pairs.MinBy(pair => s_ranks[pair]);
            var joined = new List<int>();
            for (int i = 0; i < symbols.Count; i++)
            {
                bool joins = i + 1 < symbols.Count && (symbols[i], symbols[i + 1]) == best;
                joined.Add(joins ? 512 + s_ranks[best] : symbols[i]);
                i += joins ? 1 : 0;
            }

            symbols = joined;
        }
    }

    private static Dictionary<(int Left, int Right), int> Load()
    {
        string path = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine", "Tokenization", "Data", "clip-merges.bin");
        using var stream = new ZLibStream(File.OpenRead(path), CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        ReadOnlySpan<byte> packed = bytes.ToArray();
        var ranks = new Dictionary<(int Left, int Right), int>();
        for (; !packed.IsEmpty; packed = packed[4..])
            ranks.Add((BinaryPrimitives.ReadUInt16LittleEndian(packed), BinaryPrimitives.ReadUInt16LittleEndian(packed[2..])), ranks.Count);
        return ranks;
    }
}
