namespace ClipEngine.Tensors;

/// <summary>An element-wise non-linearity.</summary>
public enum Activation
{
    /// <summary>y = x.</summary>
    None,

    /// <summary>x * Phi(x) with the exact error function (<c>torch.nn.GELU()</c>).</summary>
    Gelu,

    /// <summary>0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).</summary>
    GeluTanh,

    /// <summary>x * sigmoid(1.702 x), what OpenAI's CLIP was trained with.</summary>
    QuickGelu,

    /// <summary>max(x, 0).</summary>
    Relu,

    /// <summary>x * sigmoid(x).</summary>
    Silu,

    /// <summary>tanh(x), accurate relative to its own value.</summary>
    Tanh,
}

/// <summary>Which channels of a head a rotary position turns together.</summary>
public enum RotaryPairing
{
    /// <summary>Neighbours: (0, 1), (2, 3), ...</summary>
    Interleaved,

    /// <summary>Channel i with channel i + half the head.</summary>
    HalfSplit,
}

/// <summary>Where a transformer block's norms stand.</summary>
public enum NormPlacement
{
    /// <summary>Before attention and MLP, inside the residual branch (pre-norm).</summary>
    Before,

    /// <summary>Behind the sums, on the residual stream itself (post-norm, BERT).</summary>
    Behind,
}

/// <summary>
/// What is fused behind a matrix product: <c>scale * activation(product + bias) * multiplier + residual</c>. A gated layer (SwiGLU,
/// GeGLU; arXiv:2002.05202) is two products: the second one's multiplier is the first one's result.
/// </summary>
public readonly record struct Epilogue
{
    /// <summary>The non-linearity.</summary>
    public Activation Activation { get; init; }

    /// <summary>A layer scale's gamma <c>[out]</c>, or null.</summary>
    public Weight? Scale { get; init; }

    /// <summary>Multiplied in before the residual is added; the shape of the result. <c>default</c> for none.</summary>
    public Tensor Multiplier { get; init; }

    /// <summary>Added last; the shape of the result. <c>default</c> for none.</summary>
    public Tensor Residual { get; init; }
}

/// <summary>Which keys a query may see. <c>default</c>: all of them.</summary>
public readonly record struct AttentionMask
{
    /// <summary>A query sees the keys up to its own position; the first query stands at position 0.</summary>
    public static AttentionMask CausalMask => new() { Causal = true };

    /// <summary>Whether the mask is causal.</summary>
    public bool Causal { get; init; }

    /// <summary>The position of the first query among the keys, for <see cref="Causal"/>: query i sees keys 0 to Offset + i. A sentence that grows asks for one query at a time.</summary>
    public int Offset { get; init; }

    /// <summary>How many keys of each sequence there are: <c>[n]</c> int32; those behind are hidden. <c>default</c> for all.</summary>
    public Tensor KeyLengths { get; init; }

    /// <summary>Added to the scores: <c>[n or 1, q, k]</c> fp32 for all heads alike, <c>[n or 1, heads, q, k]</c> for each head its own. <c>default</c> for none. Adds to the others.</summary>
    public Tensor Additive { get; init; }

    /// <summary>Whether <see cref="Additive"/> has values of its own for every head.</summary>
    internal bool IsPerHead => Additive.Exists && Additive.Shape.Rank == 4;
}

/// <summary>How a convolution moves over its input and what is fused behind it: <c>activation(product + bias + residual)</c>, the order of a residual network's block.</summary>
public readonly record struct ConvolutionOptions()
{
    /// <summary>Step in pixels, both directions.</summary>
    public int Stride { get; init; } = 1;

    /// <summary>Zeros added on every side, in pixels.</summary>
    public int Padding { get; init; }

    /// <summary>Channel groups; 1 for an ordinary convolution.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Added before the activation; the shape of the result. <c>default</c> for none.</summary>
    public Tensor Residual { get; init; }

    /// <summary>The non-linearity, applied last.</summary>
    public Activation Activation { get; init; }
}

/// <summary>The weights of a block of a depthwise convolution and an MLP over the channels, ConvNeXt's (arXiv:2201.03545) and FastViT's (arXiv:2303.14189).</summary>
public sealed class ConvolutionBlock
{
    /// <summary><see cref="WeightRole.Convolution"/> <c>[w, 1, side, side]</c> with an odd side: what the block's input goes through first. Null for nothing.</summary>
    public Weight? MixerKernel { get; init; }

    /// <summary><c>[w]</c>, or null.</summary>
    public Weight? MixerBias { get; init; }

    /// <summary><see cref="WeightRole.Convolution"/> <c>[w, 1, side, side]</c> with an odd side.</summary>
    public required Weight Kernel { get; init; }

    /// <summary><c>[w]</c>, or null.</summary>
    public Weight? Bias { get; init; }

    /// <summary><c>[w]</c> of a layer norm behind the convolution, or null for none.</summary>
    public Weight? NormWeight { get; init; }

    /// <summary><c>[w]</c>, with <see cref="NormWeight"/>.</summary>
    public Weight? NormBias { get; init; }

    /// <summary><c>[hidden, w]</c>.</summary>
    public required Weight ExpandWeight { get; init; }

    /// <summary><c>[hidden]</c>.</summary>
    public required Weight ExpandBias { get; init; }

    /// <summary><c>[w, hidden]</c>.</summary>
    public required Weight ContractWeight { get; init; }

    /// <summary><c>[w]</c>.</summary>
    public required Weight ContractBias { get; init; }

    /// <summary><c>[w]</c>, or null.</summary>
    public Weight? LayerScale { get; init; }

    /// <summary>The MLP's non-linearity.</summary>
    public required Activation Activation { get; init; }

    /// <summary>The layer norm's epsilon.</summary>
    public float Epsilon { get; init; }

    /// <summary>How a convolution goes over a map: the result has the map's size.</summary>
    internal static ConvolutionOptions OptionsOf(Weight kernel) => new() { Padding = (int)(kernel.Shape[^1] / 2), Groups = (int)kernel.Shape[0] };
}

/// <summary>The weights of one transformer block, by the names of the field; checkpoint keys stand in the models.</summary>
public sealed class TransformerBlock
{
    /// <summary><c>ln_1.weight [w]</c>.</summary>
    public required Weight Norm1Weight { get; init; }

    /// <summary><c>ln_1.bias [w]</c>.</summary>
    public required Weight Norm1Bias { get; init; }

    /// <summary><c>attn.in_proj_weight [3 w, w]</c>: queries, keys, values.</summary>
    public required Weight InProjectionWeight { get; init; }

    /// <summary><c>attn.in_proj_bias [3 w]</c>.</summary>
    public required Weight InProjectionBias { get; init; }

    /// <summary><c>attn.out_proj.weight [w, w]</c>.</summary>
    public required Weight OutProjectionWeight { get; init; }

    /// <summary><c>attn.out_proj.bias [w]</c>.</summary>
    public required Weight OutProjectionBias { get; init; }

    /// <summary><c>ls_1.gamma [w]</c>, or null.</summary>
    public Weight? LayerScale1 { get; init; }

    /// <summary><c>ln_2.weight [w]</c>.</summary>
    public required Weight Norm2Weight { get; init; }

    /// <summary><c>ln_2.bias [w]</c>.</summary>
    public required Weight Norm2Bias { get; init; }

    /// <summary><c>mlp.c_fc.weight [hidden, w]</c>.</summary>
    public required Weight ExpandWeight { get; init; }

    /// <summary><c>mlp.c_fc.bias [hidden]</c>.</summary>
    public required Weight ExpandBias { get; init; }

    /// <summary><c>mlp.c_proj.weight [w, hidden]</c>.</summary>
    public required Weight ContractWeight { get; init; }

    /// <summary><c>mlp.c_proj.bias [w]</c>.</summary>
    public required Weight ContractBias { get; init; }

    /// <summary><c>ls_2.gamma [w]</c>, or null.</summary>
    public Weight? LayerScale2 { get; init; }

    /// <summary>Where the norms stand.</summary>
    public NormPlacement NormPlacement { get; init; }

    /// <summary>Attention heads; divides the width.</summary>
    public required int Heads { get; init; }

    /// <summary>The MLP's non-linearity.</summary>
    public required Activation Activation { get; init; }

    /// <summary>The layer norms' epsilon.</summary>
    public required float Epsilon { get; init; }
}
