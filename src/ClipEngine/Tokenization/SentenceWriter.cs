namespace ClipEngine.Tokenization;

/// <summary>Fills one row of ids: start, words, end, padding; counts what no longer fits.</summary>
internal ref struct SentenceWriter
{
    private readonly Span<int> _ids;
    private int _count;

    public SentenceWriter(Span<int> ids, int contextLength, int start)
    {
        if (ids.Length != contextLength)
            throw new ArgumentException($"{contextLength} ids were expected, the context length; there is room for {ids.Length}.", nameof(ids));
        _ids = ids;
        _ids[0] = start;
        _count = 1;
    }

    /// <summary>The places that are left.</summary>
    public readonly Span<int> Free => _ids[Math.Min(_count, _ids.Length)..];

    /// <summary>Adds one id.</summary>
    public void Add(int id)
    {
        if (_count < _ids.Length)
            _ids[_count] = id;
        _count++;
    }

    /// <summary>Counts ids that were written to <see cref="Free"/>, or did not fit there.</summary>
    public void Advance(int count) => _count = checked(_count + count);

    /// <summary>Ends the sentence; the end is the last id even where the sentence was cut.</summary>
    public readonly EncodedLength Finish(int end, int padding)
    {
        int full = _count + 1;
        int used = Math.Min(full, _ids.Length);
        _ids[used - 1] = end;
        _ids[used..].Fill(padding);
        return new EncodedLength(used, full);
    }
}
