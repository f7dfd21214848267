using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>The MLP of one of BERT's layers, its norm behind the sum, where a layer is no plain block: with an image in its middle, or with an MLP for each kind of token.</summary>
internal sealed class BertFeedForward
{
    private readonly Weight _expandWeight, _expandBias, _contractWeight, _contractBias, _normWeight, _normBias;
    private readonly Activation _activation;
    private readonly float _epsilon;

    /// <summary>Loads an MLP that no block holds.</summary>
    /// <param name="config">The transformer's sizes.</param>
    /// <param name="weights">A reader below <c>encoder.layer.N</c>.</param>
    /// <param name="kind">What stands behind <c>intermediate</c> and <c>output</c> in the keys.</param>
    public BertFeedForward(BertConfig config, WeightReader weights, string kind)
    {
        _expandWeight = weights.Read($"intermediate{kind}.dense.weight", WeightRole.Linear, config.HiddenWidth, config.Width);
        _expandBias = weights.Read($"intermediate{kind}.dense.bias", WeightRole.Vector, config.HiddenWidth);
        _contractWeight = weights.Read($"output{kind}.dense.weight", WeightRole.Linear, config.Width, config.HiddenWidth);
        _contractBias = weights.Read($"output{kind}.dense.bias", WeightRole.Vector, config.Width);
        _normWeight = weights.Read($"output{kind}.LayerNorm.weight", WeightRole.Vector, config.Width);
        _normBias = weights.Read($"output{kind}.LayerNorm.bias", WeightRole.Vector, config.Width);
        _activation = config.Activation;
        _epsilon = config.Epsilon;
    }

    /// <summary>The MLP of a block, with the block's own weights.</summary>
    /// <param name="block">From <see cref="BertEncoder.ReadBlock"/>.</param>
    public BertFeedForward(TransformerBlock block)
    {
        (_expandWeight, _expandBias) = (block.ExpandWeight, block.ExpandBias);
        (_contractWeight, _contractBias) = (block.ContractWeight, block.ContractBias);
        (_normWeight, _normBias) = (block.Norm2Weight, block.Norm2Bias);
        _activation = block.Activation;
        _epsilon = block.Epsilon;
    }

    /// <summary>Enqueues the MLP.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="input"><c>[n, count, width]</c>.</param>
    /// <returns>The shape of <paramref name="input"/>.</returns>
    public Tensor Forward(IPass pass, in Tensor input)
    {
        Tensor hidden = pass.Linear(input, _expandWeight, _expandBias, new Epilogue { Activation = _activation });
        return pass.LayerNorm(pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Residual = input }), _normWeight, _normBias, _epsilon);
    }
}
