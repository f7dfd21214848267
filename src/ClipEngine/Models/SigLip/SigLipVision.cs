using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP's image tower: patches, positions, pre-norm blocks, a norm over all tokens, and a pool that attends to them with one learned query.</summary>
internal sealed class SigLipVision
{
    private readonly SigLipVisionConfig _config;
    private readonly Weight _patchKernel, _patchBias, _positions, _normWeight, _normBias;
    private readonly TransformerBlock[] _blocks;
    private readonly MapPool _pool;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader below <c>visual.trunk</c>.</param>
    public SigLipVision(SigLipVisionConfig config, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _patchKernel = weights.Read("patch_embed.proj.weight", WeightRole.PatchEmbedding, width, 3, config.PatchSize, config.PatchSize);
        _patchBias = weights.Read("patch_embed.proj.bias", WeightRole.Vector, width);
        _positions = ReadPositions(weights);
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = TimmBlock.Read(weights.Scope($"blocks.{layer}"), width, config.HiddenWidth, config.Heads, config.Activation, config.Epsilon);
        _normWeight = weights.Read("norm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("norm.bias", WeightRole.Vector, width);
        _pool = new MapPool(config, weights.Scope("attn_pool"));
    }

    /// <summary>Enqueues the tower.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>.</param>
    /// <returns><c>[n, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = pass.PatchEmbedding(pixels, _patchKernel, _patchBias);           // [n, grid, width]
        x = pass.AssembleTokens(x, firstToken: null, _positions);                   // [n, grid, width]
        x = pass.TransformerStack(x, _blocks);                                      // [n, grid, width]
        x = pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon);             // [n, grid, width]
        return pass.LeaveScope(mark, _pool.Forward(pass, x));                       // [n, width]
    }

    /// <summary>timm keeps <c>[1, grid, width]</c>, transformers <c>[grid, width]</c>; another grid than the trained one has them resized, as timm's <c>resample_abs_pos_embed</c> does.</summary>
    private Weight ReadPositions(WeightReader weights)
    {
        const string Key = "pos_embed";
        long width = _config.Width, tokens = (long)_config.GridHeight * _config.GridWidth;
        long[] stored = weights.DimensionsOf(Key) is { } found && found.Length is 2 or 3 ? [.. found] : [1, tokens, width];
        long trained = stored[^2];
        long side = (long)Math.Round(Math.Sqrt(trained));
        bool isTrainedGrid = trained == tokens || side * side != trained;
        long[] expected = stored.Length == 3 ? [1, isTrainedGrid ? tokens : trained, width] : [isTrainedGrid ? tokens : trained, width];
        float[] values = weights.ReadValues(Key, expected);
        if (isTrainedGrid)
            return weights.CreateFromValues(Key, WeightRole.Tokens, values, tokens, width);
        float[] resized = new float[tokens * width];
        PositionGrid.Resize(values, ((int)side, (int)side), resized, (_config.GridHeight, _config.GridWidth), (int)width);
        return weights.CreateFromValues($"{Key} at {_config.GridHeight} x {_config.GridWidth}", WeightRole.Tokens, resized, tokens, width);
    }

    /// <summary>A learned query attends to all tokens; then x + mlp(norm(x)) (timm's <c>AttentionPoolLatent</c>, transformers' pooling head).</summary>
    private sealed class MapPool
    {
        private readonly SigLipVisionConfig _config;
        private readonly Weight _latent, _queryWeight, _queryBias, _keyValueWeight, _keyValueBias, _outWeight, _outBias;
        private readonly Weight _normWeight, _normBias, _expandWeight, _expandBias, _contractWeight, _contractBias;

        public MapPool(SigLipVisionConfig config, WeightReader weights)
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

        public Tensor Forward(IPass pass, in Tensor x)
        {
            int batch = (int)x.Shape[0], width = _config.Width;
            Tensor query = pass.Linear(pass.BroadcastTokens(_latent, batch), _queryWeight, _queryBias);                    // [n, 1, width]
            Tensor keyValue = pass.Linear(x, _keyValueWeight, _keyValueBias);                                              // [n, t, 2 width]
            Tensor pooled = pass.Attention(query, new TokenView(keyValue, 0, width), new TokenView(keyValue, width, width), _config.Heads);
            pooled = pass.Linear(pooled.Reshape(new Shape(batch, width)), _outWeight, _outBias);                            // [n, width]
            Tensor hidden = pass.LayerNorm(pooled, _normWeight, _normBias, _config.Epsilon);
            hidden = pass.Linear(hidden, _expandWeight, _expandBias, new Epilogue { Activation = _config.Activation });
            return pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Residual = pooled });                 // [n, width]
        }
    }
}
