using ClipEngine.Tensors;

namespace ClipEngine.Stages;

/// <summary>The result of one operation.</summary>
/// <param name="Operation">What was done, with the weight's name where there is one.</param>
/// <param name="Shape">The result's.</param>
/// <param name="Values">Row-major.</param>
internal sealed record RecordedOperation(string Operation, Shape Shape, float[] Values);

/// <summary>
/// A pass that keeps what every operation makes; blocks and stacks are taken apart into their operations, so that what is fused
/// elsewhere shows too. Everything is computed by the pass inside.
/// </summary>
/// <param name="inner">Runs the operations; disposed with this.</param>
internal sealed class RecordingPass(IPass inner) : IPass
{
    private readonly List<RecordedOperation> _operations = [];

    /// <summary>The results so far, in the order of the operations.</summary>
    public IReadOnlyList<RecordedOperation> Operations => _operations;

    /// <summary>Forgets the results, to begin with another tower.</summary>
    public void Clear() => _operations.Clear();

    /// <summary>Every block whole, where a model selects one token of the last one.</summary>
    public Tensor TransformerStack(in Tensor input, ReadOnlySpan<TransformerBlock> blocks, in AttentionMask mask = default, in Tensor select = default)
    {
        Tensor x = input;
        foreach (TransformerBlock block in blocks)
            x = ((IPass)this).TransformerBlock(x, block, mask);
        return select.Exists ? SelectTokens(x, select) : x;
    }

    public void Dispose() => inner.Dispose();

    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape) => inner.Upload(values, shape);

    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape) => inner.Upload(values, shape);

    public void Read(in Tensor tensor, Span<float> destination) => inner.Read(tensor, destination);

    public long EnterScope() => inner.EnterScope();

    public Tensor LeaveScope(long mark, in Tensor kept) => inner.LeaveScope(mark, kept);

    public Tensor ReleaseAllBut(long mark, in Tensor kept) => inner.ReleaseAllBut(mark, kept);

    public void Store(TokenStore store, in TokenView tokens, int position = 0) => inner.Store(store, tokens, position);

    public Tensor Load(TokenStore store) => inner.Load(store);

    public void Reorder(TokenStore store, ReadOnlySpan<int> sources) => inner.Reorder(store, sources);

    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default) => Keep($"linear {weight.Name}", inner.Linear(input, weight, bias, epilogue));

    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon) => Keep($"layer norm {weight.Name}", inner.LayerNorm(input, weight, bias, epsilon));

    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon) => Keep($"RMS norm {weight.Name}", inner.RmsNorm(input, weight, epsilon));

    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default) => Keep("attention", inner.Attention(query, key, value, heads, mask));

    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0) => Keep("rotary positions", inner.Rotary(input, cosines, sines, heads, pairing, firstPosition));

    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias) => Keep($"patch embedding {kernel.Name}", inner.PatchEmbedding(pixels, kernel, bias));

    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions) => Keep("assemble tokens", inner.AssembleTokens(tokens, firstToken, positions));

    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0) => Keep($"token embedding {table.Name}", inner.TokenEmbedding(ids, table, appendedToken, positions, firstPosition));

    public Tensor SelectTokens(in Tensor tokens, in Tensor indices) => Keep("select tokens", inner.SelectTokens(tokens, indices));

    public Tensor SliceTokens(in Tensor tokens, int start, int count) => Keep("slice tokens", inner.SliceTokens(tokens, start, count));

    public Tensor MeanTokens(in Tensor tokens) => Keep("mean of tokens", inner.MeanTokens(tokens));

    public Tensor ConcatenateTokens(in Tensor first, in Tensor second) => Keep("concatenate tokens", inner.ConcatenateTokens(first, second));

    public Tensor BroadcastTokens(Weight tokens, int batch) => Keep($"broadcast {tokens.Name}", inner.BroadcastTokens(tokens, batch));

    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options) => Keep($"convolution {kernel.Name}", inner.Convolution(input, kernel, bias, options));

    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0) => Keep("average pool", inner.AveragePool(input, size, stride, padding));

    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None) => Keep("gate tokens", inner.GateTokens(tokens, gates, activation));

    public Tensor MapToTokens(in Tensor map) => Keep("map to tokens", inner.MapToTokens(map));

    public Tensor TokensToMap(in Tensor tokens, int height, int width) => Keep("tokens to map", inner.TokensToMap(tokens, height, width));

    public Tensor Activate(in Tensor input, Activation activation) => Keep($"activation {activation}", inner.Activate(input, activation));

    public Tensor Add(in Tensor left, in Tensor right) => Keep("add", inner.Add(left, right));

    public Tensor Multiply(in Tensor left, in Tensor right) => Keep("multiply", inner.Multiply(left, right));

    public Tensor L2Normalize(in Tensor input) => Keep("L2 norm", inner.L2Normalize(input));

    private Tensor Keep(string operation, in Tensor result)
    {
        float[] values = new float[result.Shape.ElementCount];
        inner.Read(result, values);
        _operations.Add(new RecordedOperation(operation, result.Shape, values));
        return result;
    }
}
