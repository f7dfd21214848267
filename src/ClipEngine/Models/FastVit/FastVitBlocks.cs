using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Gates a map's channels by what two layers make of their means (arXiv:1709.01507).</summary>
internal sealed class SqueezeExcite
{
    private readonly Weight _squeezeWeight, _squeezeBias, _exciteWeight, _exciteBias;

    /// <summary>Reads the two layers.</summary>
    /// <param name="weights">A reader below <c>se</c>.</param>
    /// <param name="width">Channels.</param>
    /// <param name="squeezed">Channels between the layers.</param>
    public SqueezeExcite(WeightReader weights, int width, int squeezed)
    {
        _squeezeWeight = weights.ReadAs("fc1.weight", WeightRole.Linear, new Shape(squeezed, width), squeezed, width, 1, 1);
        _squeezeBias = weights.Read("fc1.bias", WeightRole.Vector, squeezed);
        _exciteWeight = weights.ReadAs("fc2.weight", WeightRole.Linear, new Shape(width, squeezed), width, squeezed, 1, 1);
        _exciteBias = weights.Read("fc2.bias", WeightRole.Vector, width);
    }

    /// <summary>Enqueues it, with GELU behind it; the caller releases what is not its result.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, h w, width]</c>.</param>
    /// <returns><c>[n, h w, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor x)
    {
        Tensor gates = pass.Linear(pass.MeanTokens(x), _squeezeWeight, _squeezeBias, new Epilogue { Activation = Activation.Relu });     // [n, 1, squeezed]
        return pass.GateTokens(x, pass.Linear(gates, _exciteWeight, _exciteBias), Activation.Gelu);
    }
}

/// <summary>One stage: a halved map but in the first, positions where the blocks attend, and the blocks.</summary>
internal sealed class FastVitStage
{
    private const int LargeSide = 7;

    private readonly FusedConvolution? _down, _channels, _positions;
    private readonly SqueezeExcite? _squeeze;
    private readonly FastVitAttention?[] _attentions;
    private readonly ConvolutionBlock[] _blocks;

    /// <summary>Loads the stage.</summary>
    public FastVitStage(FastVitTower tower, int stage, WeightReader weights)
    {
        int width = tower.Widths[stage];
        bool attends = stage >= tower.FirstAttention;
        if (stage > 0)
        {
            int inputs = tower.Widths[stage - 1];
            WeightReader down = weights.Scope("downsample.proj");
            _down = BranchedConvolution.ReadLargeKernel(down.Scope("0"), inputs, width, LargeSide, 2);
            // timm rounds a quarter of the width to a multiple of 8.
            if (tower.IsSmall && stage >= 2)
                _squeeze = new SqueezeExcite(down.Scope("0.se"), width, RoundToEight(width / 4.0));
            _channels = BranchedConvolution.ReadMobileOne(down.Scope("1"), width, width, 1);
        }

        if (attends)
            _positions = BranchedConvolution.ReadPositions(weights.Scope("pos_emb"), width, LargeSide);
        _attentions = new FastVitAttention?[tower.Depths[stage]];
        _blocks = new ConvolutionBlock[tower.Depths[stage]];
        for (int block = 0; block < _blocks.Length; block++)
        {
            WeightReader scope = weights.Scope($"blocks.{block}");
            _attentions[block] = attends ? new FastVitAttention(tower, width, scope) : null;
            _blocks[block] = ReadBlock(scope, width, tower.MlpRatio * width, attends);
        }
    }

    /// <summary>Enqueues the stage.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="input"><c>[n, h w, inputs]</c>.</param>
    /// <param name="height">Rows of the map; becomes the result's.</param>
    /// <param name="width">Columns of the map; becomes the result's.</param>
    /// <returns><c>[n, h w, width]</c> of the result's map; the caller releases the rest.</returns>
    public Tensor Forward(IPass pass, in Tensor input, ref int height, ref int width)
    {
        Tensor x = input;
        if (_down is not null)
        {
            x = _down.Forward(pass, x, ref height, ref width, _squeeze is null ? Activation.Gelu : Activation.None);
            x = _squeeze is null ? x : _squeeze.Forward(pass, x);
            x = _channels!.Forward(pass, x, ref height, ref width, Activation.Gelu);
        }

        if (_positions is not null)
            x = _positions.Forward(pass, x, ref height, ref width);
        if (_attentions[0] is null)
            return pass.ConvolutionStack(x, height, width, _blocks);
        long mark = pass.EnterScope();
        for (int block = 0; block < _blocks.Length; block++)
            x = pass.ReleaseAllBut(mark, pass.ConvolutionStack(_attentions[block]!.Forward(pass, x), height, width, _blocks.AsSpan(block, 1)));
        return pass.LeaveScope(mark, x);
    }

    /// <summary>What mixes the pixels of a map whose blocks do not attend, and x + scale mlp(convolution(x)) with a depthwise convolution of 7 x 7.</summary>
    private static ConvolutionBlock ReadBlock(WeightReader weights, int width, int hidden, bool attends)
    {
        const int MixerSide = 3, MlpSide = 7;
        FusedConvolution? mixer = attends ? null : BranchedConvolution.ReadMixer(weights.Scope("token_mixer"), width, MixerSide);
        (Weight kernel, Weight bias) = BatchNormFolding.ReadConvolution(weights, "mlp.conv.conv", "mlp.conv.bn", width, 1, MlpSide, MlpSide);
        return new()
        {
            MixerKernel = mixer?.Kernel,
            MixerBias = mixer?.Bias,
            Kernel = kernel,
            Bias = bias,
            ExpandWeight = weights.ReadAs("mlp.fc1.weight", WeightRole.Linear, new Shape(hidden, width), hidden, width, 1, 1),
            ExpandBias = weights.Read("mlp.fc1.bias", WeightRole.Vector, hidden),
            ContractWeight = weights.ReadAs("mlp.fc2.weight", WeightRole.Linear, new Shape(width, hidden), width, hidden, 1, 1),
            ContractBias = weights.Read("mlp.fc2.bias", WeightRole.Vector, width),
            LayerScale = weights.ReadAs($"{(attends ? "layer_scale_2" : "layer_scale")}.gamma", WeightRole.Vector, new Shape(width), width, 1, 1),
            Activation = Activation.Gelu,
        };
    }

    /// <summary>timm's <c>make_divisible</c> without a limit: the nearest multiple of 8, at least 8.</summary>
    private static int RoundToEight(double value)
    {
        const int Divisor = 8;
        return Math.Max(Divisor, (int)(value + (Divisor / 2.0)) / Divisor * Divisor);
    }
}

/// <summary>x + scale attention(norm(x)) with heads 32 wide.</summary>
internal sealed class FastVitAttention
{
    private const float Epsilon = 1e-5f;

    private readonly Weight? _normWeight, _normBias, _queryKeyValueBias;
    private readonly Weight _queryKeyValueWeight, _outWeight, _outBias, _scale;
    private readonly int _heads;

    /// <summary>Loads it.</summary>
    public FastVitAttention(FastVitTower tower, int width, WeightReader weights)
    {
        _heads = width / FastVitVision.HeadWidth;
        if (tower.IsSmall)
        {
            (_queryKeyValueWeight, _queryKeyValueBias) = ReadNormedProjection(weights, width);
        }
        else
        {
            _normWeight = weights.Read("norm.weight", WeightRole.Vector, width);
            _normBias = weights.Read("norm.bias", WeightRole.Vector, width);
            _queryKeyValueWeight = weights.Read("token_mixer.qkv.weight", WeightRole.Linear, 3 * width, width);
        }

        _outWeight = weights.Read("token_mixer.proj.weight", WeightRole.Linear, width, width);
        _outBias = weights.Read("token_mixer.proj.bias", WeightRole.Vector, width);
        _scale = weights.ReadAs("layer_scale_1.gamma", WeightRole.Vector, new Shape(width), width, 1, 1);
    }

    /// <summary>Enqueues it; the caller releases what is not its result.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, h w, width]</c>.</param>
    /// <returns><c>[n, h w, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor x)
    {
        Tensor normed = _normWeight is null ? x : pass.LayerNorm(x, _normWeight, _normBias!, Epsilon);
        Tensor attended = pass.SelfAttention(pass.Linear(normed, _queryKeyValueWeight, _queryKeyValueBias), _heads);
        return pass.Linear(attended, _outWeight!, _outBias, new Epilogue { Scale = _scale, Residual = x });
    }

    /// <summary>A batch norm in front of a linear layer is part of it: W' = W diag(factors), b' = W shifts.</summary>
    private static (Weight Weight, Weight Bias) ReadNormedProjection(WeightReader weights, int width)
    {
        const string Key = "token_mixer.qkv.weight";
        if (!weights.TakesValues)
            weights.Require(Key, new Shape(3 * width, width));
        float[] matrix = weights.TakesValues ? weights.ReadValues(Key, 3 * width, width) : [];
        (double[] factors, double[] shifts) = BatchNormFolding.Read(weights, "norm", width);
        float[] bias = new float[3 * width];
        for (int row = 0; row < bias.Length && weights.TakesValues; row++)
        {
            double sum = 0;
            for (int i = 0; i < width; i++)
            {
                ref float value = ref matrix[(row * width) + i];
                sum += value * shifts[i];
                value = (float)(value * factors[i]);
            }

            bias[row] = (float)sum;
        }

        return (weights.Compute($"{Key} behind its batch norm", WeightRole.Linear, () => matrix, [], 3 * width, width),
            weights.CreateFromValues("token_mixer.qkv, bias of its batch norm", WeightRole.Vector, bias, 3 * width));
    }
}
