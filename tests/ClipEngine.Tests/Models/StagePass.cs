using ClipEngine.Tensors;

namespace ClipEngine.Tests.Models;

/// <summary>
/// A pass that keeps what goes into every stack of transformer blocks and what each block makes of it: the stages of a tower, in their
/// order, to be compared with a golden's. Everything else goes to the pass inside.
/// </summary>
/// <param name="inner">Runs the operations; disposed with this.</param>
internal sealed class StagePass(IPass inner) : IPass
{
    /// <summary>Of each stack, in the order of calls: what enters block 0, then what every block makes.</summary>
    public List<List<(Shape Shape, float[] Values)>> Stacks { get; } = [];

    public Tensor TransformerStack(in Tensor input, ReadOnlySpan<TransformerBlock> blocks, in AttentionMask mask = default, in Tensor select = default)
    {
        var stages = new List<(Shape, float[])>();
        Stacks.Add(stages);
        stages.Add(Keep(input));
        Tensor x = input;
        foreach (TransformerBlock block in blocks)
        {
            x = inner.TransformerBlock(x, block, mask);
            stages.Add(Keep(x));
        }

        return select.Exists ? inner.SelectTokens(x, select) : x;
    }

    public void Dispose() => inner.Dispose();

    private (Shape, float[]) Keep(in Tensor tensor)
    {
        float[] values = new float[tensor.Shape.ElementCount];
        inner.Read(tensor, values);
        return (tensor.Shape, values);
    }

    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape) => inner.Upload(values, shape);

    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape) => inner.Upload(values, shape);

    public void Read(in Tensor tensor, Span<float> destination) => inner.Read(tensor, destination);

    public long EnterScope() => inner.EnterScope();

    public Tensor LeaveScope(long mark, in Tensor kept) => inner.LeaveScope(mark, kept);

    public Tensor ReleaseAllBut(long mark, in Tensor kept) => inner.ReleaseAllBut(mark, kept);

    public void Store(TokenStore store, in TokenView tokens, int position = 0) => inner.Store(store, tokens, position);

    public Tensor Load(TokenStore store) => inner.Load(store);

    public void Reorder(TokenStore store, ReadOnlySpan<int> sources) => inner.Reorder(store, sources);

    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default) => inner.Linear(input, weight, bias, epilogue);

    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon) => inner.LayerNorm(input, weight, bias, epsilon);

    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon) => inner.RmsNorm(input, weight, epsilon);

    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default) => inner.Attention(query, key, value, heads, mask);

    public Tensor SelfAttention(in Tensor queryKeyValue, int heads, in AttentionMask mask = default) => inner.SelfAttention(queryKeyValue, heads, mask);

    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0) => inner.Rotary(input, cosines, sines, heads, pairing, firstPosition);

    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias) => inner.PatchEmbedding(pixels, kernel, bias);

    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions) => inner.AssembleTokens(tokens, firstToken, positions);

    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0) => inner.TokenEmbedding(ids, table, appendedToken, positions, firstPosition);

    public Tensor SelectTokens(in Tensor tokens, in Tensor indices) => inner.SelectTokens(tokens, indices);

    public Tensor SliceTokens(in Tensor tokens, int start, int count) => inner.SliceTokens(tokens, start, count);

    public Tensor MeanTokens(in Tensor tokens) => inner.MeanTokens(tokens);

    public Tensor ConcatenateTokens(in Tensor first, in Tensor second) => inner.ConcatenateTokens(first, second);

    public Tensor BroadcastTokens(Weight tokens, int batch) => inner.BroadcastTokens(tokens, batch);

    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options) => inner.Convolution(input, kernel, bias, options);

    public Tensor AveragePool(in Tensor input, int size) => inner.AveragePool(input, size);

    public Tensor MapToTokens(in Tensor map) => inner.MapToTokens(map);

    public Tensor TokensToMap(in Tensor tokens, int height, int width) => inner.TokensToMap(tokens, height, width);

    public Tensor LayerNormChannels(in Tensor map, Weight weight, Weight bias, float epsilon) => inner.LayerNormChannels(map, weight, bias, epsilon);

    public Tensor Activate(in Tensor input, Activation activation) => inner.Activate(input, activation);

    public Tensor Add(in Tensor left, in Tensor right) => inner.Add(left, right);

    public Tensor Multiply(in Tensor left, in Tensor right) => inner.Multiply(left, right);

    public Tensor L2Normalize(in Tensor input) => inner.L2Normalize(input);

    public Tensor TransformerBlock(in Tensor input, TransformerBlock block, in AttentionMask mask = default) => inner.TransformerBlock(input, block, mask);

    public Tensor TransformerBlockToken(in Tensor input, in Tensor indices, TransformerBlock block, in AttentionMask mask = default) => inner.TransformerBlockToken(input, indices, block, mask);
}
