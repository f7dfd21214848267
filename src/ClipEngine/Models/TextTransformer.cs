using System.Buffers;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// The text transformer of CLIP (arXiv:2103.00020, section 2.4) with the options of open_clip's <c>TextTransformer</c>, CoCa's
/// class embedding among them.
/// </summary>
internal sealed class TextTransformer : ICaptionText
{
    private readonly TextConfig _config;
    private readonly Weight _tokenTable, _positions, _finalNormWeight, _finalNormBias;
    private readonly Weight? _classEmbedding, _projection, _projectionBias;
    private readonly ResidualBlocks _blocks;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader at the top of a plain CLIP, or below <c>text</c>.</param>
    public TextTransformer(TextConfig config, int embedDimension, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _tokenTable = weights.Read("token_embedding.weight", WeightRole.EmbeddingTable, config.VocabularySize, width);
        _classEmbedding = config.EmbedsClassToken ? weights.Read("cls_emb", WeightRole.Tokens, width) : null;
        _positions = weights.Read("positional_embedding", WeightRole.Tokens, config.ContextLength + (config.EmbedsClassToken ? 1 : 0), width);
        _blocks = new ResidualBlocks(weights.Scope("transformer"), config.Layers, width, config.Heads, config.HiddenWidth, config.HasLayerScale, config.Activation, config.Epsilon);
        _finalNormWeight = weights.Read("ln_final.weight", WeightRole.Vector, width);
        _finalNormBias = weights.Read("ln_final.bias", WeightRole.Vector, width);
        if (!config.HasProjection)
            return;
        if (config.HasProjectionBias)
        {
            _projection = weights.Read("text_projection.weight", WeightRole.Linear, embedDimension, width);
            _projectionBias = weights.Read("text_projection.bias", WeightRole.Vector, embedDimension);
        }
        else
        {
            _projection = weights.Read("text_projection", WeightRole.LinearTransposed, width, embedDimension);
        }
    }

    /// <inheritdoc/>
    public bool IsPooled => _config.Pooling != TextPooling.None || _config.EmbedsClassToken;

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        int batch = ids.Length / length;
        int[] rented = ArrayPool<int>.Shared.Rent(batch + ids.Length);
        try
        {
            Span<int> pooled = rented.AsSpan(0, batch);
            int needed = FindPooledTokens(ids, length, pooled);
            Span<int> kept = rented.AsSpan(batch, batch * needed);
            for (int n = 0; n < batch; n++)
                ids.Slice(n * length, needed).CopyTo(kept[(n * needed)..]);
            return Forward(pass, kept, needed, pooled);
        }
        finally
        {
            ArrayPool<int>.Shared.Return(rented);
        }
    }

    /// <inheritdoc/>
    public bool IsCausal => _config.IsCausal;

    /// <inheritdoc/>
    public List<TokenStore> CreatePast(IBackend backend, int count, int capacity) => IsCausal ? _blocks.CreatePast(backend, count, capacity, _config.Width) : [];

    /// <inheritdoc/>
    public Tensor ForwardTokens(IPass pass, ReadOnlySpan<int> ids, int length, int position, IReadOnlyList<TokenStore> past)
    {
        int batch = ids.Length / length, fresh = length - position;
        long mark = pass.EnterScope();
        Tensor x;
        if (!IsCausal)
        {
            x = pass.TokenEmbedding(pass.Upload(ids, new Shape(batch, length)), _tokenTable, _classEmbedding, _positions);      // [n, length (+ 1), width]
            x = _blocks.Forward(pass, x, _config.EmbedsClassToken ? new AttentionMask { Additive = UploadClassMask(pass, ids, batch, length) } : default);
            x = _config.EmbedsClassToken ? pass.SliceTokens(x, 0, length) : x;
        }
        else
        {
            // No token sees the class embedding, which stands behind all of them.
            int[] next = new int[batch * fresh];
            for (int n = 0; n < batch; n++)
                ids.Slice((n * length) + position, fresh).CopyTo(next.AsSpan(n * fresh));
            x = pass.TokenEmbedding(pass.Upload(next, new Shape(batch, fresh)), _tokenTable, appendedToken: null, _positions, position);    // [n, fresh, width]
            var mask = new AttentionMask { Causal = true, Offset = position };
            if (_config.EmbedsClassToken && ids.Contains(_config.PadId))
                mask = mask with { Additive = UploadPaddingMask(pass, ids, length, fresh, (int)past[0].Shape[1]) };
            long inner = pass.EnterScope();
            for (int layer = 0; layer < _blocks.Count; layer++)
                x = pass.ReleaseAllBut(inner, _blocks.ForwardNext(pass, layer, x, past, mask));
            x = pass.LeaveScope(inner, x);
        }

        // With a class embedding the norm belongs to it alone.
        return pass.LeaveScope(mark, _config.EmbedsClassToken ? x : pass.LayerNorm(x, _finalNormWeight, _finalNormBias, _config.Epsilon));
    }

    private Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length, ReadOnlySpan<int> pooled)
    {
        int batch = pooled.Length;
        long mark = pass.EnterScope();
        Tensor tokens = pass.Upload(ids, new Shape(batch, length));                             // [n, length]
        Tensor x = pass.TokenEmbedding(tokens, _tokenTable, _classEmbedding, _positions);       // [n, length (+ 1), width]
        AttentionMask mask = new() { Causal = _config.IsCausal };
        if (_config.EmbedsClassToken)
            mask = mask with { Additive = UploadClassMask(pass, ids, batch, length) };
        x = _blocks.Forward(pass, x, mask, IsPooled ? pass.Upload(pooled, new Shape(batch)) : default); // [n, width], or [n, length, width]
        x = pass.LayerNorm(x, _finalNormWeight, _finalNormBias, _config.Epsilon);               // a norm of single tokens: before or after pooling is the same
        x = pass.LeaveScope(mark, x);
        return _projection is null ? x : pass.Linear(x, _projection, _projectionBias);          // [n, embed_dim]
    }

    /// <summary>Which position is each sentence's feature, and how many positions have to be computed: a causal transformer's do not depend on what follows them.</summary>
    private int FindPooledTokens(ReadOnlySpan<int> ids, int length, Span<int> pooled)
    {
        int furthest = 0;
        for (int n = 0; n < pooled.Length; n++)
        {
            ReadOnlySpan<int> sentence = ids.Slice(n * length, length);
            pooled[n] = _config switch
            {
                { EmbedsClassToken: true } => length, // the class embedding, behind the last id
                { Pooling: TextPooling.First } => 0,
                { Pooling: TextPooling.LargestId } => IndexOfLargest(sentence),
                { Pooling: TextPooling.EndOfText } => Math.Max(sentence.IndexOf(_config.EndOfTextId), 0),
                _ => length - 1,
            };
            furthest = Math.Max(furthest, pooled[n]);
        }

        bool needsAll = !_config.IsCausal || _config.EmbedsClassToken || _config.Pooling == TextPooling.None;
        return needsAll ? length : furthest + 1;
    }

    private static int IndexOfLargest(ReadOnlySpan<int> ids)
    {
        int best = 0;
        for (int i = 1; i < ids.Length; i++)
        {
            if (ids[i] > ids[best])
                best = i;
        }

        return best;
    }

    /// <summary>
    /// The mask of padding of open_clip 3 (<c>_build_additive_mask</c>), which hides columns from every row and is moved by one to the
    /// right as the original has it: column 0 is always seen, column j + 1 where id j is not padding. open_clip 2 hid them from the class
    /// token's row only, and had no such mask without a causal one.
    /// </summary>
    /// <returns><c>[n, length + 1, length + 1]</c>.</returns>
    private Tensor UploadClassMask(IPass pass, ReadOnlySpan<int> ids, int batch, int length)
    {
        int side = length + 1;
        var shape = new Shape(batch, side, side);
        if (CountingPass.InPlaceOfUpload(pass, shape) is { } counted)
            return counted;
        if ((long)batch * side * side > Array.MaxLength)
            throw new NotSupportedException($"A mask for {batch} sentences of {length} ids is larger than an array can be: encode fewer sentences at once.");
        float[] rented = ArrayPool<float>.Shared.Rent(batch * side * side);
        Span<float> mask = rented.AsSpan(0, batch * side * side);
        for (int n = 0; n < batch; n++)
        {
            Span<float> sentence = mask.Slice(n * side * side, side * side);
            sentence[0] = 0;
            for (int j = 0; j < length; j++)
                sentence[j + 1] = ids[(n * length) + j] == _config.PadId ? float.NegativeInfinity : 0;
            for (int row = 1; row < side; row++)
                sentence[..side].CopyTo(sentence[(row * side)..]);
        }

        Tensor uploaded = pass.Upload(mask, shape);
        ArrayPool<float>.Shared.Return(rented);
        return uploaded;
    }

    /// <summary>The same mask over the keys of a store.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="ids"><c>[n, length]</c>: all that are stored.</param>
    /// <param name="length">Ids of one sentence.</param>
    /// <param name="queries">New ids of each sentence.</param>
    /// <param name="capacity">Keys of each sentence that there is room for.</param>
    /// <returns><c>[n, queries, capacity]</c>.</returns>
    private Tensor UploadPaddingMask(IPass pass, ReadOnlySpan<int> ids, int length, int queries, int capacity)
    {
        int batch = ids.Length / length;
        float[] mask = new float[batch * queries * capacity];
        for (int row = 0; row < batch * queries; row++)
        {
            ReadOnlySpan<int> sentence = ids.Slice(row / queries * length, length);
            for (int j = 1; j < length; j++)
                mask[(row * capacity) + j] = sentence[j - 1] == _config.PadId ? float.NegativeInfinity : 0;
        }

        return pass.Upload(mask, new Shape(batch, queries, capacity));
    }
}
