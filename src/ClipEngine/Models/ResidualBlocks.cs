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
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, t, w]</c>.</param>
    /// <param name="mask">Which keys a query sees.</param>
    /// <param name="select">Which token of each sequence is used: <c>[n]</c>, each in <c>[0, t)</c>; <c>default</c> for all.</param>
    /// <returns>The shape of <paramref name="x"/>, or <c>[n, w]</c> where tokens are selected.</returns>
    public Tensor Forward(IPass pass, in Tensor x, in AttentionMask mask = default, in Tensor select = default) => pass.TransformerStack(x, _blocks, mask, select);
}
