using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP's image tower: patches, positions, pre-norm blocks, a norm over all tokens, and a pool that attends to them with one learned query.</summary>
internal sealed class SigLipVision : IImageTower
{
    private readonly SigLipVisionConfig _config;
    private readonly Weight _patchKernel, _patchBias, _positions, _normWeight, _normBias;
    private readonly TransformerBlock[] _blocks;
    private readonly AttentionPoolLatent _pool;

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
        _pool = new AttentionPoolLatent(weights.Scope("attn_pool"), width, config.Heads, config.HiddenWidth, config.Activation, config.Epsilon);
    }

    /// <inheritdoc/>
    public int Tokens => _config.GridHeight * _config.GridWidth;

    /// <inheritdoc/>
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
        return weights.Compute(isTrainedGrid ? Key : $"{Key} at {_config.GridHeight} x {_config.GridWidth}", WeightRole.Tokens, Values, [(Key, new Shape(expected))], tokens, width);

        float[] Values()
        {
            if (isTrainedGrid)
                return weights.ReadValues(Key, expected);
            float[] resized = new float[tokens * width];
            PositionGrid.Resize(weights.ReadValues(Key, expected), ((int)side, (int)side), resized, (_config.GridHeight, _config.GridWidth), (int)width);
            return resized;
        }
    }
}
