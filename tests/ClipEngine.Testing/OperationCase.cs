using ClipEngine.Tensors;

namespace ClipEngine.Testing;

/// <summary>One call of a coarse operation over small, awkward shapes: what every backend is compared with the plain loops on.</summary>
/// <param name="Name">The operation's own name first.</param>
/// <param name="Inputs">Tensors that are uploaded.</param>
/// <param name="Weights">Weights that are made.</param>
/// <param name="Run">Makes the call.</param>
public sealed record OperationCase(string Name, Shape[] Inputs, (Shape Shape, WeightRole Role)[] Weights, Func<IBackend, IPass, Tensor[], Weight[], Tensor> Run)
{
    private const int N = 2, T = 5, W = 6, Hidden = 7;

    private OperationCase(string name, Shape[] inputs, (Shape Shape, WeightRole Role)[] weights, Func<IPass, Tensor[], Weight[], Tensor> run)
        : this(name, inputs, weights, (_, pass, x, w) => run(pass, x, w))
    {
    }

    /// <summary>Whether gradients flow through it: not through what is stored beyond a pass.</summary>
    public bool IsDifferentiable { get; init; } = true;

    private static readonly Shape s_tokens = new(N, T, W);
    private static readonly Shape s_map = new(N, 4, 7, 5);

    private static readonly (Shape Shape, WeightRole Role)[] s_block =
    [
        Vector(W), Vector(W), (new(3 * W, W), WeightRole.Linear), Vector(3 * W), (new(W, W), WeightRole.Linear), Vector(W), Vector(W),
        Vector(W), Vector(W), (new(Hidden, W), WeightRole.Linear), Vector(Hidden), (new(W, Hidden), WeightRole.Linear), Vector(W), Vector(W),
    ];

    /// <summary>At least one case of every operation.</summary>
    public static IReadOnlyList<OperationCase> All { get; } =
    [
        .. Enum.GetValues<Activation>().Select(activation => new OperationCase($"activate {activation}", [s_tokens], [], (pass, x, _) => pass.Activate(x[0], activation))),
        new("linear", [s_tokens], [(new(Hidden, W), WeightRole.Linear)], (pass, x, w) => pass.Linear(x[0], w[0], null)),
        new("linear, everything behind it", [s_tokens, new(N, T, Hidden)], [(new(Hidden, W), WeightRole.Linear), Vector(Hidden), Vector(Hidden)],
            (pass, x, w) => pass.Linear(x[0], w[0], w[1], new Epilogue { Activation = Activation.QuickGelu, Scale = w[2], Residual = x[1] })),
        new("linear, transposed", [new(N, W)], [(new(W, Hidden), WeightRole.LinearTransposed), Vector(Hidden)], (pass, x, w) => pass.Linear(x[0], w[0], w[1])),
        new("layer norm", [s_tokens], [Vector(W), Vector(W)], (pass, x, w) => pass.LayerNorm(x[0], w[0], w[1], 1e-5f)),
        new("RMS norm", [s_tokens], [Vector(W)], (pass, x, w) => pass.RmsNorm(x[0], w[0], 1e-6f)),
        new("self-attention", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 3)),
        new("self-attention, causal", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 2, AttentionMask.CausalMask)),
        new("self-attention, causal and masked", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 2, new AttentionMask { Causal = true, Additive = Mask(pass, T) })),
        new("attention", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.Attention(x[0], x[1], x[2], 2)),
        new("attention, masked", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.Attention(x[0], x[1], x[2], 3, new AttentionMask { Additive = Mask(pass, 3) })),
        new("attention, one mask for all", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.Attention(x[0], x[1], x[2], 3, new AttentionMask { Additive = Mask(pass, 3, 1) })),
        new("attention, a mask for each head", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.Attention(x[0], x[1], x[2], 2, new AttentionMask { Additive = HeadMask(pass, N, 2, 3) })),
        new("self-attention, one bias for each head", [new(N, T, 3 * W)], [],
            (pass, x, _) => pass.SelfAttention(x[0], 3, new AttentionMask { Additive = HeadMask(pass, 1, 3, T), KeyLengths = pass.Upload([5, 3], new Shape(N)) })),
        new("attention over views", [new(N, 3, 2 * W), new(N, T, 3 * W)], [],
            (pass, x, _) => pass.Attention(new TokenView(x[0], 4, W), new TokenView(x[1], 1, W), new TokenView(x[1], (2 * W) - 1, W), 3)),
        new("attention over shared keys", [new(N, 3, W), new(1, T, 2 * W)], [], (pass, x, _) => pass.Attention(x[0], new TokenView(x[1], 0, W), new TokenView(x[1], W, W), 2)),
        new("attention over shared keys of several lengths", [new(3, 4, W), new(1, 37, W), new(1, 37, W)], [],
            (pass, x, _) => pass.Attention(x[0], x[1], x[2], 2, new AttentionMask { KeyLengths = pass.Upload([37, 33, 1], new Shape(3)) })),
        new("attention over keys of several lengths", [new(3, 4, W), new(3, T, W), new(3, T, W)], [],
            (pass, x, _) => pass.Attention(x[0], x[1], x[2], 2, new AttentionMask { KeyLengths = pass.Upload([5, 0, 2], new Shape(3)) })),
        new("attention, causal from a position on", [new(N, 2, W), s_tokens, s_tokens], [], (pass, x, _) => pass.Attention(x[0], x[1], x[2], 2, new AttentionMask { Causal = true, Offset = 2 })),
        new("attention over what was stored", [new(N, 2, 2 * W), new(N, 1, 2 * W), new(N, 1, W)], [], (backend, pass, x, _) => Stored(backend, pass, x)) { IsDifferentiable = false },
        new("rotary, neighbours", [new(N, T, W)], [(new(T, 1), WeightRole.Tokens), (new(T, 1), WeightRole.Tokens)], (pass, x, w) => pass.Rotary(x[0], w[0], w[1], 3, RotaryPairing.Interleaved)),
        new("rotary, halves of a view", [new(N, 3, 30)], [(new(T, 3), WeightRole.Tokens), (new(T, 3), WeightRole.Tokens)],
            (pass, x, w) => pass.Rotary(new TokenView(x[0], 5, 12), w[0], w[1], 2, RotaryPairing.HalfSplit, 2)),
        new("linear, gated", [s_tokens, new(N, T, Hidden), new(N, T, Hidden)], [(new(Hidden, W), WeightRole.Linear), Vector(Hidden)],
            (pass, x, w) => pass.Linear(x[0], w[0], w[1], new Epilogue { Activation = Activation.Silu, Multiplier = x[1], Residual = x[2] })),
        new("multiply", [s_tokens, s_tokens], [], (pass, x, _) => pass.Multiply(x[0], x[1])),
        new("tokens to map", [new(N, 6, W)], [], (pass, x, _) => pass.TokensToMap(x[0], 2, 3)),
        new("layer norm channels", [s_map], [Vector(4), Vector(4)], (pass, x, w) => pass.LayerNormChannels(x[0], w[0], w[1], 1e-6f)),
        new("convolution, depthwise", [s_map, s_map], [(new(4, 1, 3, 3), WeightRole.Convolution), Vector(4)],
            (pass, x, w) => pass.Convolution(x[0], w[0], w[1], new() { Padding = 1, Groups = 4, Residual = x[1], Activation = Activation.Gelu })),
        new("convolution, depthwise with a multiplier and a stride", [new(N, 3, 9, 38)], [(new(6, 1, 7, 7), WeightRole.Convolution)],
            (pass, x, w) => pass.Convolution(x[0], w[0], null, new() { Padding = 3, Stride = 2, Groups = 3 })),
        new("convolve tokens, depthwise", [new(N, 35, 19), new(N, 35, 19)], [(new(19, 1, 7, 7), WeightRole.Convolution), Vector(19)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 5, 7, w[0], w[1], new() { Padding = 3, Groups = 19, Residual = x[1], Activation = Activation.Gelu })),
        new("convolve tokens, depthwise with a multiplier and a stride", [new(N, 54, 18)], [(new(36, 1, 3, 3), WeightRole.Convolution)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 9, 6, w[0], null, new() { Padding = 1, Stride = 2, Groups = 18 })),
        new("convolve tokens", [new(N, 35, 5)], [(new(7, 5, 3, 3), WeightRole.Convolution), Vector(7)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 5, 7, w[0], w[1], new() { Padding = 1, Stride = 2, Activation = Activation.Gelu })),
        new("convolution stack", [new(3, 35, 19)], [.. ConvolutionBlock(19, 3, 11), .. ConvolutionBlock(19, 5, 12)],
            (pass, x, w) => pass.ConvolutionStack(x[0], 5, 7, [ConvolutionBlock(w), ConvolutionBlock(w[9..])])),
        new("convolution stack, whole lines of channels", [new(5, 99, 16)], [.. ConvolutionBlock(16, 7, 20), .. ConvolutionBlock(16, 3, 8), Kernel(16, 3), Vector(16)],
            (pass, x, w) => pass.ConvolutionStack(x[0], 9, 11, [ConvolutionBlock(w), ConvolutionBlock(w[9..], w[18], w[19])])),
        new("convolution stack, one block without norm and scale", [new(5, 45, 16)], [Kernel(16, 3), .. Mlp(16, 8), Kernel(16, 3)],
            (pass, x, w) => pass.ConvolutionStack(x[0], 9, 5,
                [new() { Kernel = w[0], ExpandWeight = w[1], ExpandBias = w[2], ContractWeight = w[3], ContractBias = w[4], MixerKernel = w[5], Activation = Activation.Relu }])),
        new("convolve tokens, depthwise with a stride", [new(N, 99, 16), new(N, 30, 16)], [(new(16, 1, 7, 7), WeightRole.Convolution), Vector(16)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 11, 9, w[0], w[1], new() { Padding = 3, Stride = 2, Groups = 16, Residual = x[1], Activation = Activation.Gelu })),
        new("convolve tokens, depthwise with two outputs of a channel", [new(N, 99, 16)], [(new(32, 1, 7, 7), WeightRole.Convolution), Vector(32)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 11, 9, w[0], w[1], new() { Padding = 3, Stride = 2, Groups = 16, Activation = Activation.Gelu })),
        new("convolve tokens, small and with a residual", [new(N, 35, 5), new(N, 35, 7)], [(new(7, 5, 1, 1), WeightRole.Convolution), Vector(7)],
            (pass, x, w) => pass.ConvolveTokens(x[0], 5, 7, w[0], w[1], new() { Residual = x[1], Activation = Activation.Gelu })),
        new("token embedding without positions", [], [(new(9, W), WeightRole.EmbeddingTable)], (pass, _, w) => pass.TokenEmbedding(Ids(pass), w[0], null, null)),
        new("token embedding from a position on", [], [(new(9, W), WeightRole.EmbeddingTable), (new(T + 3, W), WeightRole.Tokens)], (pass, _, w) => pass.TokenEmbedding(Ids(pass), w[0], null, w[1], 3)),
        new("release all but one", [s_tokens], [], (pass, x, _) => Accumulated(pass, x[0])),
        new("load", [s_tokens], [], (backend, pass, x, _) => Reordered(backend, pass, x[0])) { IsDifferentiable = false },
        new("transformer stack", [s_tokens], s_block, (pass, x, w) => pass.TransformerStack(x[0], [Block(w), Block(w), Block(w)], AttentionMask.CausalMask)),
        new("transformer stack, one token", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerStack(x[0], [Block(w), Block(w)], default, pass.Upload([4, 1], new Shape(N)))),
        new("transformer block, norms behind", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlock(x[0], Block(w, NormPlacement.Behind), new AttentionMask { KeyLengths = pass.Upload([5, 3], new Shape(N)) })),
        new("transformer block, keys of several lengths", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlock(x[0], Block(w), new AttentionMask { KeyLengths = pass.Upload([5, 3], new Shape(N)) })),
        new("patch embedding", [new(N, 3, 7, 5)], [(new(W, 3, 2, 2), WeightRole.PatchEmbedding), Vector(W)], (pass, x, w) => pass.PatchEmbedding(x[0], w[0], w[1])),
        new("assemble tokens", [s_tokens], [(new(W), WeightRole.Tokens), (new(T + 1, W), WeightRole.Tokens)], (pass, x, w) => pass.AssembleTokens(x[0], w[0], w[1])),
        new("assemble tokens, positions only", [s_tokens], [(new(T, W), WeightRole.Tokens)], (pass, x, w) => pass.AssembleTokens(x[0], null, w[0])),
        new("token embedding", [], [(new(9, W), WeightRole.EmbeddingTable), (new(T + 2, W), WeightRole.Tokens)], (pass, _, w) => pass.TokenEmbedding(Ids(pass), w[0], null, w[1])),
        new("token embedding, one behind", [], [(new(9, W), WeightRole.EmbeddingTable), (new(W), WeightRole.Tokens), (new(T + 1, W), WeightRole.Tokens)],
            (pass, _, w) => pass.TokenEmbedding(Ids(pass), w[0], w[1], w[2])),
        new("select tokens", [s_tokens], [], (pass, x, _) => pass.SelectTokens(x[0], pass.Upload([4, 1], new Shape(N)))),
        new("slice tokens", [s_tokens], [], (pass, x, _) => pass.SliceTokens(x[0], 1, 3)),
        new("mean tokens", [s_tokens], [], (pass, x, _) => pass.MeanTokens(x[0])),
        new("concatenate tokens", [s_tokens, new(N, 2, W)], [], (pass, x, _) => pass.ConcatenateTokens(x[0], x[1])),
        new("broadcast tokens", [], [(new(T, W), WeightRole.Tokens)], (pass, _, w) => pass.BroadcastTokens(w[0], 3)),
        new("convolution", [s_map], [(new(6, 4, 3, 3), WeightRole.Convolution)], (pass, x, w) => pass.Convolution(x[0], w[0], null, new() { Padding = 1 })),
        new("convolution, strided and grouped", [s_map, new(N, 6, 4, 3)], [(new(6, 2, 3, 3), WeightRole.Convolution), Vector(6)],
            (pass, x, w) => pass.Convolution(x[0], w[0], w[1], new() { Stride = 2, Padding = 1, Groups = 2, Residual = x[1], Activation = Activation.Silu })),
        new("average pool", [s_map], [], (pass, x, _) => pass.AveragePool(x[0], 2, 2)),
        new("average pool of squares that overlap and stand outside", [s_map], [], (pass, x, _) => pass.AveragePool(x[0], 3, 2, 1)),
        new("gate tokens", [s_tokens, new(N, 1, W)], [], (pass, x, _) => pass.GateTokens(x[0], x[1])),
        new("gate tokens, activated", [s_tokens, new(N, 1, W)], [], (pass, x, _) => pass.GateTokens(x[0], x[1], Activation.Gelu)),
        new("map to tokens", [s_map], [], (pass, x, _) => pass.MapToTokens(x[0])),
        new("add", [s_tokens, s_tokens], [], (pass, x, _) => pass.Add(x[0], x[1])),
        new("L2 normalize", [s_tokens], [], (pass, x, _) => pass.L2Normalize(x[0])),
        new("transformer block", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlock(x[0], Block(w), AttentionMask.CausalMask)),
        new("transformer block token", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlockToken(x[0], pass.Upload([4, 1], new Shape(N)), Block(w), AttentionMask.CausalMask)),
    ];

    private static (Shape Shape, WeightRole Role) Kernel(int width, int side) => (new Shape(width, 1, side, side), WeightRole.Convolution);

    private static (Shape Shape, WeightRole Role)[] Mlp(int width, int hidden) =>
        [(new(hidden, width), WeightRole.Linear), Vector(hidden), (new(width, hidden), WeightRole.Linear), Vector(width)];

    /// <summary>The nine weights of <see cref="ConvolutionBlock(Weight[], Weight, Weight)"/>.</summary>
    private static (Shape Shape, WeightRole Role)[] ConvolutionBlock(int width, int side, int hidden) =>
        [Kernel(width, side), Vector(width), Vector(width), Vector(width), .. Mlp(width, hidden), Vector(width)];

    private static ConvolutionBlock ConvolutionBlock(Weight[] w, Weight? mixer = null, Weight? mixerBias = null) => new()
    {
        MixerKernel = mixer,
        MixerBias = mixerBias,
        Kernel = w[0],
        Bias = w[1],
        NormWeight = w[2],
        NormBias = w[3],
        ExpandWeight = w[4],
        ExpandBias = w[5],
        ContractWeight = w[6],
        ContractBias = w[7],
        LayerScale = w[8],
        Activation = Activation.Gelu,
        Epsilon = 1e-6f,
    };

    private static (Shape Shape, WeightRole Role) Vector(int length) => (new Shape(length), WeightRole.Vector);

    private static Tensor Ids(IPass pass) => pass.Upload([0, 8, 3, 3, 1, 2, 7, 8, 0, 5], new Shape(N, T));

    /// <summary>Keys and values that are stored in two steps, and reordered in between.</summary>
    private static Tensor Stored(IBackend backend, IPass pass, Tensor[] x)
    {
        using TokenStore keys = backend.CreateTokenStore(new Shape(N, T, W)), values = backend.CreateTokenStore(new Shape(N, T, W));
        pass.Store(keys, new TokenView(x[0], 0, W));
        pass.Store(values, new TokenView(x[0], W, W));
        pass.Reorder(keys, [1, 0]);
        pass.Reorder(values, [1, 1]);
        pass.Store(keys, new TokenView(x[1], 0, W), 2);
        pass.Store(values, new TokenView(x[1], W, W), 2);
        Tensor attended = pass.Attention(x[2], pass.Load(keys), pass.Load(values), 2, new AttentionMask { Causal = true, Offset = 2 });
        pass.Read(attended, new float[N * W]); // before the stores go
        return attended;
    }

    private static Tensor Reordered(IBackend backend, IPass pass, Tensor x)
    {
        using TokenStore store = backend.CreateTokenStore(new Shape(N, T + 2, W));
        pass.Store(store, x, 1);
        pass.Reorder(store, [1, 0]);
        Tensor loaded = pass.SliceTokens(pass.Load(store), 0, T + 2);
        pass.Read(loaded, new float[N * (T + 2) * W]);
        return loaded;
    }

    private static Tensor Accumulated(IPass pass, Tensor x)
    {
        long mark = pass.EnterScope();
        Tensor sum = x;
        for (int round = 0; round < 3; round++)
            sum = pass.ReleaseAllBut(mark, pass.Add(pass.Activate(sum, Activation.Relu), x));
        return pass.LeaveScope(mark, sum);
    }

    /// <summary>Hides a key here and there, never all of a query's.</summary>
    private static Tensor Mask(IPass pass, int queries, int batch = N)
    {
        float[] values = new float[batch * queries * T];
        for (int i = 0; i < values.Length; i++)
            values[i] = i % T != 0 && i % 7 == 3 ? float.NegativeInfinity : 0;
        return pass.Upload(values, new Shape(batch, queries, T));
    }

    /// <summary>Other values for every head.</summary>
    private static Tensor HeadMask(IPass pass, int batch, int heads, int queries)
    {
        float[] values = new float[batch * heads * queries * T];
        for (int i = 0; i < values.Length; i++)
            values[i] = i % T != 0 && i % 11 == 3 ? float.NegativeInfinity : 0.3f * (i % 8);
        return pass.Upload(values, new Shape(batch, heads, queries, T));
    }

    private static TransformerBlock Block(Weight[] w, NormPlacement norms = NormPlacement.Before) => new()
    {
        NormPlacement = norms,
        Norm1Weight = w[0],
        Norm1Bias = w[1],
        InProjectionWeight = w[2],
        InProjectionBias = w[3],
        OutProjectionWeight = w[4],
        OutProjectionBias = w[5],
        LayerScale1 = w[6],
        Norm2Weight = w[7],
        Norm2Bias = w[8],
        ExpandWeight = w[9],
        ExpandBias = w[10],
        ContractWeight = w[11],
        ContractBias = w[12],
        LayerScale2 = w[13],
        Heads = 2,
        Activation = Activation.Gelu,
        Epsilon = 1e-5f,
    };
}
