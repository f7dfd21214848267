using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A learned query attends to all tokens; then x + mlp(norm(x)) (timm's <c>AttentionPoolLatent</c>, transformers' pooling head).</summary>
internal sealed class SigLipPool
{
    private readonly SigLipVisionConfig _config;
    private readonly Weight _latent, _queryWeight, _queryBias, _keyValueWeight, _keyValueBias, _outWeight, _outBias;
    private readonly Weight _normWeight, _normBias, _expandWeight, _expandBias, _contractWeight, _contractBias;

    public SigLipPool(SigLipVisionConfig config, WeightReader weights)
    {
        _config = config;
        int width = config.Width, hidden = config.HiddenWidth;
        float[] latent = weights.ReadValues("latent", 1, 1, width);
        _latent = weights.CreateFromValues("latent", WeightRole.Tokens, latent, 1, width);
        if (weights.Contains("in_proj_weight"))
        {
            _queryWeight = weights.ReadRows("in_proj_weight", WeightRole.Linear, 0, width, 3 * width, width);
            _queryBias = weights.ReadRows("in_proj_bias", WeightRole.Vector, 0, width, 3 * width);
            _keyValueWeight = weights.ReadRows("in_proj_weight", WeightRole.Linear, width, 2 * width, 3 * width, width);
            _keyValueBias = weights.ReadRows("in_proj_bias", WeightRole.Vector, width, 2 * width, 3 * width);
        }
        else
        {
            _queryWeight = weights.Read("q.weight", WeightRole.Linear, width, width);
            _queryBias = weights.Read("q.bias", WeightRole.Vector, width);
            _keyValueWeight = weights.Read("kv.weight", WeightRole.Linear, 2 * width, width);
            _keyValueBias = weights.Read("kv.bias", WeightRole.Vector, 2 * width);
        }

        _outWeight = weights.Read("proj.weight", WeightRole.Linear, width, width);
        _outBias = weights.Read("proj.bias", WeightRole.Vector, width);
        _normWeight = weights.Read("norm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("norm.bias", WeightRole.Vector, width);
        _expandWeight = weights.Read("mlp.fc1.weight", WeightRole.Linear, hidden, width);
        _expandBias = weights.Read("mlp.fc1.bias", WeightRole.Vector, hidden);
        _contractWeight = weights.Read("mlp.fc2.weight", WeightRole.Linear, width, hidden);
        _contractBias = weights.Read("mlp.fc2.bias", WeightRole.Vector, width);
    }

    public Tensor Forward(IPass pass, in Tensor x, in AttentionMask mask = default)
    {
        int batch = (int)x.Shape[0], width = _config.Width;
        Tensor query = pass.Linear(pass.BroadcastTokens(_latent, batch), _queryWeight, _queryBias);                    // [n, 1, width]
        Tensor keyValue = pass.Linear(x, _keyValueWeight, _keyValueBias);                                              // [n, t, 2 width]
        Tensor pooled = pass.Attention(query, new TokenView(keyValue, 0, width), new TokenView(keyValue, width, width), _config.Heads, mask);
        pooled = pass.Linear(pooled.Reshape(new Shape(batch, width)), _outWeight, _outBias);                            // [n, width]
        Tensor hidden = pass.LayerNorm(pooled, _normWeight, _normBias, _config.Epsilon);
        hidden = pass.Linear(hidden, _expandWeight, _expandBias, new Epilogue { Activation = _config.Activation });
        return pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Residual = pooled });                 // [n, width]
    }
}
