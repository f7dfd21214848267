using System.Globalization;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>How a timm transformer's tokens become one feature.</summary>
internal enum TimmPooling
{
    /// <summary>The class token behind the last norm (<c>token</c>).</summary>
    ClassToken,

    /// <summary>The mean of all tokens behind the last norm (<c>avg</c>).</summary>
    Average,

    /// <summary>A learned query attends to all tokens (<c>map</c>).</summary>
    Attention,
}

/// <summary>Rotary positions of a grid of patches: which axis the first half of a head's channels takes, and how an index becomes a coordinate.</summary>
internal sealed record TimmRotary
{
    /// <summary>Columns first (<c>rope_grid_indexing="xy"</c>), else rows first.</summary>
    public bool ColumnsFirst { get; init; }

    /// <summary><c>rope_grid_offset</c>, added to an index before it is scaled.</summary>
    public double Offset { get; init; }

    /// <summary><c>ref_feat_shape</c>: the grid that coordinates are scaled to.</summary>
    public required (int Height, int Width) Reference { get; init; }
}

/// <summary>
/// An image tower that open_clip opens by a name of timm: EVA (arXiv:2211.07636), EVA02 (arXiv:2303.11331), the Perception Encoder
/// (arXiv:2504.13181), and timm's own vision transformers, MobileCLIP-B's (arXiv:2311.17049) among them.
/// </summary>
internal sealed record TimmTower : ImageTowerConfig
{
    /// <summary>What messages call the model.</summary>
    public required string Name { get; init; }

    /// <summary>Rows of pixels.</summary>
    public required int ImageHeight { get; init; }

    /// <summary>Columns of pixels.</summary>
    public required int ImageWidth { get; init; }

    /// <summary>The side of a square patch in pixels.</summary>
    public required int PatchSize { get; init; }

    /// <summary>Of a token.</summary>
    public required int Width { get; init; }

    /// <summary>Blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Of the blocks.</summary>
    public required int Heads { get; init; }

    /// <summary>Hidden units of the MLP for each of a token's; the product is cut to a whole number, as in timm.</summary>
    public required double MlpRatio { get; init; }

    /// <summary>The layer norms'. timm's default, which its CLIP towers and the Perception Encoder replace.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>Whether a class token stands before the patches.</summary>
    public bool HasClassToken { get; init; } = true;

    /// <summary>Whether the class token has a position (<c>no_embed_class</c>, negated).</summary>
    public bool ClassTokenHasPosition { get; init; } = true;

    /// <summary>Whether a norm stands before the blocks (<c>norm_pre</c>); the patch convolution then has no bias.</summary>
    public bool HasPreNorm { get; init; }

    /// <summary>Three convolutions in place of one (MobileCLIP-B).</summary>
    public bool HasConvolutionalStem { get; init; }

    /// <summary>Queries, keys and values are three layers (EVA02's smaller towers); keys never have a bias there.</summary>
    public bool HasSeparateProjections { get; init; }

    /// <summary>The fused projection has <c>q_bias</c> and <c>v_bias</c> beside it (EVA); keys have none.</summary>
    public bool HasQueryValueBias { get; init; }

    /// <summary>The fused projection has a bias of its own.</summary>
    public bool HasFusedBias { get; init; }

    /// <summary>SwiGLU with a norm inside, and a norm between attention and its output layer (EVA02's smaller towers).</summary>
    public bool IsGated { get; init; }

    /// <summary>x + norm(f(x)) in place of x + f(norm(x)) (EVA02-E).</summary>
    public bool NormsResiduals { get; init; }

    /// <summary>Whether the blocks have a layer scale.</summary>
    public bool HasLayerScale { get; init; }

    /// <summary>Rotary positions beside the learned ones; null for none.</summary>
    public TimmRotary? Rotary { get; init; }

    /// <summary>How tokens become one feature.</summary>
    public TimmPooling Pooling { get; init; }

    /// <summary>Hidden units of the MLP.</summary>
    public int HiddenWidth => (int)(Width * MlpRatio);

    /// <summary>Rows of patches.</summary>
    public int GridHeight => ImageHeight / PatchSize;

    /// <summary>Columns of patches.</summary>
    public int GridWidth => ImageWidth / PatchSize;

    /// <summary>Tokens of an image, the class token included.</summary>
    public int Tokens => (GridHeight * GridWidth) + (HasClassToken ? 1 : 0);

    /// <summary>timm's own classifier is the projection (<c>timm_proj</c> null, with bias), else <c>head.proj</c> without bias.</summary>
    public bool HasOwnHead { get; init; } = true;

    public override string? Family => Name;

    public override (int Height, int Width) ImageSize => (ImageHeight, ImageWidth);

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{Width} wide, {Layers} blocks, patch {PatchSize}, {ImageHeight} x {ImageWidth} px");

    public override IImageTower Build(WeightReader weights, int embedDimension) => new TimmVision(this, embedDimension, weights);
}
