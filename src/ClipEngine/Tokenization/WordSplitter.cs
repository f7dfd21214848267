namespace ClipEngine.Tokenization;

/// <summary>
/// Cuts a cleaned text into the words of CLIP's regular expression, <c>'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+</c>,
/// without a regular expression engine: every alternative is decided by looking ahead a bounded number of characters,
/// so that nothing is ever read twice.
/// </summary>
internal ref struct WordSplitter
{
    private static readonly string[] s_contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    private readonly ReadOnlySpan<char> _text;
    private readonly string[] _specialWords;
    private readonly bool _ignoreCase;
    private int _position;

    /// <summary>Starts before the first word.</summary>
    /// <param name="text">Cleaned text.</param>
    /// <param name="specialWords">Words that come before every other alternative.</param>
    /// <param name="ignoreCase">As the expression of open_clip: capitals and the long s (ſ) then equal small letters.</param>
    public WordSplitter(ReadOnlySpan<char> text, string[] specialWords, bool ignoreCase)
    {
        _text = text;
        _specialWords = specialWords;
        _ignoreCase = ignoreCase;
        _position = 0;
        Current = default;
    }

    /// <summary>The word found last.</summary>
    public ReadOnlySpan<char> Current { get; private set; }

    public bool MoveNext()
    {
        while (_position < _text.Length)
        {
            ReadOnlySpan<char> rest = _text[_position..];
            int length = FixedWord(rest);
            if (length == 0)
            {
                CharacterKind kind = UnicodeKinds.At(rest, out length);
                if (kind == CharacterKind.Space)
                {
                    _position += length;
                    continue;
                }

                // Digits and other numbers stand alone.
                while (kind != CharacterKind.Number && length < rest.Length && UnicodeKinds.At(rest[length..], out int width) == kind)
                    length += width;
            }

            Current = rest[..length];
            _position += length;
            return true;
        }

        Current = default;
        return false;
    }

    private readonly int FixedWord(ReadOnlySpan<char> rest)
    {
        foreach (string word in _specialWords)
        {
            if (StartsWith(rest, word))
                return word.Length;
        }

        if (rest[0] == '\'')
        {
            foreach (string word in s_contractions)
            {
                if (StartsWith(rest, word))
                    return word.Length;
            }
        }

        return 0;
    }

    private readonly bool StartsWith(ReadOnlySpan<char> rest, string word)
    {
        if (rest.Length < word.Length)
            return false;
        for (int i = 0; i < word.Length; i++)
        {
            if (rest[i] != word[i] && !(_ignoreCase && (rest[i] == 'ſ' ? 's' : char.IsAsciiLetterUpper(rest[i]) ? (char)(rest[i] | 0x20) : rest[i]) == word[i]))
                return false;
        }

        return true;
    }
}
