namespace ClipEngine.Tokenization;

/// <summary>Ids of a sentence in a buffer that is used again; one owner at a time.</summary>
internal sealed class IdList
{
    private int[] _ids = new int[256];

    public int Count { get; private set; }

    public ReadOnlySpan<int> Span => _ids.AsSpan(0, Count);

    public int Last => _ids[Count - 1];

    public void Clear() => Count = 0;

    public void Add(int id)
    {
        if (Count == _ids.Length)
            Array.Resize(ref _ids, 2 * Count);
        _ids[Count++] = id;
    }

    public void AddRange(ReadOnlySpan<int> ids)
    {
        ids.CopyTo(Reserve(ids.Length));
        Count += ids.Length;
    }

    /// <summary>Room behind the last id; <see cref="Advance"/> takes what was written there.</summary>
    public Span<int> Reserve(int length)
    {
        if (_ids.Length - Count < length)
            Array.Resize(ref _ids, Math.Max(2 * _ids.Length, checked(Count + length)));
        return _ids.AsSpan(Count, length);
    }

    public void Advance(int count) => Count += count;

    public void Shorten(int count) => Count = Math.Min(Count, count);

    /// <summary>Leaves out the first ids.</summary>
    public void RemoveFirst(int start, int count)
    {
        count = Math.Min(count, Count - start);
        _ids.AsSpan(start + count, Count - start - count).CopyTo(_ids.AsSpan(start));
        Count -= count;
    }
}
