using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// Sentences as they go into an encoder: cut to the longest one, with the length of each. Padding behind a sentence is hidden from
/// attention, so cutting it changes nothing.
/// </summary>
internal sealed class PaddedSentences
{
    private readonly int _paddingId;

    /// <summary>Cuts the padding.</summary>
    /// <param name="ids"><c>[n, length]</c>.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="paddingId">Which id is padding.</param>
    /// <param name="hidesInnerPadding">Whether padding in the midst of a sentence, as a literal padding token in a text makes it, is hidden too.</param>
    /// <param name="cuts">Whether what stands behind the longest sentence is cut; else there is a token for every id.</param>
    public PaddedSentences(ReadOnlySpan<int> ids, int length, int paddingId, bool hidesInnerPadding, bool cuts = true)
    {
        _paddingId = paddingId;
        Count = ids.Length / length;
        Lengths = new int[Count];
        for (int n = 0; n < Count; n++)
        {
            ReadOnlySpan<int> sentence = ids.Slice(n * length, length);
            Lengths[n] = sentence.LastIndexOfAnyExcept(paddingId) + 1;
            HidesInnerPadding |= hidesInnerPadding && sentence[..Lengths[n]].Contains(paddingId);
            if (!hidesInnerPadding)
                Lengths[n] = Math.Max(1, Lengths[n]);
        }

        Length = cuts ? Math.Max(1, Lengths.Max()) : length;
        Ids = new int[Count * Length];
        for (int n = 0; n < Count; n++)
            ids.Slice(n * length, Length).CopyTo(Ids.AsSpan(n * Length));
    }

    /// <summary>Sentences.</summary>
    public int Count { get; }

    /// <summary>Ids of the longest one.</summary>
    public int Length { get; }

    /// <summary><c>[Count, Length]</c>.</summary>
    public int[] Ids { get; }

    /// <summary>Ids of each, up to the last that is no padding.</summary>
    public int[] Lengths { get; }

    /// <summary>Whether padding in the midst of a sentence is there and hidden.</summary>
    public bool HidesInnerPadding { get; }

    /// <summary>Hides padding from queries.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="queries">Queries of each sentence.</param>
    public AttentionMask Mask(IPass pass, int queries)
    {
        var mask = new AttentionMask { KeyLengths = pass.Upload(Lengths, new Shape(Count)) };
        var shape = new Shape(Count, queries, Length);
        return HidesInnerPadding ? mask with { Additive = CountingPass.InPlaceOfUpload(pass, shape) ?? pass.Upload(InnerPadding(queries), shape) } : mask;
    }

    /// <summary>0 for every sentence: its first token.</summary>
    public Tensor First(IPass pass) => pass.Upload(new int[Count], new Shape(Count));

    /// <summary>
    /// The position of every token as RoBERTa and M2M-100 count them: those that are no padding from the padding id + 1; padding itself
    /// has the position of its id.
    /// </summary>
    public static int[] PositionsBehindPadding(ReadOnlySpan<int> ids, int length, int paddingId)
    {
        int[] positions = new int[ids.Length];
        for (int i = 0, position = paddingId; i < ids.Length; i++)
        {
            if (i % length == 0)
                position = paddingId;
            positions[i] = ids[i] == paddingId ? paddingId : ++position;
        }

        return positions;
    }

    /// <summary>What a number of keys cannot say: <c>[Count, queries, Length]</c>, minus infinity for padding.</summary>
    public float[] InnerPadding(int queries)
    {
        float[] mask = new float[checked(Count * queries * Length)];
        for (int i = 0; i < mask.Length; i++)
            mask[i] = Ids[(i / (queries * Length) * Length) + (i % Length)] == _paddingId ? float.NegativeInfinity : 0;
        return mask;
    }
}
