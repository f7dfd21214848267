namespace ClipEngine.Tensors;

/// <summary>
/// A forward pass: the scope that results live in, and the operations models are written in.
/// Operations enqueue and return at once; only <see cref="Read"/> waits. No operation works in place, and equal sequences of
/// shapes get equal addresses from pass to pass.
/// </summary>
/// <remarks>
/// <para>Not thread-safe: one pass, one thread. All tensors are row-major and contiguous; <c>n</c> is the batch, <c>t</c> tokens,
/// <c>w</c> width. Wrong shapes are bugs of the caller and throw <see cref="ArgumentException"/>.</para>
/// <para>Accumulation is at least in fp32 on every backend, and layer norm, softmax and L2 normalisation are computed in fp32
/// whatever <see cref="IBackend.ComputeType"/> is.</para>
/// </remarks>
public interface IPass : IDisposable
{
    /// <summary>Brings values in. The span is copied before the call returns.</summary>
    Tensor Upload(ReadOnlySpan<float> values, in Shape shape);

    /// <summary>Brings token ids or indices in. The span is copied before the call returns.</summary>
    Tensor Upload(ReadOnlySpan<int> values, in Shape shape);

    /// <summary>Waits for everything enqueued and copies a tensor out as fp32.</summary>
    /// <param name="tensor">Any floating-point tensor of this pass.</param>
    /// <param name="destination">Exactly as many elements as the tensor has.</param>
    void Read(in Tensor tensor, Span<float> destination);

    /// <summary>Opens an inner scope: everything made until <see cref="LeaveScope"/> is scratch.</summary>
    /// <returns>A mark that <see cref="LeaveScope"/> takes.</returns>
    long EnterScope();

    /// <summary>Closes the scope, keeps one tensor of it for the outer scope and releases the rest.</summary>
    /// <returns>The kept tensor, possibly at another address; the one passed in is no longer valid.</returns>
    Tensor LeaveScope(long mark, in Tensor kept);

    /// <summary>Keeps one tensor of the innermost scope and releases the rest; the scope stays open. What a loop over layers ends each round with.</summary>
    /// <param name="mark">Of the innermost open scope.</param>
    /// <param name="kept">A tensor made since then.</param>
    /// <returns>The kept tensor, possibly at another address; the one passed in is no longer valid.</returns>
    Tensor ReleaseAllBut(long mark, in Tensor kept);

    /// <summary>Copies tokens into a store, where they outlive the pass.</summary>
    /// <param name="store">Of this backend.</param>
    /// <param name="tokens"><c>[n, t, w]</c> for a store of <c>[n, capacity, w]</c>.</param>
    /// <param name="position">Where the first token goes.</param>
    void Store(TokenStore store, in TokenView tokens, int position = 0);

    /// <summary>All of a store as a tensor; nothing is copied, so that what is stored later may show in it.</summary>
    /// <returns><c>[n, capacity, w]</c>.</returns>
    Tensor Load(TokenStore store);

    /// <summary>Sequence i of the store becomes what sequence <c>sources[i]</c> was: beams that go on from others.</summary>
    void Reorder(TokenStore store, ReadOnlySpan<int> sources);

    /// <summary>y = activation(x W^T + b), then <c>* scale</c>, <c>* multiplier</c> and <c>+ residual</c>, each where given.</summary>
    /// <param name="input"><c>[..., in]</c>.</param>
    /// <param name="weight"><see cref="WeightRole.Linear"/> <c>[out, in]</c> or <see cref="WeightRole.LinearTransposed"/> <c>[in, out]</c>.</param>
    /// <param name="bias"><c>[out]</c> or null.</param>
    /// <param name="epilogue">What is fused behind the product.</param>
    /// <returns><c>[..., out]</c>.</returns>
    Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default);

    /// <summary>y = (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension; the variance is the biased one.</summary>
    /// <param name="input"><c>[..., w]</c>.</param>
    /// <param name="weight"><c>[w]</c>.</param>
    /// <param name="bias"><c>[w]</c>.</param>
    /// <param name="epsilon">1e-5 in CLIP, 1e-6 in SigLIP.</param>
    Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon);

    /// <summary>y = x / sqrt(mean(x^2) + epsilon) * weight over the last dimension (arXiv:1910.07467).</summary>
    /// <param name="input"><c>[..., w]</c>.</param>
    /// <param name="weight"><c>[w]</c>.</param>
    /// <param name="epsilon">1e-6 in T5.</param>
    Tensor RmsNorm(in Tensor input, Weight weight, float epsilon);

    /// <summary>softmax(q k^T / sqrt(width / heads) + mask) v per head: self-attention, cross-attention and a learned query's are one operation over different views.</summary>
    /// <param name="query"><c>[n, q, width]</c>, heads side by side.</param>
    /// <param name="key"><c>[n, k, width]</c>; with a batch of 1, one sequence of keys serves every sequence of queries.</param>
    /// <param name="value">The shape of <paramref name="key"/>.</param>
    /// <param name="heads">Divides <c>width</c>.</param>
    /// <param name="mask">Which keys a query sees. A query that sees none gives zeros.</param>
    /// <returns><c>[n, q, width]</c>.</returns>
    Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default);

    /// <summary><see cref="Attention"/> from one fused projection.</summary>
    /// <param name="queryKeyValue"><c>[n, t, 3 w]</c>: queries, then keys, then values, each <c>w</c> wide with heads side by side.</param>
    /// <param name="heads">Divides <c>w</c>.</param>
    /// <param name="mask">Which keys a query sees.</param>
    /// <returns><c>[n, t, w]</c>.</returns>
    Tensor SelfAttention(in Tensor queryKeyValue, int heads, in AttentionMask mask = default)
    {
        if (queryKeyValue.Shape.Rank != 3 || queryKeyValue.Shape[2] % 3 != 0)
            throw new ArgumentException($"Expected [n, t, 3 w]; found {queryKeyValue.Shape}.", nameof(queryKeyValue));
        long width = queryKeyValue.Shape[2] / 3;
        return Attention(new TokenView(queryKeyValue, 0, width), new TokenView(queryKeyValue, width, width), new TokenView(queryKeyValue, 2 * width, width), heads, mask);
    }

    /// <summary>
    /// Turns pairs (a, b) of each head's channels by their token's angles: (a cos - b sin, b cos + a sin). Rotary positions
    /// (arXiv:2104.09864); a grid's rows and columns are two halves of a head's pairs with angles of their own.
    /// </summary>
    /// <param name="input"><c>[n, t, width]</c>, heads side by side.</param>
    /// <param name="cosines"><see cref="WeightRole.Tokens"/>, at least <c>[firstPosition + t, width / heads / 2]</c>; a token that is not turned has cosines 1 and sines 0.</param>
    /// <param name="sines">The shape of <paramref name="cosines"/>.</param>
    /// <param name="heads">Divides <c>width</c> into heads of an even width.</param>
    /// <param name="pairing">Which channels are pairs.</param>
    /// <param name="firstPosition">The row of the first token's angles.</param>
    /// <returns><c>[n, t, width]</c>.</returns>
    Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0);

    /// <summary>Cuts an image into patches and projects each: a convolution whose stride is its kernel. Rows and columns beyond the last whole patch are dropped.</summary>
    /// <param name="pixels"><c>[n, channels, height, width]</c>.</param>
    /// <param name="kernel"><see cref="WeightRole.PatchEmbedding"/> <c>[w, channels, patch, patch]</c>.</param>
    /// <param name="bias"><c>[w]</c> or null.</param>
    /// <returns><c>[n, (height / patch) * (width / patch), w]</c>, patches in reading order.</returns>
    Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias);

    /// <summary>Puts a token before the others and adds the positions.</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <param name="firstToken"><c>[w]</c>, or null for none.</param>
    /// <param name="positions"><c>[t (+ 1), w]</c>, or null for none.</param>
    /// <returns><c>[n, t (+ 1), w]</c>.</returns>
    Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions);

    /// <summary>Looks token ids up and adds the positions; a learned token may follow the last one.</summary>
    /// <param name="ids"><c>[n, t]</c> int32.</param>
    /// <param name="table"><see cref="WeightRole.EmbeddingTable"/> <c>[vocabulary, w]</c>.</param>
    /// <param name="appendedToken"><c>[w]</c>, put behind the last token, or null (CoCa's class embedding).</param>
    /// <param name="positions">At least <c>[firstPosition + t (+ 1), w]</c>; rows beyond are ignored. Null for none.</param>
    /// <param name="firstPosition">The position of the first id, where a sentence goes on.</param>
    /// <returns><c>[n, t (+ 1), w]</c>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An id lies outside the table.</exception>
    Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0);

    /// <summary>One token of each sequence.</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <param name="indices"><c>[n]</c> int32, each in <c>[0, t)</c>.</param>
    /// <returns><c>[n, w]</c>.</returns>
    Tensor SelectTokens(in Tensor tokens, in Tensor indices);

    /// <summary>A run of tokens of each sequence.</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <param name="start">The first token.</param>
    /// <param name="count">How many.</param>
    /// <returns><c>[n, count, w]</c>.</returns>
    Tensor SliceTokens(in Tensor tokens, int start, int count);

    /// <summary>The mean over a sequence's tokens.</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <returns><c>[n, 1, w]</c>.</returns>
    Tensor MeanTokens(in Tensor tokens);

    /// <summary>Two runs of tokens, one behind the other.</summary>
    /// <param name="first"><c>[n, a, w]</c>.</param>
    /// <param name="second"><c>[n, b, w]</c>.</param>
    /// <returns><c>[n, a + b, w]</c>.</returns>
    Tensor ConcatenateTokens(in Tensor first, in Tensor second);

    /// <summary>The same learned tokens for each member of a batch (an attentional pooler's queries).</summary>
    /// <param name="tokens"><c>[t, w]</c>.</param>
    /// <param name="batch">n.</param>
    /// <returns><c>[n, t, w]</c>.</returns>
    Tensor BroadcastTokens(Weight tokens, int batch);

    /// <summary>Convolution with zero padding; then activation, then <c>+ residual</c> in the order that <see cref="ConvolutionOptions"/> states.</summary>
    /// <param name="input"><c>[n, channels, height, width]</c>.</param>
    /// <param name="kernel"><see cref="WeightRole.Convolution"/> <c>[out, channels / groups, kh, kw]</c>.</param>
    /// <param name="bias"><c>[out]</c> or null; batch norm is folded into kernel and bias at load.</param>
    /// <param name="options">Stride, padding, groups and epilogue.</param>
    /// <returns><c>[n, out, (height + 2 padding - kh) / stride + 1, ...]</c>.</returns>
    Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options);

    /// <summary><see cref="Convolution"/> of a feature map that is kept as tokens, its channels side by side: what blocks with linear layers over the channels need.</summary>
    /// <param name="tokens"><c>[n, height * width, channels]</c>.</param>
    /// <param name="height">Rows of the map.</param>
    /// <param name="width">Columns of the map.</param>
    /// <param name="kernel"><see cref="WeightRole.Convolution"/> <c>[out, channels / groups, kh, kw]</c>.</param>
    /// <param name="bias"><c>[out]</c> or null.</param>
    /// <param name="options">Stride, padding, groups and epilogue; the residual has the shape of the result.</param>
    /// <returns><c>[n, oh * ow, out]</c> with <c>oh = (height + 2 padding - kh) / stride + 1</c>.</returns>
    Tensor ConvolveTokens(in Tensor tokens, int height, int width, Weight kernel, Weight? bias, in ConvolutionOptions options) =>
        ComposedOperations.ConvolveTokens(this, tokens, height, width, kernel, bias, options);

    /// <summary>
    /// Blocks one behind the other over a feature map that is kept as tokens: x = mixer(x), where a block has one, then
    /// x + scale * contract(activation(expand(norm(convolution(x))))). Backends may replace it with a fused one.
    /// </summary>
    /// <param name="tokens"><c>[n, height * width, w]</c>.</param>
    /// <param name="height">Rows of the map.</param>
    /// <param name="width">Columns of the map.</param>
    /// <param name="blocks">At least one.</param>
    /// <returns><c>[n, height * width, w]</c>.</returns>
    Tensor ConvolutionStack(in Tensor tokens, int height, int width, ReadOnlySpan<ConvolutionBlock> blocks) =>
        ComposedOperations.ConvolutionStack(this, tokens, height, width, blocks);

    /// <summary>Mean over squares; rows and columns beyond the last whole square are dropped. What lies outside the image is not counted.</summary>
    /// <param name="input"><c>[n, channels, height, width]</c>.</param>
    /// <param name="size">Side of the square, in pixels.</param>
    /// <param name="stride">From one square to the next, in pixels.</param>
    /// <param name="padding">How far the first square stands outside the image, in pixels; less than <paramref name="size"/>.</param>
    /// <returns><c>[n, channels, (height + 2 padding - size) / stride + 1, ...]</c>.</returns>
    Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0);

    /// <summary>Turns a feature map into tokens: <c>[n, channels, height, width]</c> to <c>[n, height * width, channels]</c>.</summary>
    Tensor MapToTokens(in Tensor map);

    /// <summary>Turns tokens into a feature map: <c>[n, height * width, channels]</c> to <c>[n, channels, height, width]</c>.</summary>
    /// <param name="tokens">In reading order.</param>
    /// <param name="height">Rows of the map.</param>
    /// <param name="width">Columns of the map.</param>
    Tensor TokensToMap(in Tensor tokens, int height, int width);

    /// <summary>Layer norm over the channels of every pixel of a map.</summary>
    /// <param name="map"><c>[n, channels, height, width]</c>.</param>
    /// <param name="weight"><c>[channels]</c>.</param>
    /// <param name="bias"><c>[channels]</c>.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <returns>The shape of <paramref name="map"/>.</returns>
    Tensor LayerNormChannels(in Tensor map, Weight weight, Weight bias, float epsilon)
    {
        long mark = EnterScope();
        Tensor normed = LayerNorm(MapToTokens(map), weight, bias, epsilon);
        return LeaveScope(mark, TokensToMap(normed, (int)map.Shape[2], (int)map.Shape[3]));
    }

    /// <summary>y = activation(x), element by element.</summary>
    Tensor Activate(in Tensor input, Activation activation);

    /// <summary>y = a + b, element by element; equal shapes.</summary>
    Tensor Add(in Tensor left, in Tensor right);

    /// <summary>y = a * b, element by element; equal shapes.</summary>
    Tensor Multiply(in Tensor left, in Tensor right);

    /// <summary>y = activation(x * sigmoid(gate)), each channel of all tokens by its sequence's gate: what follows the squeeze of a squeeze-and-excitation (arXiv:1709.01507).</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <param name="gates"><c>[n, 1, w]</c>.</param>
    /// <param name="activation">Behind the product.</param>
    /// <returns><c>[n, t, w]</c>.</returns>
    Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None);

    /// <summary>y = x / max(||x||, 1e-12) over the last dimension, as <c>torch.nn.functional.normalize</c>.</summary>
    Tensor L2Normalize(in Tensor input);

    /// <summary>
    /// A transformer block. Norms before: x + ls1(attention(ln1(x))), then x + ls2(mlp(ln2(x))). Norms behind, as in BERT:
    /// ln1(x + attention(x)), then ln2(x + mlp(x)). Backends may replace it with a fused one.
    /// </summary>
    /// <param name="input"><c>[n, t, w]</c>.</param>
    /// <param name="block">The weights.</param>
    /// <param name="mask">Which keys a query sees.</param>
    /// <returns><c>[n, t, w]</c>.</returns>
    Tensor TransformerBlock(in Tensor input, TransformerBlock block, in AttentionMask mask = default) => ComposedOperations.TransformerBlock(this, input, block, mask);

    /// <summary>
    /// One token of each sequence behind a <see cref="TransformerBlock"/>, for a last block of which nothing else is used: the
    /// output projection and the MLP, three quarters of a block's work, run on that token alone. The same values as
    /// <see cref="SelectTokens"/> of the whole block's result; on the CPU the same bits.
    /// </summary>
    /// <param name="input"><c>[n, t, w]</c>.</param>
    /// <param name="indices"><c>[n]</c> int32, each in <c>[0, t)</c>.</param>
    /// <param name="block">The weights.</param>
    /// <param name="mask">Which keys a query sees.</param>
    /// <returns><c>[n, w]</c>.</returns>
    Tensor TransformerBlockToken(in Tensor input, in Tensor indices, TransformerBlock block, in AttentionMask mask = default) =>
        ComposedOperations.TransformerBlockToken(this, input, indices, block, mask);

    /// <summary>Blocks one behind the other, in the memory of two of their results.</summary>
    /// <param name="input"><c>[n, t, w]</c>.</param>
    /// <param name="blocks">At least one.</param>
    /// <param name="mask">Which keys a query sees, in every block.</param>
    /// <param name="select">Which token of each sequence is used: <c>[n]</c> int32, each in <c>[0, t)</c>. <c>default</c> for all.</param>
    /// <returns><c>[n, t, w]</c>, or <c>[n, w]</c> where tokens are selected.</returns>
    Tensor TransformerStack(in Tensor input, ReadOnlySpan<TransformerBlock> blocks, in AttentionMask mask = default, in Tensor select = default) =>
        ComposedOperations.TransformerStack(this, input, blocks, mask, select);
}
