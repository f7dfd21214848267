using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>The pieces of a vocabulary as a tree of their UTF-8 bytes. The children of a node lie side by side, in the order of their bytes.</summary>
internal sealed class PieceTrie
{
    public const int Root = 0;

    private readonly byte[] _labels;
    private readonly int[] _firstChild;
    private readonly int[] _ids;

    /// <summary>Where a piece occurs twice, the last one counts; empty pieces are left out.</summary>
    public PieceTrie(IEnumerable<(string Piece, int Id)> pieces)
    {
        (byte[] Key, int Id)[] entries = [.. pieces.Where(entry => entry.Piece.Length > 0).Select(entry => (Encoding.UTF8.GetBytes(entry.Piece), entry.Id))];
        Array.Sort(entries, static (left, right) => left.Key.AsSpan().SequenceCompareTo(right.Key) is var order && order != 0 ? order : left.Id.CompareTo(right.Id));
        var labels = new List<byte> { 0 };
        var ids = new List<int> { -1 };
        var firstChild = new List<int>();
        // Breadth first: ranges of entries that share their first bytes. Children are numbered in the order in which they are met.
        var ranges = new Queue<(int Start, int End, int Depth)>();
        ranges.Enqueue((0, entries.Length, 0));
        while (ranges.TryDequeue(out (int Start, int End, int Depth) range))
        {
            firstChild.Add(labels.Count);
            int start = range.Start;
            while (start < range.End && entries[start].Key.Length == range.Depth)
                start++;
            while (start < range.End)
            {
                byte label = entries[start].Key[range.Depth];
                int end = start;
                int id = -1;
                for (; end < range.End && entries[end].Key[range.Depth] == label; end++)
                {
                    if (entries[end].Key.Length == range.Depth + 1)
                        id = entries[end].Id;
                }

                labels.Add(label);
                ids.Add(id);
                ranges.Enqueue((start, end, range.Depth + 1));
                start = end;
            }
        }

        firstChild.Add(labels.Count);
        _labels = [.. labels];
        _ids = [.. ids];
        _firstChild = [.. firstChild];
    }

    /// <summary>Bytes of the character that begins with this byte.</summary>
    public static int CharacterLength(byte first) => first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;

    /// <summary>Goes one byte on.</summary>
    /// <param name="node">Where the search stands.</param>
    /// <param name="label">The next byte.</param>
    /// <param name="id">The piece that ends here, or -1.</param>
    /// <returns>False where no piece goes on like this.</returns>
    public bool TryStep(ref int node, byte label, out int id)
    {
        int first = _firstChild[node];
        int index = _labels.AsSpan(first, _firstChild[node + 1] - first).IndexOf(label);
        if (index < 0)
        {
            id = -1;
            return false;
        }

        node = first + index;
        id = _ids[node];
        return true;
    }

    /// <summary>The id of a whole piece, or -1.</summary>
    public int Find(ReadOnlySpan<byte> piece)
    {
        int node = Root, id = -1;
        foreach (byte label in piece)
        {
            if (!TryStep(ref node, label, out id))
                return -1;
        }

        return id;
    }
}
