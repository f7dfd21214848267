using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A block of timm's <c>eva.py</c>, with what its towers differ by: rotary positions, gated MLP, inner norms, norms of the residual branches.</summary>
internal sealed class EvaBlock
{
    private readonly TimmTower _tower;
    private readonly Weight _norm1Weight, _norm1Bias, _norm2Weight, _norm2Bias, _outWeight, _outBias, _contractWeight, _contractBias;
    private readonly Weight? _fusedWeight, _fusedBias, _queryWeight, _queryBias, _keyWeight, _valueWeight, _valueBias, _innerNormWeight, _innerNormBias;
    private readonly Weight? _expandWeight, _expandBias, _gateWeight, _gateBias, _hiddenNormWeight, _hiddenNormBias, _scale1, _scale2;

    /// <summary>Loads the block.</summary>
    /// <param name="tower">Sizes and options.</param>
    /// <param name="weights">A reader below <c>blocks.N</c>.</param>
    public EvaBlock(TimmTower tower, WeightReader weights)
    {
        _tower = tower;
        int width = tower.Width, hidden = tower.HiddenWidth;
        (_norm1Weight, _norm1Bias) = ReadNorm(weights, "norm1", width);
        (_norm2Weight, _norm2Bias) = ReadNorm(weights, "norm2", width);
        if (tower.HasSeparateProjections)
        {
            _queryWeight = weights.Read("attn.q_proj.weight", WeightRole.Linear, width, width);
            _queryBias = weights.Read("attn.q_proj.bias", WeightRole.Vector, width);
            _keyWeight = weights.Read("attn.k_proj.weight", WeightRole.Linear, width, width);
            _valueWeight = weights.Read("attn.v_proj.weight", WeightRole.Linear, width, width);
            _valueBias = weights.Read("attn.v_proj.bias", WeightRole.Vector, width);
        }
        else
        {
            _fusedWeight = weights.Read("attn.qkv.weight", WeightRole.Linear, 3 * width, width);
            if (tower.HasFusedBias)
            {
                _fusedBias = weights.Read("attn.qkv.bias", WeightRole.Vector, 3 * width);
            }
            else if (tower.HasQueryValueBias)
            {
                float[] bias = [.. weights.ReadValues("attn.q_bias", width), .. new float[width], .. weights.ReadValues("attn.v_bias", width)];
                _fusedBias = weights.CreateFromValues("attn.q_bias and v_bias", WeightRole.Vector, bias, 3 * width);
            }
        }

        _outWeight = weights.Read("attn.proj.weight", WeightRole.Linear, width, width);
        _outBias = weights.Read("attn.proj.bias", WeightRole.Vector, width);
        if (tower.IsGated)
        {
            (_innerNormWeight, _innerNormBias) = ReadNorm(weights, "attn.norm", width);
            _gateWeight = weights.Read("mlp.fc1_g.weight", WeightRole.Linear, hidden, width);
            _gateBias = weights.Read("mlp.fc1_g.bias", WeightRole.Vector, hidden);
            _expandWeight = weights.Read("mlp.fc1_x.weight", WeightRole.Linear, hidden, width);
            _expandBias = weights.Read("mlp.fc1_x.bias", WeightRole.Vector, hidden);
            (_hiddenNormWeight, _hiddenNormBias) = ReadNorm(weights, "mlp.norm", hidden);
        }
        else
        {
            _expandWeight = weights.Read("mlp.fc1.weight", WeightRole.Linear, hidden, width);
            _expandBias = weights.Read("mlp.fc1.bias", WeightRole.Vector, hidden);
        }

        _contractWeight = weights.Read("mlp.fc2.weight", WeightRole.Linear, width, hidden);
        _contractBias = weights.Read("mlp.fc2.bias", WeightRole.Vector, width);
        if (tower.HasLayerScale)
        {
            _scale1 = weights.Read("ls1.gamma", WeightRole.Vector, width);
            _scale2 = weights.Read("ls2.gamma", WeightRole.Vector, width);
        }
    }

    /// <summary>Enqueues the block.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="input"><c>[n, t, width]</c>.</param>
    /// <param name="cosines">Of the rotary positions, or null.</param>
    /// <param name="sines">Of the rotary positions, or null.</param>
    /// <returns><c>[n, t, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor input, Weight? cosines, Weight? sines)
    {
        float epsilon = _tower.Epsilon;
        long mark = pass.EnterScope();
        if (_tower.NormsResiduals)
        {
            Tensor attended = Project(pass, Attend(pass, input, cosines, sines), default);
            Tensor sum = pass.Add(input, pass.LayerNorm(attended, _norm1Weight, _norm1Bias, epsilon));
            return pass.LeaveScope(mark, pass.Add(sum, pass.LayerNorm(Mlp(pass, sum, default), _norm2Weight, _norm2Bias, epsilon)));
        }

        Tensor x = Project(pass, Attend(pass, pass.LayerNorm(input, _norm1Weight, _norm1Bias, epsilon), cosines, sines), input);
        return pass.LeaveScope(mark, Mlp(pass, pass.LayerNorm(x, _norm2Weight, _norm2Bias, epsilon), x));
    }

    private static (Weight Weight, Weight Bias) ReadNorm(WeightReader weights, string name, int width) =>
        (weights.Read($"{name}.weight", WeightRole.Vector, width), weights.Read($"{name}.bias", WeightRole.Vector, width));

    private Tensor Attend(IPass pass, in Tensor x, Weight? cosines, Weight? sines)
    {
        long width = _tower.Width;
        TokenView query, key, value;
        if (_tower.HasSeparateProjections)
        {
            query = new TokenView(pass.Linear(x, _queryWeight!, _queryBias), 0, width);
            key = new TokenView(pass.Linear(x, _keyWeight!, bias: null), 0, width);
            value = new TokenView(pass.Linear(x, _valueWeight!, _valueBias), 0, width);
        }
        else
        {
            Tensor fused = pass.Linear(x, _fusedWeight!, _fusedBias);               // [n, t, 3 width]
            query = new TokenView(fused, 0, width);
            key = new TokenView(fused, width, width);
            value = new TokenView(fused, 2 * width, width);
        }

        if (cosines is not null)
        {
            query = new TokenView(pass.Rotary(query, cosines, sines!, _tower.Heads, RotaryPairing.Interleaved), 0, width);
            key = new TokenView(pass.Rotary(key, cosines, sines!, _tower.Heads, RotaryPairing.Interleaved), 0, width);
        }

        Tensor attended = pass.Attention(query, key, value, _tower.Heads);          // [n, t, width]
        return _innerNormWeight is null ? attended : pass.LayerNorm(attended, _innerNormWeight, _innerNormBias!, _tower.Epsilon);
    }

    private Tensor Project(IPass pass, in Tensor attended, in Tensor residual) =>
        pass.Linear(attended, _outWeight, _outBias, new Epilogue { Scale = _scale1, Residual = residual });

    private Tensor Mlp(IPass pass, in Tensor x, in Tensor residual)
    {
        Tensor hidden;
        if (_tower.IsGated)
        {
            Tensor gate = pass.Linear(x, _gateWeight!, _gateBias, new Epilogue { Activation = Activation.Silu });
            hidden = pass.Linear(x, _expandWeight!, _expandBias, new Epilogue { Multiplier = gate });                    // [n, t, hidden]
            hidden = pass.LayerNorm(hidden, _hiddenNormWeight!, _hiddenNormBias!, _tower.Epsilon);
        }
        else
        {
            hidden = pass.Linear(x, _expandWeight!, _expandBias, new Epilogue { Activation = Activation.Gelu });
        }

        return pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Scale = _scale2, Residual = residual });
    }
}
