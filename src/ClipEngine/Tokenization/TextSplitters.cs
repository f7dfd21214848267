namespace ClipEngine.Tokenization;

/// <summary>Cuts pieces of text into smaller ones, perhaps with other characters. Immutable and thread-safe.</summary>
internal abstract class TextSplitter
{
    /// <summary>Cuts every piece.</summary>
    /// <param name="from">Stays as it is.</param>
    /// <param name="to">Receives the pieces; what it held is gone.</param>
    public void Split(TextPieces from, TextPieces to)
    {
        to.Clear();
        to.StartsSentence = from.StartsSentence;
        for (int i = 0; i < from.Count; i++)
            Split(from[i], from.StartsSentence && i == 0, to);
    }

    protected abstract void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to);
}

/// <summary>Cuts at white space, which is left out.</summary>
internal sealed class WhiteSpaceSplitter : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        int start = 0;
        for (int i = 0; i <= piece.Length; i++)
        {
            if (i < piece.Length && !char.IsWhiteSpace(piece[i]))
                continue;
            to.Add(piece[start..i]);
            start = i + 1;
        }
    }
}

/// <summary>When <see cref="MetaspaceSplitter"/> puts a word mark in front of a piece.</summary>
internal enum WordMark
{
    Never,

    /// <summary>Only where the sentence begins.</summary>
    First,

    Always,
}

/// <summary>SentencePiece's word marks: every space becomes a mark, one is put in front, and words begin at marks.</summary>
/// <param name="mark">The mark, U+2581 as a rule.</param>
/// <param name="inFront">When a piece that does not begin with a mark gets one.</param>
/// <param name="cuts">Whether pieces are cut in front of every mark.</param>
internal sealed class MetaspaceSplitter(char mark, WordMark inFront, bool cuts) : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        int start = to.Position;
        if (inFront == WordMark.Always || (inFront == WordMark.First && startsSentence))
        {
            if (piece[0] != ' ' && piece[0] != mark)
                to.Append([mark]);
        }

        while (piece.Length > 0)
        {
            int length = piece.IndexOfAny(' ', mark);
            if (length < 0)
                length = piece.Length;
            to.Append(piece[..length]);
            piece = piece[length..];
            if (piece.Length == 0)
                break;
            if (cuts)
            {
                to.End(start);
                start = to.Position;
            }

            to.Append([mark]);
            piece = piece[1..];
        }

        to.End(start);
    }
}

/// <summary>How <see cref="LiteralSplitter"/> and <see cref="ClipSplitter"/> treat what they cut at.</summary>
internal enum CutBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
}

/// <summary>Cuts at a fixed string.</summary>
internal sealed class LiteralSplitter(string pattern, CutBehavior behavior) : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        int start = 0, position = 0;
        while (piece[position..].IndexOf(pattern, StringComparison.Ordinal) is >= 0 and int ahead)
        {
            int at = position + ahead;
            position = at + pattern.Length;
            to.Add(piece[start..(behavior == CutBehavior.MergedWithPrevious ? position : at)]);
            if (behavior == CutBehavior.Isolated)
                to.Add(piece[at..position]);
            start = behavior == CutBehavior.MergedWithNext ? at : position;
        }

        to.Add(piece[start..]);
    }
}

/// <summary>CLIP's words; see <see cref="WordSplitter"/>.</summary>
/// <param name="specialWords">Words that come before every other.</param>
internal sealed class ClipSplitter(string[] specialWords) : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        var words = new WordSplitter(piece, specialWords, ignoreCase: false);
        while (words.MoveNext())
            to.Add(words.Current);
    }
}

/// <summary>
/// GPT-2's words, <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>: a space belongs to the word behind it.
/// </summary>
/// <param name="addsSpace">Whether a space is put in front of a piece that has none.</param>
/// <param name="cuts">Whether the expression is used at all.</param>
internal sealed class ByteLevelSplitter(bool addsSpace, bool cuts) : TextSplitter
{
    protected override void Split(ReadOnlySpan<char> piece, bool startsSentence, TextPieces to)
    {
        if (addsSpace && piece[0] != ' ')
        {
            char[] spaced = new char[piece.Length + 1];
            spaced[0] = ' ';
            piece.CopyTo(spaced.AsSpan(1));
            piece = spaced;
        }

        if (!cuts)
        {
            to.Add(piece);
            return;
        }

        while (piece.Length > 0)
        {
            int length = WordLength(piece);
            to.Add(piece[..length]);
            piece = piece[length..];
        }
    }

    private static int WordLength(ReadOnlySpan<char> rest)
    {
        if (rest[0] == '\'' && Contraction(rest[1..]) is > 0 and int letters)
            return 1 + letters;
        CharacterKind kind = UnicodeKinds.At(rest, out int length);
        if (rest[0] == ' ' && rest.Length > 1)
        {
            kind = UnicodeKinds.At(rest[1..], out int width);
            length = kind == CharacterKind.Space ? 1 : 1 + width;
        }

        int last = 0;
        while (length < rest.Length && UnicodeKinds.At(rest[length..], out int width) == kind)
        {
            last = length;
            length += width;
        }

        // Of several white spaces the last one belongs to the word behind them.
        return kind == CharacterKind.Space && length < rest.Length && last > 0 ? last : length;
    }

    private static int Contraction(ReadOnlySpan<char> rest) => rest switch
    {
        ['s' or 't' or 'm' or 'd', ..] => 1,
        ['r' or 'v', 'e', ..] or ['l', 'l', ..] => 2,
        _ => 0,
    };
}
