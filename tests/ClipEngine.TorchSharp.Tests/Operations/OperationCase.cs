using ClipEngine.Tensors;

namespace ClipEngine.TorchSharp.Tests.Operations;

/// <summary>One call of a coarse operation over small, awkward shapes.</summary>
internal sealed record OperationCase(string Name, Shape[] Inputs, (Shape Shape, WeightRole Role)[] Weights, Func<IPass, Tensor[], Weight[], Tensor> Run)
{
    private const int N = 2, T = 5, W = 6, Hidden = 7;

    private static readonly Shape s_tokens = new(N, T, W);
    private static readonly Shape s_map = new(N, 4, 7, 5);

    private static readonly (Shape Shape, WeightRole Role)[] s_block =
    [
        Vector(W), Vector(W), (new(3 * W, W), WeightRole.Linear), Vector(3 * W), (new(W, W), WeightRole.Linear), Vector(W), Vector(W),
        Vector(W), Vector(W), (new(Hidden, W), WeightRole.Linear), Vector(Hidden), (new(W, Hidden), WeightRole.Linear), Vector(W), Vector(W),
    ];

    public static IReadOnlyList<OperationCase> All { get; } =
    [
        .. Enum.GetValues<Activation>().Select(activation => new OperationCase($"activate {activation}", [s_tokens], [], (pass, x, _) => pass.Activate(x[0], activation))),
        new("linear", [s_tokens], [(new(Hidden, W), WeightRole.Linear)], (pass, x, w) => pass.Linear(x[0], w[0], null)),
        new("linear, everything behind it", [s_tokens, new(N, T, Hidden)], [(new(Hidden, W), WeightRole.Linear), Vector(Hidden), Vector(Hidden)],
            (pass, x, w) => pass.Linear(x[0], w[0], w[1], new Epilogue { Activation = Activation.QuickGelu, Scale = w[2], Residual = x[1] })),
        new("linear, transposed", [new(N, W)], [(new(W, Hidden), WeightRole.LinearTransposed), Vector(Hidden)], (pass, x, w) => pass.Linear(x[0], w[0], w[1])),
        new("layer norm", [s_tokens], [Vector(W), Vector(W)], (pass, x, w) => pass.LayerNorm(x[0], w[0], w[1], 1e-5f)),
        new("self-attention", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 3)),
        new("self-attention, causal", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 2, AttentionMask.CausalMask)),
        new("self-attention, causal and masked", [new(N, T, 3 * W)], [], (pass, x, _) => pass.SelfAttention(x[0], 2, new AttentionMask { Causal = true, Additive = Mask(pass, T) })),
        new("cross-attention", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.CrossAttention(x[0], x[1], x[2], 2)),
        new("cross-attention, masked", [new(N, 3, W), s_tokens, s_tokens], [], (pass, x, _) => pass.CrossAttention(x[0], x[1], x[2], 3, new AttentionMask { Additive = Mask(pass, 3) })),
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
        new("average pool", [s_map], [], (pass, x, _) => pass.AveragePool(x[0], 2)),
        new("map to tokens", [s_map], [], (pass, x, _) => pass.MapToTokens(x[0])),
        new("add", [s_tokens, s_tokens], [], (pass, x, _) => pass.Add(x[0], x[1])),
        new("L2 normalize", [s_tokens], [], (pass, x, _) => pass.L2Normalize(x[0])),
        new("transformer block", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlock(x[0], Block(w), AttentionMask.CausalMask)),
        new("transformer block token", [s_tokens], s_block,
            (pass, x, w) => pass.TransformerBlockToken(x[0], pass.Upload([4, 1], new Shape(N)), Block(w), AttentionMask.CausalMask)),
    ];

    private static (Shape Shape, WeightRole Role) Vector(int length) => (new Shape(length), WeightRole.Vector);

    private static Tensor Ids(IPass pass) => pass.Upload([0, 8, 3, 3, 1, 2, 7, 8, 0, 5], new Shape(N, T));

    /// <summary>Hides a key here and there, never all of a query's.</summary>
    private static Tensor Mask(IPass pass, int queries)
    {
        float[] values = new float[N * queries * T];
        for (int i = 0; i < values.Length; i++)
            values[i] = i % T != 0 && i % 7 == 3 ? float.NegativeInfinity : 0;
        return pass.Upload(values, new Shape(N, queries, T));
    }

    private static TransformerBlock Block(Weight[] w) => new()
    {
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
