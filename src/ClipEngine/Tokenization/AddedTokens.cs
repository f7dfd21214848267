using System.Buffers;

namespace ClipEngine.Tokenization;

/// <summary>A word that is an id of its own, wherever it stands in a text.</summary>
/// <param name="Content">The word; not empty.</param>
/// <param name="Id">Its id.</param>
internal sealed record AddedToken(string Content, int Id)
{
    /// <summary>Only where no letter or digit stands beside it.</summary>
    public bool SingleWord { get; init; }

    /// <summary>Takes the white space to its left with it.</summary>
    public bool StripsLeft { get; init; }

    /// <summary>Takes the white space to its right with it.</summary>
    public bool StripsRight { get; init; }

    /// <summary>Looked for in the normalized text rather than in the text as it was written.</summary>
    public bool IsNormalized { get; init; }

    /// <summary>A sign of the model rather than a word that was added to its vocabulary.</summary>
    public bool IsSpecial { get; init; }
}

/// <summary>Finds added tokens in a text: the first one, and of those that begin there the longest.</summary>
internal sealed class AddedTokens
{
    private readonly SearchValues<string> _search;
    private readonly Dictionary<char, AddedToken[]> _byFirst;

    /// <summary>At least one token.</summary>
    public AddedTokens(IEnumerable<AddedToken> tokens)
    {
        AddedToken[] all = [.. tokens];
        _search = SearchValues.Create([.. all.Select(token => token.Content)], StringComparison.Ordinal);
        _byFirst = all.GroupBy(token => token.Content[0]).ToDictionary(group => group.Key, group => group.OrderByDescending(token => token.Content.Length).ToArray());
    }

    /// <summary>A place where a text is cut.</summary>
    /// <param name="Token">Which token it is.</param>
    /// <param name="Start">Where the token, with white space that it takes, begins.</param>
    /// <param name="End">Where it ends.</param>
    public readonly record struct Match(AddedToken Token, int Start, int End);

    /// <summary>The next token at or behind <paramref name="from"/>.</summary>
    /// <param name="text">The whole text: what stands beside a token counts.</param>
    /// <param name="from">Where the last match ended.</param>
    /// <param name="match">The token that was found.</param>
    public bool TryFind(ReadOnlySpan<char> text, int from, out Match match)
    {
        int position = from;
        while (position < text.Length && text[position..].IndexOfAny(_search) is >= 0 and int ahead)
        {
            int start = position + ahead;
            AddedToken token = LongestAt(text[start..]);
            int end = start + token.Content.Length;
            position = end;
            if (token.SingleWord && (UnicodeKinds.LastCodePoint(text[..start]) is >= 0 and int before && UnicodeKinds.IsWord(before)
                || end < text.Length && UnicodeKinds.IsWord(UnicodeKinds.CodePoint(text[end..], out _))))
                continue;
            while (token.StripsLeft && start > from && char.IsWhiteSpace(text[start - 1]))
                start--;
            while (token.StripsRight && end < text.Length && char.IsWhiteSpace(text[end]))
                end++;
            match = new Match(token, start, end);
            return true;
        }

        match = default;
        return false;
    }

    private AddedToken LongestAt(ReadOnlySpan<char> rest)
    {
        foreach (AddedToken token in _byFirst[rest[0]])
        {
            if (rest.StartsWith(token.Content, StringComparison.Ordinal))
                return token;
        }

        throw new InvalidOperationException("the search found a token that is not there");
    }
}
