namespace ClipEngine.Native;

/// <summary>
/// Device memory of one pass: blocks are given out first-fit from chunks that never move, and taken back when their scope ends.
/// Work on a device runs in order, so a block may be given out again while what used it is still queued. Equal sequences of
/// calls get equal addresses; a steady state allocates nothing, neither here nor on the device.
/// </summary>
internal sealed class CudaArena
{
    private const long Alignment = 256;
    private const long SmallestChunk = 64L << 20;

    private readonly CudaDevice _device;
    private readonly List<(ulong Address, long Bytes)> _chunks = [];
    private readonly List<(ulong Address, long Bytes)> _free = [];      // by address, neighbours of one chunk joined
    private readonly List<(ulong Address, long Bytes)> _given = [];     // in the order of giving

    internal CudaArena(CudaDevice device) => _device = device;

    /// <summary>How many blocks are out: the mark of a scope.</summary>
    internal int Mark => _given.Count;

    /// <summary>Gives out memory, 256-byte aligned.</summary>
    internal ulong Allocate(long bytes)
    {
        long needed = (Math.Max(1, bytes) + Alignment - 1) / Alignment * Alignment;
        int index = _free.FindIndex(block => block.Bytes >= needed);
        if (index < 0)
        {
            long chunk = Math.Max(SmallestChunk, needed);
            ulong address = _device.Allocate(chunk);
            _chunks.Add((address, chunk));
            index = Insert((address, chunk));
        }

        var (start, size) = _free[index];
        if (size == needed)
            _free.RemoveAt(index);
        else
            _free[index] = (start + (ulong)needed, size - needed);
        _given.Add((start, needed));
        return start;
    }

    /// <summary>Takes back everything given out since the mark, but for one block, which the outer scope gets.</summary>
    internal void Release(int mark, ulong kept)
    {
        (ulong Address, long Bytes) survivor = default;
        for (int i = _given.Count - 1; i >= mark; i--)
        {
            if (_given[i].Address == kept)
                survivor = _given[i];
            else
                Insert(_given[i]);
        }

        _given.RemoveRange(mark, _given.Count - mark);
        if (survivor.Bytes > 0)
            _given.Add(survivor);
    }

    /// <summary>Gives all chunks back to the device.</summary>
    internal void Free()
    {
        foreach (var (address, _) in _chunks)
            _device.Free(address);
        _chunks.Clear();
        _free.Clear();
        _given.Clear();
    }

    private int Insert((ulong Address, long Bytes) block)
    {
        int index = 0;
        while (index < _free.Count && _free[index].Address < block.Address)
            index++;
        _free.Insert(index, block);
        Join(index);
        if (index > 0 && Join(index - 1))
            index--;
        return index;
    }

    /// <summary>Joins a free block with the next one where they touch inside one chunk.</summary>
    private bool Join(int index)
    {
        if (index + 1 >= _free.Count || _free[index].Address + (ulong)_free[index].Bytes != _free[index + 1].Address)
            return false;
        ulong border = _free[index + 1].Address;
        foreach (var (address, _) in _chunks)
        {
            if (address == border)
                return false;
        }

        _free[index] = (_free[index].Address, _free[index].Bytes + _free[index + 1].Bytes);
        _free.RemoveAt(index + 1);
        return true;
    }
}
