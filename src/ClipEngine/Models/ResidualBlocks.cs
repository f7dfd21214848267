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

    /// <summary>How many blocks.</summary>
    public int Count => _blocks.Length;

    /// <summary>Where the keys and values of sentences are kept while they are written, two stores for each block.</summary>
    /// <param name="backend">Where.</param>
    /// <param name="count">Sentences.</param>
    /// <param name="capacity">Tokens of each at most.</param>
    /// <param name="width">Of a token.</param>
    public List<TokenStore> CreatePast(IBackend backend, int count, int capacity, int width) =>
        [.. Enumerable.Range(0, 2 * _blocks.Length).Select(_ => backend.CreateTokenStore(new Shape(count, capacity, width)))];

    /// <summary>One block over new tokens, which attend to what was stored of those before them.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="layer">Which block.</param>
    /// <param name="x"><c>[n, count, w]</c>: the new tokens.</param>
    /// <param name="past">From <see cref="CreatePast"/>; the new keys and values are added.</param>
    /// <param name="mask">A causal one whose offset is the position of the first new token.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    public Tensor ForwardNext(IPass pass, int layer, in Tensor x, IReadOnlyList<TokenStore> past, in AttentionMask mask)
    {
        TransformerBlock block = _blocks[layer];
        int width = (int)x.Shape[2];
        TokenStore keys = past[2 * layer], values = past[(2 * layer) + 1];
        long mark = pass.EnterScope();
        Tensor normed = pass.LayerNorm(x, block.Norm1Weight, block.Norm1Bias, block.Epsilon);
        Tensor queryKeyValue = pass.Linear(normed, block.InProjectionWeight, block.InProjectionBias);                                   // [n, count, 3 w]
        pass.Store(keys, new TokenView(queryKeyValue, width, width), mask.Offset);
        pass.Store(values, new TokenView(queryKeyValue, 2 * width, width), mask.Offset);
        Tensor attended = pass.Attention(new TokenView(queryKeyValue, 0, width), pass.Load(keys), pass.Load(values), block.Heads, mask);
        return pass.LeaveScope(mark, ComposedOperations.Finish(pass, attended, x, block));
    }
}
