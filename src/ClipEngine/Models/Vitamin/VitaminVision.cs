using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A ViTamin (arXiv:2404.02132): a stem of two convolutions, two stages of inverted bottlenecks, and a transformer with gated MLPs whose
/// tokens' mean is normed. The map is kept as tokens.
/// </summary>
internal sealed class VitaminVision : IImageTower
{
    private const float Epsilon = 1e-6f;

    private readonly VitaminTower _tower;
    private readonly Convolution _stem1, _stem2, _last;
    private readonly Norm _stemNorm, _lastNorm, _poolNorm;
    private readonly Bottleneck[] _bottlenecks;
    private readonly Weight? _positions;
    private readonly Block[] _blocks;
    private readonly TimmProjection _projection;

    /// <summary>Loads the tower.</summary>
    /// <param name="tower">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public VitaminVision(VitaminTower tower, int embedDimension, WeightReader weights)
    {
        _tower = tower;
        WeightReader trunk = weights.Scope("trunk"), backbone = trunk.Scope("patch_embed.backbone");
        int width = tower.Width, channels = tower.StemWidth;
        _stem1 = new Convolution(backbone, "stem.conv1", 3, channels, stride: 2);
        _stemNorm = new Norm(backbone, "stem.norm1", channels);
        _stem2 = new Convolution(backbone, "stem.conv2", channels, channels);
        var bottlenecks = new List<Bottleneck>();
        for (int stage = 0; stage < tower.Widths.Length; stage++)
        {
            for (int block = 0; block < tower.Depths[stage]; block++)
            {
                bottlenecks.Add(new Bottleneck(backbone.Scope($"stages.{stage}.{block}"), channels, tower.Widths[stage], block == 0 ? 2 : 1));
                channels = tower.Widths[stage];
            }
        }

        _bottlenecks = [.. bottlenecks];
        _lastNorm = new Norm(backbone, "pool.norm", channels);
        _last = new Convolution(backbone, "pool.proj", channels, width, stride: 2);
        if (tower.HasPositions)
            _positions = trunk.ReadAs("pos_embed", WeightRole.Tokens, new Shape(tower.Tokens, width), 1, tower.Tokens, width);
        _blocks = new Block[tower.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = new Block(trunk.Scope($"blocks.{layer}"), tower);
        _poolNorm = new Norm(trunk, "fc_norm", width);
        _projection = new TimmProjection(tower.Projection, width, embedDimension, weights, "head");
    }

    /// <summary>Pixels of the second stage's map: the early maps are what an image's memory goes to.</summary>
    public int Tokens => Math.Max(_tower.Tokens, (_tower.Size.Height / 8) * (_tower.Size.Width / 8));

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        int height = (int)pixels.Shape[2], width = (int)pixels.Shape[3];
        long mark = pass.EnterScope();
        Tensor x = _stem1.Forward(pass, pass.MapToTokens(pixels), ref height, ref width);                      // [n, h w / 4, stem]
        x = pass.Activate(_stemNorm.Forward(pass, x), Activation.Gelu);
        x = pass.ReleaseAllBut(mark, _stem2.Forward(pass, x, ref height, ref width));
        foreach (Bottleneck bottleneck in _bottlenecks)
            x = pass.ReleaseAllBut(mark, bottleneck.Forward(pass, x, ref height, ref width));                  // [n, h w / 64, widths[1]] in the end
        x = pass.ReleaseAllBut(mark, _last.Forward(pass, _lastNorm.Forward(pass, x), ref height, ref width));  // [n, t, width]
        if (_positions is not null)
            x = pass.AssembleTokens(x, firstToken: null, _positions);
        foreach (Block block in _blocks)
            x = pass.ReleaseAllBut(mark, block.Forward(pass, x));
        x = _poolNorm.Forward(pass, pass.MeanTokens(x));                                                       // [n, 1, width]
        return pass.LeaveScope(mark, _projection.Forward(pass, x.Reshape(new Shape(x.Shape[0], _tower.Width))));    // [n, embed_dim]
    }

    private sealed class Norm(WeightReader weights, string name, int width)
    {
        private readonly Weight _weight = weights.Read($"{name}.weight", WeightRole.Vector, width), _bias = weights.Read($"{name}.bias", WeightRole.Vector, width);

        public Tensor Forward(IPass pass, in Tensor x) => pass.LayerNorm(x, _weight, _bias, Epsilon);
    }

    /// <summary>3 x 3, padded by one pixel.</summary>
    private sealed class Convolution(WeightReader weights, string name, int inputs, int outputs, int stride = 1, int groups = 1)
    {
        private const int Side = 3;

        private readonly Weight _kernel = weights.Read($"{name}.weight", WeightRole.Convolution, outputs, inputs / groups, Side, Side), _bias = weights.Read($"{name}.bias", WeightRole.Vector, outputs);

        public Tensor Forward(IPass pass, in Tensor x, ref int height, ref int width, Activation activation = Activation.None)
        {
            Tensor y = pass.ConvolveTokens(x, height, width, _kernel, _bias, new() { Stride = stride, Padding = 1, Groups = groups, Activation = activation });
            (height, width) = (((height - 1) / stride) + 1, ((width - 1) / stride) + 1);
            return y;
        }
    }

    /// <summary>A convolution of 1 x 1.</summary>
    private sealed class Pointwise(WeightReader weights, string name, int inputs, int outputs)
    {
        private readonly Weight _weight = weights.ReadAs($"{name}.weight", WeightRole.Linear, new Shape(outputs, inputs), outputs, inputs, 1, 1);
        private readonly Weight _bias = weights.Read($"{name}.bias", WeightRole.Vector, outputs);

        public Tensor Forward(IPass pass, in Tensor x, in Epilogue epilogue = default) => pass.Linear(x, _weight, _bias, epilogue);
    }

    /// <summary>Norm, 1 x 1 to four times the width, depthwise 3 x 3, 1 x 1 back, plus the input; where the map is halved, its mean over 3 x 3.</summary>
    private sealed class Bottleneck
    {
        private const int Expansion = 4;

        private readonly Norm _norm;
        private readonly Pointwise _expand, _contract;
        private readonly Pointwise? _shortcut;
        private readonly Convolution _depthwise;
        private readonly bool _isHalved;

        public Bottleneck(WeightReader weights, int inputs, int outputs, int stride)
        {
            // timm rounds the hidden width to a multiple of 8.
            int hidden = Math.Max(8, ((Expansion * outputs) + 4) / 8 * 8);
            _isHalved = stride > 1;
            _norm = new Norm(weights, "pre_norm", inputs);
            _expand = new Pointwise(weights, "conv1_1x1", inputs, hidden);
            _depthwise = new Convolution(weights, "conv2_kxk", hidden, hidden, stride, hidden);
            _contract = new Pointwise(weights, "conv3_1x1", hidden, outputs);
            if (inputs != outputs)
                _shortcut = new Pointwise(weights, _isHalved ? "shortcut.expand" : "shortcut", inputs, outputs);
        }

        /// <summary>Enqueues it; the caller releases what is not its result, once and not twice.</summary>
        public Tensor Forward(IPass pass, in Tensor x, ref int height, ref int width)
        {
            Tensor shortcut = x;
            if (_isHalved)
                shortcut = pass.MapToTokens(pass.AveragePool(pass.TokensToMap(x, height, width), 3, 2, 1));     // [n, h w / 4, inputs]
            if (_shortcut is not null)
                shortcut = _shortcut.Forward(pass, shortcut);
            Tensor y = _expand.Forward(pass, _norm.Forward(pass, x), new Epilogue { Activation = Activation.Gelu });
            y = _depthwise.Forward(pass, y, ref height, ref width, Activation.Gelu);
            return _contract.Forward(pass, y, new Epilogue { Residual = shortcut });
        }
    }

    /// <summary>x + attention(norm(x)), then x + w2 (gelu(w0 y) * w1 y) with y = norm(norm(x)): the gated MLP (arXiv:2002.05202) has a norm of its own.</summary>
    private sealed class Block
    {
        private readonly Norm _norm1, _norm2, _mlpNorm;
        private readonly Weight _queryKeyValueWeight, _queryKeyValueBias, _outWeight, _outBias, _gateWeight, _gateBias, _expandWeight, _expandBias, _contractWeight, _contractBias;
        private readonly int _heads;

        public Block(WeightReader weights, VitaminTower tower)
        {
            int width = tower.Width, hidden = tower.HiddenWidth;
            _heads = tower.Heads;
            _norm1 = new Norm(weights, "norm1", width);
            _queryKeyValueWeight = weights.Read("attn.qkv.weight", WeightRole.Linear, 3 * width, width);
            _queryKeyValueBias = weights.Read("attn.qkv.bias", WeightRole.Vector, 3 * width);
            _outWeight = weights.Read("attn.proj.weight", WeightRole.Linear, width, width);
            _outBias = weights.Read("attn.proj.bias", WeightRole.Vector, width);
            _norm2 = new Norm(weights, "norm2", width);
            _mlpNorm = new Norm(weights, "mlp.norm", width);
            _gateWeight = weights.Read("mlp.w0.weight", WeightRole.Linear, hidden, width);
            _gateBias = weights.Read("mlp.w0.bias", WeightRole.Vector, hidden);
            _expandWeight = weights.Read("mlp.w1.weight", WeightRole.Linear, hidden, width);
            _expandBias = weights.Read("mlp.w1.bias", WeightRole.Vector, hidden);
            _contractWeight = weights.Read("mlp.w2.weight", WeightRole.Linear, width, hidden);
            _contractBias = weights.Read("mlp.w2.bias", WeightRole.Vector, width);
        }

        /// <summary>Enqueues the block; the caller releases what is not its result.</summary>
        public Tensor Forward(IPass pass, in Tensor input)
        {
            Tensor attended = pass.SelfAttention(pass.Linear(_norm1.Forward(pass, input), _queryKeyValueWeight, _queryKeyValueBias), _heads);
            Tensor x = pass.Linear(attended, _outWeight, _outBias, new Epilogue { Residual = input });
            Tensor y = _mlpNorm.Forward(pass, _norm2.Forward(pass, x));
            Tensor gate = pass.Linear(y, _gateWeight, _gateBias, new Epilogue { Activation = Activation.Gelu });
            y = pass.Linear(y, _expandWeight, _expandBias, new Epilogue { Multiplier = gate });                    // [n, t, hidden]
            return pass.Linear(y, _contractWeight, _contractBias, new Epilogue { Residual = x });
        }
    }
}
