using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// CLIP's residual network (arXiv:2103.00020, section 2.4): a stem of three convolutions, strided steps antialiased by average
/// pooling, and an attention pool in place of a global average.
/// </summary>
internal sealed class ModifiedResNet : IImageTower
{
    /// <summary>Pixels of the image for each pixel of the final map, in one direction.</summary>
    public const int Stride = 32;

    private readonly ConvolutionNorm _stem1, _stem2, _stem3;
    private readonly List<Bottleneck> _blocks = [];
    private readonly AttentionPool2D _pool;
    private readonly int _imageSide;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public ModifiedResNet(VisionConfig config, int embedDimension, WeightReader weights)
    {
        int width = config.Width;
        _imageSide = config.ImageHeight;
        _stem1 = new ConvolutionNorm(weights, "conv1", "bn1", 3, width / 2, 3);
        _stem2 = new ConvolutionNorm(weights, "conv2", "bn2", width / 2, width / 2, 3);
        _stem3 = new ConvolutionNorm(weights, "conv3", "bn3", width / 2, width, 3);
        int channels = width;
        for (int stage = 0; stage < 4; stage++)
        {
            int planes = width << stage;
            for (int i = 0; i < config.Layers[stage]; i++)
            {
                int stride = stage > 0 && i == 0 ? 2 : 1;
                _blocks.Add(new Bottleneck(weights.Scope($"layer{stage + 1}.{i}"), channels, planes, stride));
                channels = planes * Bottleneck.Expansion;
            }
        }

        _pool = new AttentionPool2D(weights.Scope("attnpool"), config.GridHeight * config.GridWidth, channels, config.Heads, embedDimension);
    }

    /// <summary>Pixels of the second stage's map, where most of the work lies.</summary>
    public int Tokens => (_imageSide / 8) * (_imageSide / 8);

    /// <summary>The side of the map that reaches the attention pool.</summary>
    public static int MapSide(int imageSide)
    {
        int side = ((imageSide - 1) / 2) + 1; // the stem's first convolution: stride 2, padding 1
        return side / 2 / 2 / 2 / 2;          // its average pool, and three strided stages
    }

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = _stem1.Forward(pass, pixels, new() { Stride = 2, Padding = 1, Activation = Activation.Relu });   // [n, width / 2, h / 2, w / 2]
        x = _stem2.Forward(pass, x, new() { Padding = 1, Activation = Activation.Relu });
        x = _stem3.Forward(pass, x, new() { Padding = 1, Activation = Activation.Relu });                           // [n, width, h / 2, w / 2]
        x = pass.LeaveScope(mark, pass.AveragePool(x, 2, 2));                                                       // [n, width, h / 4, w / 4]
        mark = pass.EnterScope();
        foreach (Bottleneck block in _blocks)
            x = pass.ReleaseAllBut(mark, block.Forward(pass, x));                                                   // [n, 32 width, h / 32, w / 32] in the end
        return pass.LeaveScope(mark, _pool.Forward(pass, x));                                                       // [n, embed_dim]
    }

    /// <summary>A convolution without bias and the batch norm behind it, which at inference is a factor and a shift for each channel: folded at load.</summary>
    private sealed class ConvolutionNorm
    {
        private readonly Weight _kernel, _bias;

        public ConvolutionNorm(WeightReader weights, string convolution, string norm, int inputs, int outputs, int side) =>
            (_kernel, _bias) = BatchNormFolding.ReadConvolution(weights, convolution, norm, outputs, inputs, side, side);

        public Tensor Forward(IPass pass, in Tensor x, in ConvolutionOptions options) => pass.Convolution(x, _kernel, _bias, options);
    }

    /// <summary>1x1, 3x3, 1x1, and a shortcut; a stride is an average pool behind the 3x3 and in front of the shortcut's convolution.</summary>
    private sealed class Bottleneck
    {
        public const int Expansion = 4;

        private readonly ConvolutionNorm _convolution1, _convolution2, _convolution3;
        private readonly ConvolutionNorm? _downsample;
        private readonly int _stride;

        public Bottleneck(WeightReader weights, int channels, int planes, int stride)
        {
            _stride = stride;
            _convolution1 = new ConvolutionNorm(weights, "conv1", "bn1", channels, planes, 1);
            _convolution2 = new ConvolutionNorm(weights, "conv2", "bn2", planes, planes, 3);
            _convolution3 = new ConvolutionNorm(weights, "conv3", "bn3", planes, planes * Expansion, 1);
            if (stride > 1 || channels != planes * Expansion)
                _downsample = new ConvolutionNorm(weights, "downsample.0", "downsample.1", channels, planes * Expansion, 1);
        }

        public Tensor Forward(IPass pass, in Tensor x)
        {
            long mark = pass.EnterScope();
            Tensor y = _convolution1.Forward(pass, x, new() { Activation = Activation.Relu });                  // [n, planes, h, w]
            y = _convolution2.Forward(pass, y, new() { Padding = 1, Activation = Activation.Relu });            // [n, planes, h, w]
            Tensor identity = x;
            if (_stride > 1)
            {
                y = pass.AveragePool(y, _stride, _stride);                                                          // [n, planes, h / stride, w / stride]
                identity = pass.AveragePool(x, _stride, _stride);
            }

            if (_downsample is not null)
                identity = _downsample.Forward(pass, identity, new());                                          // [n, 4 planes, h / stride, w / stride]
            y = _convolution3.Forward(pass, y, new() { Residual = identity, Activation = Activation.Relu });    // [n, 4 planes, h / stride, w / stride]
            return pass.LeaveScope(mark, y);
        }
    }

    /// <summary>Attention of the map's mean over the map and itself, with positions; only the mean's row is used, so only its query is made.</summary>
    private sealed class AttentionPool2D
    {
        private readonly Weight _positions, _queryWeight, _queryBias, _keyWeight, _keyBias, _valueWeight, _valueBias, _outWeight, _outBias;
        private readonly int _heads;

        public AttentionPool2D(WeightReader weights, int pixels, int width, int heads, int embedDimension)
        {
            _heads = heads;
            _positions = weights.Read("positional_embedding", WeightRole.Tokens, pixels + 1, width);
            _queryWeight = weights.Read("q_proj.weight", WeightRole.Linear, width, width);
            _queryBias = weights.Read("q_proj.bias", WeightRole.Vector, width);
            _keyWeight = weights.Read("k_proj.weight", WeightRole.Linear, width, width);
            _keyBias = weights.Read("k_proj.bias", WeightRole.Vector, width);
            _valueWeight = weights.Read("v_proj.weight", WeightRole.Linear, width, width);
            _valueBias = weights.Read("v_proj.bias", WeightRole.Vector, width);
            _outWeight = weights.Read("c_proj.weight", WeightRole.Linear, embedDimension, width);
            _outBias = weights.Read("c_proj.bias", WeightRole.Vector, embedDimension);
        }

        public Tensor Forward(IPass pass, in Tensor map)
        {
            long mark = pass.EnterScope();
            Tensor x = pass.MapToTokens(map);                                                       // [n, hw, c]
            x = pass.ConcatenateTokens(pass.MeanTokens(x), x);                                      // [n, 1 + hw, c]
            x = pass.AssembleTokens(x, firstToken: null, _positions);
            Tensor query = pass.Linear(pass.SliceTokens(x, 0, 1), _queryWeight, _queryBias);        // [n, 1, c]
            Tensor key = pass.Linear(x, _keyWeight, _keyBias);                                      // [n, 1 + hw, c]
            Tensor value = pass.Linear(x, _valueWeight, _valueBias);                                // [n, 1 + hw, c]
            Tensor attended = pass.Attention(query, key, value, _heads);                       // [n, 1, c]
            attended = attended.Reshape(new Shape(map.Shape[0], map.Shape[1]));                     // [n, c]
            return pass.LeaveScope(mark, pass.Linear(attended, _outWeight, _outBias));              // [n, embed_dim]
        }
    }
}
