using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A learned query attends to all tokens; then x + mlp(norm(x)) (timm's <c>AttentionPoolLatent</c>, transformers' pooling head).</summary>
internal sealed class AttentionPoolLatent
{
    private readonly int _width, _heads;
    private readonly Activation _activation;
    private readonly float _epsilon;
    private readonly Weight _latent, _queryWeight, _queryBias, _keyValueWeight, _keyValueBias, _outWeight, _outBias;
    private readonly Weight _normWeight, _normBias, _expandWeight, _expandBias, _contractWeight, _contractBias;

    /// <summary>Loads the pool.</summary>
    /// <param name="weights">A reader below <c>attn_pool</c>.</param>
    /// <param name="width">Of a token.</param>
    /// <param name="heads">Divides <paramref name="width"/>.</param>
    /// <param name="hidden">Of the MLP.</param>
    /// <param name="activation">The MLP's.</param>
    /// <param name="epsilon">The layer norm's.</param>
    public AttentionPoolLatent(WeightReader weights, int width, int heads, int hidden, Activation activation, float epsilon)
    {
        (_width, _heads, _activation, _epsilon) = (width, heads, activation, epsilon);
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

    /// <summary>Enqueues the pool.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, t, width]</c>.</param>
    /// <param name="mask">Which tokens are seen.</param>
    /// <returns><c>[n, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor x, in AttentionMask mask = default)
    {
        int batch = (int)x.Shape[0], width = _width;
        Tensor query = pass.Linear(pass.BroadcastTokens(_latent, batch), _queryWeight, _queryBias);                    // [n, 1, width]
        Tensor keyValue = pass.Linear(x, _keyValueWeight, _keyValueBias);                                              // [n, t, 2 width]
        Tensor pooled = pass.Attention(query, new TokenView(keyValue, 0, width), new TokenView(keyValue, width, width), _heads, mask);
        pooled = pass.Linear(pooled.Reshape(new Shape(batch, width)), _outWeight, _outBias);                            // [n, width]
        Tensor hidden = pass.LayerNorm(pooled, _normWeight, _normBias, _epsilon);
        hidden = pass.Linear(hidden, _expandWeight, _expandBias, new Epilogue { Activation = _activation });
        return pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Residual = pooled });                 // [n, width]
    }
}
