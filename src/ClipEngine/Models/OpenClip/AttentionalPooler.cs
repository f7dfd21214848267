using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Learned queries that look at an image's tokens (CoCa, arXiv:2205.01917, section 3.2; open_clip's <c>AttentionalPooler</c>).</summary>
internal sealed class AttentionalPooler
{
    private readonly Weight _query, _normQueryWeight, _normQueryBias, _normKeyWeight, _normKeyBias;
    private readonly Weight _queryWeight, _keyWeight, _valueWeight, _queryBias, _keyBias, _valueBias, _outWeight, _outBias;
    private readonly int _heads;
    private readonly float _epsilon;

    /// <summary>Loads the pooler.</summary>
    /// <param name="weights">A reader below <c>attn_pool</c>.</param>
    /// <param name="queries">How many tokens come out.</param>
    /// <param name="width">Of the queries and of what comes out.</param>
    /// <param name="contextWidth">Of the tokens that are looked at.</param>
    /// <param name="heads">Divides <paramref name="width"/>.</param>
    /// <param name="epsilon">The layer norms'.</param>
    public AttentionalPooler(WeightReader weights, int queries, int width, int contextWidth, int heads, float epsilon)
    {
        _heads = heads;
        _epsilon = epsilon;
        _query = weights.Read("query", WeightRole.Tokens, queries, width);
        _normQueryWeight = weights.Read("ln_q.weight", WeightRole.Vector, width);
        _normQueryBias = weights.Read("ln_q.bias", WeightRole.Vector, width);
        _normKeyWeight = weights.Read("ln_k.weight", WeightRole.Vector, contextWidth);
        _normKeyBias = weights.Read("ln_k.bias", WeightRole.Vector, contextWidth);
        if (width == contextWidth)
        {
            // torch.nn.MultiheadAttention keeps one fused matrix where the widths agree, and three where they do not.
            _queryWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, 0, width, 3 * width, width);
            _keyWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, width, width, 3 * width, width);
            _valueWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, 2 * width, width, 3 * width, width);
        }
        else
        {
            _queryWeight = weights.Read("attn.q_proj_weight", WeightRole.Linear, width, width);
            _keyWeight = weights.Read("attn.k_proj_weight", WeightRole.Linear, width, contextWidth);
            _valueWeight = weights.Read("attn.v_proj_weight", WeightRole.Linear, width, contextWidth);
        }

        _queryBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, 0, width, 3 * width);
        _keyBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, width, width, 3 * width);
        _valueBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, 2 * width, width, 3 * width);
        _outWeight = weights.Read("attn.out_proj.weight", WeightRole.Linear, width, width);
        _outBias = weights.Read("attn.out_proj.bias", WeightRole.Vector, width);
    }

    /// <summary>Enqueues the pooler.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, t, contextWidth]</c>.</param>
    /// <returns><c>[n, queries, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor x)
    {
        int batch = (int)x.Shape[0];
        long mark = pass.EnterScope();
        Tensor context = pass.LayerNorm(x, _normKeyWeight, _normKeyBias, _epsilon);                                                  // [n, t, contextWidth]
        Tensor query = pass.LayerNorm(pass.BroadcastTokens(_query, batch), _normQueryWeight, _normQueryBias, _epsilon);              // [n, queries, width]
        query = pass.Linear(query, _queryWeight, _queryBias);                                                                       // [n, queries, width]
        Tensor key = pass.Linear(context, _keyWeight, _keyBias);                                                                    // [n, t, width]
        Tensor value = pass.Linear(context, _valueWeight, _valueBias);                                                              // [n, t, width]
        Tensor attended = pass.Attention(query, key, value, _heads);                                                           // [n, queries, width]
        return pass.LeaveScope(mark, pass.Linear(attended, _outWeight, _outBias));                                                  // [n, queries, width]
    }
}
