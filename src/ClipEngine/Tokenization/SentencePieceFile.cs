using System.Buffers.Binary;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>What a piece of a SentencePiece model is; the numbers are the file's.</summary>
internal enum PieceKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>A piece of a SentencePiece model; its place in the list is its id.</summary>
internal readonly record struct SentencePiece(string Text, float Score, PieceKind Kind);

/// <summary>A SentencePiece model file (<c>spiece.model</c>, <c>tokenizer.model</c>): a protobuf message, of which the parts that change ids are read.</summary>
internal sealed class SentencePieceFile
{
    private const int LargestLength = 256 << 20;
    private const int MostPieces = 1 << 24;

    private readonly string _path;

    private SentencePieceFile(string path) => _path = path;

    public List<SentencePiece> Pieces { get; } = [];

    /// <summary><c>trainer_spec.model_type</c> is BPE rather than unigram.</summary>
    public bool IsPairEncoding { get; private set; }

    public bool FallsBackToBytes { get; private set; }

    public bool PutsMarkBehind { get; private set; }

    public bool AddsMark { get; private set; } = true;

    public bool RemovesExtraSpaces { get; private set; } = true;

    public bool EscapesSpaces { get; private set; } = true;

    /// <summary>The table of replacements; null where there is none.</summary>
    public CharacterMap? Map { get; private set; }

    /// <summary>The id of the unknown piece.</summary>
    public int UnknownId { get; private set; } = -1;

    /// <summary>Reads a model.</summary>
    /// <exception cref="BadInputException">The file is damaged or is no such model; the message names what.</exception>
    public static SentencePieceFile Read(string path)
    {
        byte[] content = TokenizerFiles.ReadBytes(path, LargestLength);
        var file = new SentencePieceFile(path);
        try
        {
            file.ReadModel(content);
        }
        catch (FormatException exception)
        {
            throw file.Refuse(exception.Message);
        }

        return file;
    }

    private void ReadModel(ReadOnlySpan<byte> content)
    {
        var message = new Message(content);
        while (message.TryRead(out int field, out ReadOnlySpan<byte> bytes, out _))
        {
            switch (field)
            {
                case 1:
                    ReadPiece(bytes);
                    break;
                case 2:
                    ReadTrainer(bytes);
                    break;
                case 3:
                    ReadNormalizer(bytes);
                    break;
            }
        }

        if (Pieces.Count == 0)
            throw Refuse("it holds no pieces; it is no SentencePiece model.");
        if (UnknownId < 0)
            throw Refuse("it has no unknown piece.");
        if (IsPairEncoding && Pieces.Exists(static piece => piece.Kind == PieceKind.Unused))
            throw Refuse("it is a byte-pair encoding with unused pieces, which is not supported.");
        var seen = new HashSet<string>(Pieces.Count, StringComparer.Ordinal);
        foreach (SentencePiece piece in Pieces)
        {
            if (!seen.Add(piece.Text))
                throw Refuse($"the piece '{BadInputException.Escape(piece.Text, 80)}' stands in it twice.");
        }
    }

    private void ReadPiece(ReadOnlySpan<byte> content)
    {
        string? text = null;
        float score = 0;
        ulong kind = (ulong)PieceKind.Normal;
        var message = new Message(content);
        while (message.TryRead(out int field, out ReadOnlySpan<byte> bytes, out ulong number))
        {
            switch (field)
            {
                case 1:
                    text = Text(bytes);
                    break;
                case 2:
                    score = BitConverter.UInt32BitsToSingle((uint)number);
                    break;
                case 3:
                    kind = number;
                    break;
            }
        }

        if (string.IsNullOrEmpty(text))
            throw Refuse($"piece {Pieces.Count} is empty.");
        if (!float.IsFinite(score))
            throw Refuse($"the score of piece {Pieces.Count}, '{BadInputException.Escape(text, 80)}', is {score}.");
        if (kind is < 1 or > 6)
            throw Refuse($"piece {Pieces.Count}, '{BadInputException.Escape(text, 80)}', is of kind {kind}; 1 to 6 are known.");
        if (Pieces.Count == MostPieces)
            throw Refuse($"it has more than {MostPieces} pieces.");
        if (kind == (ulong)PieceKind.Unknown)
            UnknownId = UnknownId < 0 ? Pieces.Count : throw Refuse("it has two unknown pieces.");
        Pieces.Add(new SentencePiece(text, score, (PieceKind)kind));
    }

    private void ReadTrainer(ReadOnlySpan<byte> content)
    {
        var message = new Message(content);
        while (message.TryRead(out int field, out _, out ulong number))
        {
            switch (field)
            {
                case 3 when number is 1 or 2:
                    IsPairEncoding = number == 2;
                    break;
                case 3:
                    throw Refuse($"its model type is {number}; only 1 (unigram) and 2 (BPE) are supported.");
                case 24:
                    PutsMarkBehind = number != 0;
                    break;
                case 35:
                    FallsBackToBytes = number != 0;
                    break;
            }
        }
    }

    private void ReadNormalizer(ReadOnlySpan<byte> content)
    {
        var message = new Message(content);
        while (message.TryRead(out int field, out ReadOnlySpan<byte> bytes, out ulong number))
        {
            switch (field)
            {
                case 2:
                    Map = bytes.Length == 0 ? null : CharacterMap.Read(bytes);
                    break;
                case 3:
                    AddsMark = number != 0;
                    break;
                case 4:
                    RemovesExtraSpaces = number != 0;
                    break;
                case 5:
                    EscapesSpaces = number != 0;
                    break;
            }
        }
    }

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return TokenizerFiles.StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException exception)
        {
            throw new FormatException("a piece is not UTF-8.", exception);
        }
    }

    private BadInputException Refuse(string problem) => new(_path, problem, "Get the file again, or name another model.");

    /// <summary>The fields of a protobuf message, one after the other.</summary>
    private ref struct Message(ReadOnlySpan<byte> content)
    {
        private ReadOnlySpan<byte> _rest = content;

        /// <summary>Reads a field: <paramref name="bytes"/> of one with a length, else <paramref name="number"/>.</summary>
        public bool TryRead(out int field, out ReadOnlySpan<byte> bytes, out ulong number)
        {
            bytes = default;
            number = 0;
            field = 0;
            if (_rest.Length == 0)
                return false;
            ulong key = Variable();
            field = key >> 3 is > 0 and < 1 << 29 ? (int)(key >> 3) : throw Damaged();
            switch (key & 7)
            {
                case 0:
                    number = Variable();
                    break;
                case 1:
                    number = BinaryPrimitives.ReadUInt64LittleEndian(Take(8));
                    break;
                case 2:
                    ulong length = Variable();
                    bytes = Take(length <= int.MaxValue ? (int)length : throw Damaged());
                    break;
                case 5:
                    number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
                    break;
                default:
                    throw Damaged();
            }

            return true;
        }

        private ReadOnlySpan<byte> Take(int length)
        {
            if (length > _rest.Length)
                throw Damaged();
            ReadOnlySpan<byte> taken = _rest[..length];
            _rest = _rest[length..];
            return taken;
        }

        private ulong Variable()
        {
            ulong value = 0;
            for (int i = 0; i < 10; i++)
            {
                byte part = Take(1)[0];
                value |= (ulong)(part & 0x7F) << (7 * i);
                if (part < 0x80)
                    return value;
            }

            throw Damaged();
        }

        private static FormatException Damaged() => new("it is no SentencePiece model, or it is damaged: a field does not fit where it stands.");
    }
}
