using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>The stack of pre-norm blocks that both towers share (<c>transformer.resblocks.*</c>).</summary>
internal sealed class ResidualBlocks
{
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the stack.</summary>
    /// <param name="weights">A reader below <c>transformer</c>.</param>
    /// <param name="layers">How many blocks.</param>
    /// <param name="width">Of a token.</param>
    /// <param name="heads">Divides <paramref name="width"/>.</param>
    /// <param name="hiddenWidth">Of the MLP.</param>
    /// <param name="hasLayerScale">Whether <c>ls_1</c> and <c>ls_2</c> are there.</param>
    /// <param name="activation">The MLP's.</param>
    /// <param name="epsilon">The layer norms'.</param>
    public ResidualBlocks(WeightReader weights, int layers, int width, int heads, int hiddenWidth, bool hasLayerScale, Activation activation, float epsilon)
    {
        _blocks = new TransformerBlock[layers];
        for (int layer = 0; layer < layers; layer++)
        {
            WeightReader block = weights.Scope($"resblocks.{layer}");
            _blocks[layer] = new TransformerBlock
            {
                Norm1Weight = block.Read("ln_1.weight", WeightRole.Vector, width),
                Norm1Bias = block.Read("ln_1.bias", WeightRole.Vector, width),
                InProjectionWeight = block.Read("attn.in_proj_weight", WeightRole.Linear, 3 * width, width),
                InProjectionBias = block.Read("attn.in_proj_bias", WeightRole.Vector, 3 * width),
                OutProjectionWeight = block.Read("attn.out_proj.weight", WeightRole.Linear, width, width),
                OutProjectionBias = block.Read("attn.out_proj.bias", WeightRole.Vector, width),
                LayerScale1 = hasLayerScale ? block.Read("ls_1.gamma", WeightRole.Vector, width) : null,
                Norm2Weight = block.Read("ln_2.weight", WeightRole.Vector, width),
                Norm2Bias = block.Read("ln_2.bias", WeightRole.Vector, width),
                ExpandWeight = block.Read("mlp.c_fc.weight", WeightRole.Linear, hiddenWidth, width),
                ExpandBias = block.Read("mlp.c_fc.bias", WeightRole.Vector, hiddenWidth),
                ContractWeight = block.Read("mlp.c_proj.weight", WeightRole.Linear, width, hiddenWidth),
                ContractBias = block.Read("mlp.c_proj.bias", WeightRole.Vector, width),
                LayerScale2 = hasLayerScale ? block.Read("ls_2.gamma", WeightRole.Vector, width) : null,
                Heads = heads,
                Activation = activation,
                Epsilon = epsilon,
            };
        }
    }

    /// <summary>All blocks, one after the other.</summary>
    /// <returns>The shape of <paramref name="x"/>, <c>[n, t, w]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor x, in AttentionMask mask = default) => Forward(pass, x, mask, 0, _blocks.Length);

    /// <summary>All blocks, of whose result one token of each sequence is used.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, t, w]</c>.</param>
    /// <param name="indices">Which token: <c>[n]</c>, each in <c>[0, t)</c>.</param>
    /// <param name="mask">Which keys a query sees.</param>
    /// <returns><c>[n, w]</c>.</returns>
    public Tensor ForwardToken(IPass pass, in Tensor x, in Tensor indices, in AttentionMask mask = default)
    {
        int last = _blocks.Length - 1;
        if (last == 0)
            return pass.TransformerBlockToken(x, indices, _blocks[last], mask);
        long mark = pass.EnterScope();
        Tensor before = Forward(pass, x, mask, 0, last);
        return pass.LeaveScope(mark, pass.TransformerBlockToken(before, indices, _blocks[last], mask));
    }

    /// <summary>
    /// Runs blocks [first, end). A scope keeps one tensor, so a plain loop would hold every block's result until the end;
    /// halving the stack holds log2(layers) of them.
    /// </summary>
    private Tensor Forward(IPass pass, in Tensor x, in AttentionMask mask, int first, int end)
    {
        if (end - first == 1)
            return pass.TransformerBlock(x, _blocks[first], mask);
        int middle = (first + end) / 2;
        long mark = pass.EnterScope();
        Tensor half = Forward(pass, x, mask, first, middle);
        return pass.LeaveScope(mark, Forward(pass, half, mask, middle, end));
    }
}
