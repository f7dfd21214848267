using System.Buffers;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>How a vocabulary writes the texts of its pieces.</summary>
internal enum PieceStyle
{
    /// <summary>BERT's: a space stands in front of every piece but those that go on with a word, which the affix marks.</summary>
    WordPiece,

    /// <summary>GPT-2's: a character for each byte; where the affix ends a piece, a space follows.</summary>
    ByteLevel,

    /// <summary>SentencePiece's: the affix stands for a space, and <c>&lt;0x0A&gt;</c> for a byte.</summary>
    Metaspace,
}

/// <summary>What the ids of a vocabulary that was read from files stand for: <see cref="ITokenizer.BytesOf"/>. Immutable.</summary>
internal sealed class TokenTexts
{
    private static readonly Dictionary<char, byte> s_bytes = Enumerable.Range(0, 256).ToDictionary(BytePairEncoder.ByteCharacter, static value => (byte)value);

    // A vocabulary can have gaps: the texts lie one behind the other in the order of their ids.
    private readonly int[] _ids;
    private readonly int[] _starts;
    private readonly byte[] _bytes;

    /// <summary>Takes the texts out of a vocabulary.</summary>
    /// <param name="pieces">The pieces as the vocabulary writes them, and their ids.</param>
    /// <param name="style">How it writes them.</param>
    /// <param name="affix">See <see cref="PieceStyle"/>; may be empty.</param>
    /// <param name="added">Words that are ids of their own: those of the model stand for no text.</param>
    public TokenTexts(IEnumerable<KeyValuePair<string, int>> pieces, PieceStyle style, string affix, IReadOnlyCollection<AddedToken> added)
    {
        var own = new Dictionary<int, string>();
        foreach (AddedToken token in added)
            own[token.Id] = token.IsSpecial ? "" : token.Content;
        KeyValuePair<string, int>[] sorted = [.. pieces.Where(piece => !own.ContainsKey(piece.Value)), .. own.Select(static token => KeyValuePair.Create(token.Value, token.Key))];
        Array.Sort(sorted, static (left, right) => left.Value.CompareTo(right.Value));
        _ids = [.. sorted.Select(static piece => piece.Value)];
        _starts = new int[sorted.Length + 1];
        var bytes = new ArrayBufferWriter<byte>(8 * sorted.Length + 1);
        for (int i = 0; i < sorted.Length; i++)
        {
            (string piece, int id) = sorted[i];
            if (own.ContainsKey(id))
                Encoding.UTF8.GetBytes(piece, bytes);
            else
                Write(piece, style, affix, bytes);
            _starts[i + 1] = bytes.WrittenCount;
        }

        _bytes = bytes.WrittenSpan.ToArray();
    }

    /// <summary>The texts of a SentencePiece model's pieces.</summary>
    public static TokenTexts Of(IReadOnlyList<SentencePiece> pieces, IReadOnlyCollection<AddedToken> added) => new(
        pieces.Select(static (piece, id) => KeyValuePair.Create(piece.Kind is PieceKind.Control or PieceKind.Unknown ? "" : piece.Text, id)), PieceStyle.Metaspace, "\u2581", added);

    /// <summary>The UTF-8 bytes of an id; nothing for an id without a text.</summary>
    public ReadOnlyMemory<byte> BytesOf(int id)
    {
        int index = Array.BinarySearch(_ids, id);
        return index < 0 ? default : _bytes.AsMemory(_starts[index].._starts[index + 1]);
    }

    private static void Write(string piece, PieceStyle style, string affix, ArrayBufferWriter<byte> bytes)
    {
        switch (style)
        {
            case PieceStyle.WordPiece:
                bool goesOn = piece.StartsWith(affix, StringComparison.Ordinal) && piece.Length > affix.Length;
                Encoding.UTF8.GetBytes(goesOn ? piece[affix.Length..] : " " + piece, bytes);
                break;
            case PieceStyle.ByteLevel:
                bool endsWord = affix.Length > 0 && piece.EndsWith(affix, StringComparison.Ordinal);
                foreach (char character in endsWord ? piece.AsSpan(0, piece.Length - affix.Length) : piece)
                    bytes.Write([s_bytes.GetValueOrDefault(character, (byte)'?')]);
                if (endsWord)
                    bytes.Write(" "u8);
                break;
            default:
                if (BytePieces.Value(piece) is { } value)
                    bytes.Write([value]);
                else
                    Encoding.UTF8.GetBytes(piece.Replace(affix, " ", StringComparison.Ordinal), bytes);
                break;
        }
    }
}
