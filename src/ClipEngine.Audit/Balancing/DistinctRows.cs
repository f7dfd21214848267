using System.Runtime.InteropServices;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// The rows of a table, each distinct one kept once with how often it occurs: attributes are mostly bits, and millions of rows then are a few
/// hundred distinct ones. Where there are more than fit, the others go to a temporary file; memory stays bounded whatever the table's length.
/// </summary>
internal sealed class DistinctRows : IBalanceRows, IDisposable
{
    /// <summary>Bytes of distinct rows that are kept in memory.</summary>
    private const int MemoryBytes = 48 << 20;

    private const int BlockRows = 1 << 14;

    private readonly int _width;
    private readonly int _capacity;
    private readonly Dictionary<double[], int>.AlternateLookup<ReadOnlySpan<double>> _known = new Dictionary<double[], int>(new RowComparer()).GetAlternateLookup<ReadOnlySpan<double>>();
    private readonly List<double> _values = [];
    private readonly List<long> _counts = [];
    private readonly FileStream _order;
    private readonly FileStream _spill;
    private double[]? _sorted;
    private long[]? _sortedCounts;

    /// <summary>An empty collection.</summary>
    /// <param name="width">Numbers in a row.</param>
    /// <param name="folder">Where temporary files go; they have no name there once opened, so that nothing is left behind.</param>
    /// <param name="capacity">Distinct rows kept in memory; 0: as many as 48 MiB hold.</param>
    public DistinctRows(int width, string folder, int capacity = 0)
    {
        _width = width;
        _capacity = capacity > 0 ? capacity : Math.Max(1024, MemoryBytes / ((width * sizeof(double)) + 100));
        _order = Temporary(folder);
        _spill = Temporary(folder);
    }

    /// <inheritdoc/>
    public long Count { get; private set; }

    /// <summary>Distinct rows in memory.</summary>
    public int DistinctCount => _counts.Count;

    /// <summary>Rows that did not fit and lie in the temporary file.</summary>
    public long SpilledCount { get; private set; }

    /// <summary>Appends a row.</summary>
    public void Add(ReadOnlySpan<double> row)
    {
        int index = -1;
        if (_known.TryGetValue(row, out int known))
        {
            index = known;
            _counts[index]++;
        }
        else if (_counts.Count < _capacity)
        {
            index = _counts.Count;
            _known[row] = index;
            _values.AddRange(row);
            _counts.Add(1);
        }
        else
        {
            _spill.Write(MemoryMarshal.AsBytes(row));
            SpilledCount++;
        }

        _order.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<int>(ref index)));
        Count++;
    }

    /// <inheritdoc/>
    public void Read(RowVisitor visit)
    {
        if (_sorted is null || _sortedCounts is null)
            (_sorted, _sortedCounts) = Sort();
        visit(_sorted, _sortedCounts);
        if (SpilledCount == 0)
            return;
        _spill.Flush();
        _spill.Position = 0;
        var block = new double[BlockRows * _width];
        long[] ones = [.. Enumerable.Repeat(1L, BlockRows)];
        for (long done = 0; done < SpilledCount; done += BlockRows)
        {
            int count = (int)Math.Min(BlockRows, SpilledCount - done);
            _spill.ReadExactly(MemoryMarshal.AsBytes(block.AsSpan(0, count * _width)));
            visit(block.AsMemory(0, count * _width), ones.AsMemory(0, count));
        }
    }

    /// <summary>Hands over a number for each row in the order in which they were added.</summary>
    /// <param name="map">Computes the number of a row.</param>
    /// <param name="visit">Takes a row's number.</param>
    public void InOrder(Func<double[], double> map, Action<double> visit)
    {
        var distinct = new double[_counts.Count];
        var row = new double[_width];
        Span<double> all = CollectionsMarshal.AsSpan(_values);
        for (int i = 0; i < distinct.Length; i++)
        {
            all.Slice(i * _width, _width).CopyTo(row);
            distinct[i] = map(row);
        }

        _order.Flush();
        _order.Position = 0;
        _spill.Flush();
        _spill.Position = 0;
        var indices = new int[BlockRows];
        for (long done = 0; done < Count; done += BlockRows)
        {
            int count = (int)Math.Min(BlockRows, Count - done);
            _order.ReadExactly(MemoryMarshal.AsBytes(indices.AsSpan(0, count)));
            for (int i = 0; i < count; i++)
            {
                if (indices[i] >= 0)
                {
                    visit(distinct[indices[i]]);
                    continue;
                }

                _spill.ReadExactly(MemoryMarshal.AsBytes(row.AsSpan()));
                visit(map(row));
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _order.Dispose();
        _spill.Dispose();
    }

    /// <summary>Sorted, so that the order of a table's rows and its division into files change no bit of a sum.</summary>
    private (double[] Rows, long[] Counts) Sort()
    {
        double[] values = [.. _values];
        int[] order = [.. Enumerable.Range(0, _counts.Count)];
        int width = _width;
        Array.Sort(order, (first, second) => values.AsSpan(first * width, width).SequenceCompareTo(values.AsSpan(second * width, width)));
        var sorted = new double[values.Length];
        var counts = new long[order.Length];
        for (int i = 0; i < order.Length; i++)
        {
            values.AsSpan(order[i] * width, width).CopyTo(sorted.AsSpan(i * width));
            counts[i] = _counts[order[i]];
        }

        return (sorted, counts);
    }

    private static FileStream Temporary(string folder) =>
        new(Path.Combine(folder, $".balance-{Guid.NewGuid():N}{AtomicFile.TemporarySuffix}"), new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.None,
            BufferSize = 1 << 18,
            Options = FileOptions.DeleteOnClose,
        });

    /// <summary>Rows are equal where all their bits are; a span can be looked up without a copy.</summary>
    private sealed class RowComparer : IEqualityComparer<double[]>, IAlternateEqualityComparer<ReadOnlySpan<double>, double[]>
    {
        public bool Equals(double[]? first, double[]? second) => Equals(first.AsSpan(), second!);

        public bool Equals(ReadOnlySpan<double> alternate, double[] other) => MemoryMarshal.AsBytes(alternate).SequenceEqual(MemoryMarshal.AsBytes(other.AsSpan()));

        public int GetHashCode(double[] row) => GetHashCode(row.AsSpan());

        public int GetHashCode(ReadOnlySpan<double> alternate) => (int)System.IO.Hashing.XxHash3.HashToUInt64(MemoryMarshal.AsBytes(alternate));

        public double[] Create(ReadOnlySpan<double> alternate) => alternate.ToArray();
    }
}
