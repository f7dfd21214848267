using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A pass that computes nothing and counts the arithmetic of what is asked for, by the rule of <see cref="ModelCost"/>: convolutions, linear
/// layers and the two products of attention. A tower is counted as it runs, so that no formula of its own is needed.
/// </summary>
internal sealed class CountingPass : IPass
{
    /// <summary>Floating-point operations so far; a multiply-add is two.</summary>
    public long Operations { get; private set; }

    public Tensor Upload(ReadOnlySpan<float> values, in Shape shape) => new(shape, ElementType.Float32, 1, values.ToArray());

    public Tensor Upload(ReadOnlySpan<int> values, in Shape shape) => new(shape, ElementType.Int32, 1);

    /// <summary>Something that was brought in, of which the values do not matter here: nothing is allocated, however large it is.</summary>
    public Tensor Absent(in Shape shape) => Result(shape);

    /// <summary>What stands for an upload in a pass that only counts, so that its values need not be made; null in a pass that computes.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="shape">The upload's.</param>
    public static Tensor? InPlaceOfUpload(IPass pass, in Shape shape) => pass is CountingPass counting ? counting.Absent(shape) : null;

    /// <summary>What was brought in comes out again; what would have been computed does not.</summary>
    public void Read(in Tensor tensor, Span<float> destination)
    {
        if (tensor.Storage is not float[] values || values.Length != destination.Length)
            throw new NotSupportedException("Nothing is computed here.");
        values.CopyTo(destination);
    }

    public long EnterScope() => 0;

    public Tensor LeaveScope(long mark, in Tensor kept) => kept;

    public Tensor ReleaseAllBut(long mark, in Tensor kept) => kept;

    public void Store(TokenStore store, in TokenView tokens, int position = 0) => OperationShapes.Store(store, tokens, position);

    public Tensor Load(TokenStore store) => Result(store.Shape);

    public void Reorder(TokenStore store, ReadOnlySpan<int> sources) => OperationShapes.Reorder(store, sources);

    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default) =>
        Product(OperationShapes.Linear(input, weight, bias, epilogue), input.Shape[^1]);

    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        OperationShapes.LayerNorm(input, weight, bias);
        return Result(input.Shape);
    }

    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon)
    {
        OperationShapes.RmsNorm(input, weight);
        return Result(input.Shape);
    }

    /// <summary>Queries times keys and their softmax times values; a mask saves nothing.</summary>
    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default) =>
        Product(OperationShapes.Attention(query, key, value, heads, mask), 2L * key.Count);

    /// <summary>Every block whole, also where a model uses one token of the last one.</summary>
    public Tensor TransformerStack(in Tensor input, ReadOnlySpan<TransformerBlock> blocks, in AttentionMask mask = default, in Tensor select = default)
    {
        Tensor x = input;
        foreach (TransformerBlock block in blocks)
            x = ((IPass)this).TransformerBlock(x, block, mask);
        return select.Exists ? SelectTokens(x, select) : x;
    }

    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0) =>
        Result(OperationShapes.Rotary(input, cosines, sines, heads, firstPosition));

    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias) => Product(OperationShapes.PatchEmbedding(pixels, kernel, bias), Taps(kernel));

    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options) => Product(OperationShapes.Convolution(input, kernel, bias, options), Taps(kernel));

    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions) => Result(OperationShapes.AssembleTokens(tokens, firstToken, positions));

    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0) =>
        Result(OperationShapes.TokenEmbedding(ids, table, appendedToken, positions, firstPosition));

    public Tensor SelectTokens(in Tensor tokens, in Tensor indices) => Result(OperationShapes.SelectTokens(tokens, indices));

    /// <summary>A part of what was brought in keeps its values: packed pixels say how large their image is.</summary>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        Shape shape = OperationShapes.SliceTokens(tokens, start, count);
        if (tokens.Storage is not float[] values || shape[0] != 1)
            return Result(shape);
        int width = (int)shape[^1];
        return new Tensor(shape, ElementType.Float32, 1, values.AsSpan(start * width, count * width).ToArray());
    }

    public Tensor MeanTokens(in Tensor tokens) => Result(OperationShapes.MeanTokens(tokens));

    public Tensor ConcatenateTokens(in Tensor first, in Tensor second) => Result(OperationShapes.ConcatenateTokens(first, second));

    public Tensor BroadcastTokens(Weight tokens, int batch) => Result(OperationShapes.BroadcastTokens(tokens, batch));

    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0) => Result(OperationShapes.AveragePool(input, size, stride, padding));

    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None) => Result(OperationShapes.GateTokens(tokens, gates));

    public Tensor MapToTokens(in Tensor map) => Result(OperationShapes.MapToTokens(map));

    public Tensor TokensToMap(in Tensor tokens, int height, int width) => Result(OperationShapes.TokensToMap(tokens, height, width));

    public Tensor Activate(in Tensor input, Activation activation) => Result(input.Shape);

    public Tensor Add(in Tensor left, in Tensor right) => Result(OperationShapes.Elementwise(left, right));

    public Tensor Multiply(in Tensor left, in Tensor right) => Result(OperationShapes.Elementwise(left, right));

    public Tensor L2Normalize(in Tensor input) => Result(input.Shape);

    public void Dispose()
    {
        // It owns nothing.
    }

    private static long Taps(Weight kernel) => kernel.Shape.ElementCount / kernel.Shape[0];

    private static Tensor Result(in Shape shape) => new(shape, ElementType.Float32, 1);

    private Tensor Product(in Shape result, long depth)
    {
        Operations = checked(Operations + (2 * result.ElementCount * depth));
        return Result(result);
    }
}

/// <summary>A backend of such passes.</summary>
internal sealed class CountingBackend : IBackend
{
    public string Name => "count";

    public string Description => "operations are counted";

    public ElementType ComputeType => ElementType.Float32;

    public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

    public double InvarianceBound => 0;

    /// <summary>Floating-point operations of what is done in a pass.</summary>
    public static long Count(Action<CountingPass> run)
    {
        using var pass = new CountingPass();
        run(pass);
        return pass.Operations;
    }

    public Weight CreateWeight(in WeightData data, WeightRole role) => throw new InvalidOperationException("Operations are counted without weights.");

    public TokenStore CreateTokenStore(in Shape shape) => new Store(shape);

    public IPass BeginPass() => new CountingPass();

    public void Dispose()
    {
        // It owns nothing.
    }

    private sealed class Store(in Shape shape) : TokenStore(shape)
    {
        public override long ByteLength => 0;

        protected override void Dispose(bool disposing)
        {
            // It owns nothing.
        }
    }
}
