using System.Buffers.Binary;

namespace ClipEngine.Tokenization;

/// <summary>
/// CLIP's byte-pair encoding, equal to open_clip's <c>SimpleTokenizer</c>: 49,408 ids over lower-cased, cleaned text. Immutable and thread-safe.
/// </summary>
/// <remarks>
/// <para>Cleaning: the default repairs of ftfy but for most of its encoding repair (a text that was read in a wrong encoding, "â€œ", is
/// taken as it stands, where open_clip would guess the encoding; only plain pairs as "Ã¨" are read as what they were), HTML references twice over, white space collapsed, lower case.</para>
/// <para>A sentence is start, words, end, then zeros. One that does not fit is cut, its last id being the end, and
/// <see cref="EncodedLength.IsTruncated"/> says so.</para>
/// <para>The literal words <c>&lt;start_of_text&gt;</c> and <c>&lt;end_of_text&gt;</c> in a text become the start and end ids, as in open_clip.
/// <c>&lt;|startoftext|&gt;</c> and <c>&lt;|endoftext|&gt;</c> are ordinary text.</para>
/// <para>Time and memory are proportional to the text's length.</para>
/// <para>The merges are OpenAI's (MIT), see NOTICE.md; <c>tools/make-tokenizer-data.py</c> makes the embedded file.</para>
/// </remarks>
public sealed class ClipTokenizer : ITokenizer
{
    /// <summary>The context length of nearly all CLIP models.</summary>
    public const int DefaultContextLength = 77;

    /// <summary>The id that starts every sentence.</summary>
    public const int StartOfText = 49406;

    /// <summary>The id that ends every sentence; the largest of all, by which text towers find the end.</summary>
    public const int EndOfText = 49407;

    private const int MergeCount = 48894;

    private static readonly Lazy<BytePairEncoder> s_encoder = new(LoadEncoder);
    private static readonly string[] s_specialWords = ["<start_of_text>", "<end_of_text>"];

    private readonly TextClean _clean;

    /// <summary>Creates a tokenizer; all of them share one table of merges.</summary>
    /// <param name="contextLength">Ids of a sentence at most, start and end included; at least 2.</param>
    /// <param name="clean">open_clip's <c>clean</c>; its default is lower case. <see cref="TextClean.None"/> is no choice of its.</param>
    /// <exception cref="ArgumentOutOfRangeException">Less than 2, or no cleaning.</exception>
    public ClipTokenizer(int contextLength = DefaultContextLength, TextClean clean = TextClean.Lower)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(clean, TextClean.None);
        ArgumentOutOfRangeException.ThrowIfLessThan(contextLength, 2);
        ContextLength = contextLength;
        _clean = clean;
    }

    /// <summary>The merges and the bytes' ids, which all tokenizers with CLIP's own vocabulary share.</summary>
    internal static BytePairEncoder Encoder => s_encoder.Value;

    /// <inheritdoc/>
    public int ContextLength { get; }

    /// <inheritdoc/>
    public int VocabularySize => EndOfText + 1;

    /// <inheritdoc/>
    /// <exception cref="ArgumentException"><paramref name="ids"/> has not exactly <see cref="ContextLength"/> places.</exception>
    public EncodedLength Encode(string text, Span<int> ids)
    {
        ArgumentNullException.ThrowIfNull(text);
        var sentence = new SentenceWriter(ids, ContextLength, StartOfText);
        BytePairEncoder encoder = s_encoder.Value;
        var words = new WordSplitter(TextCleaning.Clean(text, _clean), s_specialWords, ignoreCase: true);
        while (words.MoveNext())
        {
            if (words.Current is "<start_of_text>")
                sentence.Add(StartOfText);
            else if (words.Current is "<end_of_text>")
                sentence.Add(EndOfText);
            else
                sentence.Advance(encoder.Encode(words.Current, sentence.Free));
        }

        return sentence.Finish(EndOfText, padding: 0);
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> BytesOf(int id) => ClipVocabulary.BytesOf(id);

    private static BytePairEncoder LoadEncoder()
    {
        byte[] packed = EmbeddedTable.Inflate("clip-merges.bin");
        int[] byteIds = new int[256], lastByteIds = new int[256];
        int id = 0;
        foreach (int value in BytePairEncoder.BytesInVocabularyOrder())
        {
            byteIds[value] = id;
            lastByteIds[value] = 256 + id;
            id++;
        }

        var merges = new Dictionary<ulong, PairMerges.Merge>(MergeCount);
        for (int rank = 0; rank < MergeCount; rank++)
        {
            ReadOnlySpan<byte> entry = packed.AsSpan(4 * rank, 4);
            ulong pair = PairMerges.PairKey(BinaryPrimitives.ReadUInt16LittleEndian(entry), BinaryPrimitives.ReadUInt16LittleEndian(entry[2..]));
            merges.Add(pair, new PairMerges.Merge(rank, 512 + rank));
        }

        return new BytePairEncoder(byteIds, lastByteIds, new PairMerges(merges));
    }
}
