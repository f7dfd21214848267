using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP's image tower: patches, class token, positions, pre-norm blocks, a norm over all tokens.</summary>
internal sealed class BlipVision
{
    private readonly BlipVisionConfig _config;
    private readonly Weight _patchKernel, _patchBias, _classToken, _positions, _normWeight, _normBias;
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader below <c>visual_encoder</c>.</param>
    public BlipVision(BlipVisionConfig config, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _patchKernel = weights.Read("patch_embed.proj.weight", WeightRole.PatchEmbedding, width, 3, config.PatchSize, config.PatchSize);
        _patchBias = weights.Read("patch_embed.proj.bias", WeightRole.Vector, width);
        _classToken = weights.CreateFromValues("cls_token", WeightRole.Tokens, weights.ReadValues("cls_token", 1, 1, width), width);
        _positions = weights.Compute("pos_embed", WeightRole.Tokens, () => weights.ReadValues("pos_embed", 1, config.Tokens, width), [("pos_embed", new Shape(1, config.Tokens, width))], config.Tokens, width);
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = TimmBlock.Read(weights.Scope($"blocks.{layer}"), width, config.HiddenWidth, config.Heads, Activation.Gelu, config.Epsilon);
        _normWeight = weights.Read("norm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("norm.bias", WeightRole.Vector, width);
    }

    /// <summary>Enqueues the tower.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="pixels"><c>[n, 3, size, size]</c>.</param>
    /// <returns><c>[n, tokens, width]</c>, the class token first.</returns>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        Shape expected = new(pixels.Shape[0], 3, _config.ImageSize, _config.ImageSize);
        if (pixels.Shape != expected)
            throw new ArgumentException($"expected pixels {expected}, found {pixels.Shape}.", nameof(pixels));
        long mark = pass.EnterScope();
        Tensor x = pass.PatchEmbedding(pixels, _patchKernel, _patchBias);                                   // [n, grid, width]
        x = pass.AssembleTokens(x, _classToken, _positions);                                                // [n, 1 + grid, width]
        x = pass.TransformerStack(x, _blocks);
        return pass.LeaveScope(mark, pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon));           // [n, 1 + grid, width]
    }
}
