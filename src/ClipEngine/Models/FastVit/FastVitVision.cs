using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// MobileCLIP's FastViT (arXiv:2303.14189): a stem of three convolutions, stages of blocks that mix pixels by convolutions and in the last stages
/// by attention, and a last convolution with a squeeze-and-excitation before the mean. The map is kept as tokens.
/// </summary>
internal sealed class FastVitVision : IImageTower
{
    /// <summary>Channels of a head.</summary>
    public const int HeadWidth = 32;

    /// <summary>The last convolution makes two channels of one, and its squeeze has a sixteenth of them.</summary>
    private const int LastMultiplier = 2, LastSqueeze = 16;

    private readonly FastVitTower _tower;
    private readonly FusedConvolution[] _stem;
    private readonly FastVitStage[] _stages;
    private readonly FusedConvolution _last;
    private readonly SqueezeExcite _squeeze;
    private readonly TimmProjection _projection;

    /// <summary>Loads the tower.</summary>
    /// <param name="tower">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public FastVitVision(FastVitTower tower, int embedDimension, WeightReader weights)
    {
        _tower = tower;
        WeightReader trunk = weights.Scope("trunk");
        int width = tower.Widths[0], last = LastMultiplier * tower.Widths[^1];
        _stem =
        [
            BranchedConvolution.ReadMobileOne(trunk.Scope("stem.0"), 3, width, 3, 2, hasScale: tower.IsSmall),
            BranchedConvolution.ReadMobileOne(trunk.Scope("stem.1"), width, width, 3, 2, width, tower.IsSmall),
            BranchedConvolution.ReadMobileOne(trunk.Scope("stem.2"), width, width, 1),
        ];
        _stages = new FastVitStage[tower.Depths.Length];
        for (int stage = 0; stage < _stages.Length; stage++)
            _stages[stage] = new FastVitStage(tower, stage, trunk.Scope($"stages.{stage}"));
        _last = BranchedConvolution.ReadMobileOne(trunk.Scope("final_conv"), tower.Widths[^1], last, 3, 1, tower.Widths[^1]);
        _squeeze = new SqueezeExcite(trunk.Scope("final_conv.se"), last, last / LastSqueeze);
        _projection = new TimmProjection(tower.Projection, last, embedDimension, weights, "head.fc");
    }

    /// <summary>Pixels of the second stage's map: the early maps are what an image's memory goes to.</summary>
    public int Tokens => (_tower.Size.Height / 8) * (_tower.Size.Width / 8);

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        int height = (int)pixels.Shape[2], width = (int)pixels.Shape[3];
        long mark = pass.EnterScope();
        Tensor x = pass.MapToTokens(pixels);                                                                // [n, h w, 3]
        foreach (FusedConvolution convolution in _stem)
            x = convolution.Forward(pass, x, ref height, ref width, Activation.Gelu);
        foreach (FastVitStage stage in _stages)
            x = pass.ReleaseAllBut(mark, stage.Forward(pass, x, ref height, ref width));
        x = _squeeze.Forward(pass, _last.Forward(pass, x, ref height, ref width));                          // [n, h w, 2 widths[^1]]
        x = pass.MeanTokens(x);
        return pass.LeaveScope(mark, _projection.Forward(pass, x.Reshape(new Shape(x.Shape[0], x.Shape[2]))));   // [n, embed_dim]
    }
}
