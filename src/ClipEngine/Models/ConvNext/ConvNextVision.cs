using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A ConvNeXt (arXiv:2201.03545): four stages of blocks with a depthwise convolution of 7 x 7 and an MLP over the channels, a halved
/// map between two stages, and the mean of the last map, normed. The map is kept as tokens: all but the convolutions work on one pixel's channels.
/// </summary>
internal sealed class ConvNextVision : IImageTower
{
    private const int Patch = 4;

    private readonly ConvNextTower _tower;
    private readonly Weight _stemKernel, _stemBias, _stemNormWeight, _stemNormBias, _headNormWeight, _headNormBias;
    private readonly Stage[] _stages;
    private readonly TimmProjection _projection;

    /// <summary>Loads the tower.</summary>
    /// <param name="tower">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public ConvNextVision(ConvNextTower tower, int embedDimension, WeightReader weights)
    {
        _tower = tower;
        WeightReader trunk = weights.Scope("trunk");
        int width = tower.Widths[0];
        _stemKernel = trunk.Read("stem.0.weight", WeightRole.PatchEmbedding, width, 3, Patch, Patch);
        _stemBias = trunk.Read("stem.0.bias", WeightRole.Vector, width);
        _stemNormWeight = trunk.Read("stem.1.weight", WeightRole.Vector, width);
        _stemNormBias = trunk.Read("stem.1.bias", WeightRole.Vector, width);
        _stages = new Stage[tower.Depths.Length];
        for (int stage = 0; stage < _stages.Length; stage++)
        {
            _stages[stage] = new Stage(trunk.Scope($"stages.{stage}"), width, tower.Widths[stage], tower.Depths[stage], tower.Epsilon, isHalved: stage > 0);
            width = tower.Widths[stage];
        }

        _headNormWeight = trunk.Read("head.norm.weight", WeightRole.Vector, width);
        _headNormBias = trunk.Read("head.norm.bias", WeightRole.Vector, width);
        _projection = new TimmProjection(tower.Projection, width, embedDimension, weights, "head.fc");
    }

    /// <summary>Pixels of the second stage's map: the early maps are what an image's memory goes to.</summary>
    public int Tokens => (_tower.Size.Height / (2 * Patch)) * (_tower.Size.Width / (2 * Patch));

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        int height = (int)pixels.Shape[2] / Patch, width = (int)pixels.Shape[3] / Patch;
        float epsilon = _tower.Epsilon;
        long mark = pass.EnterScope();
        Tensor x = pass.PatchEmbedding(pixels, _stemKernel, _stemBias);                                         // [n, h w / 16, widths[0]]
        x = pass.LayerNorm(x, _stemNormWeight, _stemNormBias, epsilon);
        foreach (Stage stage in _stages)
        {
            if (stage.IsHalved)
            {
                x = stage.Halve(pass, x, height, width, epsilon);                                               // a quarter of the pixels, the next width
                (height, width) = (height / 2, width / 2);
            }

            x = pass.ReleaseAllBut(mark, pass.ConvolutionStack(x, height, width, stage.Blocks));
        }

        x = pass.LayerNorm(pass.MeanTokens(x), _headNormWeight, _headNormBias, epsilon);                        // [n, 1, widths[^1]]
        return pass.LeaveScope(mark, _projection.Forward(pass, x.Reshape(new Shape(x.Shape[0], x.Shape[2]))));  // [n, embed_dim]
    }

    /// <summary>A norm and a convolution of 2 x 2 that halves the map, but in the first stage, and the blocks.</summary>
    private sealed class Stage
    {
        private readonly Weight? _normWeight, _normBias, _kernel, _bias;

        public Stage(WeightReader weights, int inputs, int outputs, int depth, float epsilon, bool isHalved)
        {
            IsHalved = isHalved;
            if (isHalved)
            {
                _normWeight = weights.Read("downsample.0.weight", WeightRole.Vector, inputs);
                _normBias = weights.Read("downsample.0.bias", WeightRole.Vector, inputs);
                _kernel = weights.Read("downsample.1.weight", WeightRole.PatchEmbedding, outputs, inputs, 2, 2);
                _bias = weights.Read("downsample.1.bias", WeightRole.Vector, outputs);
            }

            Blocks = new ConvolutionBlock[depth];
            for (int block = 0; block < depth; block++)
                Blocks[block] = ReadBlock(weights.Scope($"blocks.{block}"), outputs, epsilon);
        }

        public bool IsHalved { get; }

        public ConvolutionBlock[] Blocks { get; }

        /// <summary>Enqueues the halving; the caller releases what is not its result, once and not twice.</summary>
        public Tensor Halve(IPass pass, in Tensor x, int height, int width, float epsilon)
        {
            Tensor map = pass.TokensToMap(pass.LayerNorm(x, _normWeight!, _normBias!, epsilon), height, width); // [n, inputs, h, w]
            return pass.PatchEmbedding(map, _kernel!, _bias);                                                   // [n, h w / 4, outputs]
        }

        /// <summary>x + gamma * mlp(norm(convolution(x))).</summary>
        private static ConvolutionBlock ReadBlock(WeightReader weights, int width, float epsilon)
        {
            const int Side = 7, MlpRatio = 4;
            return new()
            {
                Kernel = weights.Read("conv_dw.weight", WeightRole.Convolution, width, 1, Side, Side),
                Bias = weights.Read("conv_dw.bias", WeightRole.Vector, width),
                NormWeight = weights.Read("norm.weight", WeightRole.Vector, width),
                NormBias = weights.Read("norm.bias", WeightRole.Vector, width),
                ExpandWeight = weights.Read("mlp.fc1.weight", WeightRole.Linear, MlpRatio * width, width),
                ExpandBias = weights.Read("mlp.fc1.bias", WeightRole.Vector, MlpRatio * width),
                ContractWeight = weights.Read("mlp.fc2.weight", WeightRole.Linear, width, MlpRatio * width),
                ContractBias = weights.Read("mlp.fc2.bias", WeightRole.Vector, width),
                LayerScale = weights.Read("gamma", WeightRole.Vector, width),
                Activation = Activation.Gelu,
                Epsilon = epsilon,
            };
        }
    }
}
