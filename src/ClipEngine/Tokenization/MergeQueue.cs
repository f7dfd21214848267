using System.Buffers;

namespace ClipEngine.Tokenization;

/// <summary>A binary heap of (rank, position) in eight bytes each: the smallest rank first, from left to right among equals.</summary>
internal sealed class MergeQueue(int capacity) : IDisposable
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
