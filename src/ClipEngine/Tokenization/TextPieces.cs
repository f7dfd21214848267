namespace ClipEngine.Tokenization;

/// <summary>A text cut into pieces, kept in buffers that are used again; one owner at a time.</summary>
internal sealed class TextPieces
{
    private char[] _text = new char[256];
    private (int Start, int Length)[] _pieces = new (int, int)[32];
    private int _length;

    /// <summary>How many pieces there are.</summary>
    public int Count { get; private set; }

    /// <summary>Whether the first piece begins where the whole sentence does.</summary>
    public bool StartsSentence { get; set; }

    public ReadOnlySpan<char> this[int index] => _text.AsSpan(_pieces[index].Start, _pieces[index].Length);

    public void Clear()
    {
        _length = 0;
        Count = 0;
    }

    /// <summary>Adds a piece; an empty one is left out.</summary>
    public void Add(ReadOnlySpan<char> piece)
    {
        int start = _length;
        Append(piece);
        End(start);
    }

    /// <summary>Adds characters that <see cref="End"/> makes a piece of.</summary>
    public void Append(ReadOnlySpan<char> characters)
    {
        if (_text.Length - _length < characters.Length)
            Array.Resize(ref _text, Math.Max(2 * _text.Length, checked(_length + characters.Length)));
        characters.CopyTo(_text.AsSpan(_length));
        _length += characters.Length;
    }

    /// <summary>Where the next character will stand.</summary>
    public int Position => _length;

    /// <summary>Makes a piece of everything behind <paramref name="start"/>; nothing where that is empty.</summary>
    public void End(int start)
    {
        if (_length == start)
            return;
        if (Count == _pieces.Length)
            Array.Resize(ref _pieces, 2 * Count);
        _pieces[Count++] = (start, _length - start);
    }
}
