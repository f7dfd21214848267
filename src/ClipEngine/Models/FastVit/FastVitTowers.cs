using System.Collections.Immutable;
using System.Globalization;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>A FastViT (arXiv:2303.14189) in the sizes of MobileCLIP (arXiv:2311.17049) and MobileCLIP 2 (arXiv:2508.20691), as timm builds it.</summary>
internal sealed record FastVitTower : ImageTowerConfig
{
    /// <summary>Blocks of each stage.</summary>
    public required ImmutableArray<int> Depths { get; init; }

    /// <summary>Channels of each stage.</summary>
    public required ImmutableArray<int> Widths { get; init; }

    /// <summary>Hidden channels of a block's MLP for each of its channels.</summary>
    public required int MlpRatio { get; init; }

    /// <summary>
    /// The small models' flags: a squeeze-and-excitation where the map is halved before stages 2 and 3, a batch norm before attention, and a
    /// scale branch in the stem. The large ones have none of them, five stages, and a layer norm before attention.
    /// </summary>
    public required bool IsSmall { get; init; }

    /// <summary>Rows and columns of pixels; nothing in the weights depends on them.</summary>
    public required (int Height, int Width) Size { get; init; }

    /// <summary>What stands behind the pooled vector.</summary>
    public TimmProjectionKind Projection { get; init; }

    /// <summary>The first stage whose blocks attend; those before it mix by convolutions.</summary>
    public int FirstAttention => 3;

    /// <summary>Pixels of the image for each pixel of the last map, in one direction.</summary>
    public int Stride => 4 << (Depths.Length - 1);

    public override string? Family => "MobileCLIP (FastViT)";

    public override (int Height, int Width) ImageSize => Size;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{string.Join("-", Widths)} wide, {string.Join("-", Depths)} blocks, {Size.Height} x {Size.Width} px");

    public override ImageTowerConfig AtSize((int Height, int Width) size)
    {
        CheckSize(size, Stride);
        return this with { Size = size };
    }

    public override IImageTower Build(WeightReader weights, int embedDimension) => new FastVitVision(this, embedDimension, weights);
}

/// <summary>What the names of MobileCLIP's image towers mean, from timm's <c>fastvit.py</c>.</summary>
internal sealed class FastVitTowers : INamedImageTowers
{
    private static readonly Dictionary<string, FastVitTower> s_towers = new(StringComparer.Ordinal)
    {
        ["fastvit_mci0"] = Small([2, 6, 10, 2], 64),
        ["fastvit_mci1"] = Small([4, 12, 20, 4], 64),
        ["fastvit_mci2"] = Small([4, 12, 24, 4], 80),
        ["fastvit_mci3"] = Large([2, 12, 24, 4, 2], 96),
        ["fastvit_mci4"] = Large([2, 12, 24, 4, 4], 128),
    };

    /// <inheritdoc/>
    public bool Knows(string name) => s_towers.ContainsKey(name);

    /// <inheritdoc/>
    public ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension)
    {
        FastVitTower tower = s_towers[name];
        if (arguments is not null)
            tower = tower with { Depths = arguments.Integers("layers", tower.Depths, 1 << 10), Widths = arguments.Integers("embed_dims", tower.Widths, 1 << 16) };
        for (int stage = tower.FirstAttention; stage < tower.Widths.Length; stage++)
        {
            if (tower.Widths[stage] % FastVitVision.HeadWidth != 0)
                arguments?.Problem("embed_dims", $"expected a multiple of {FastVitVision.HeadWidth} where blocks attend, found {tower.Widths[stage]}.");
        }

        for (int stage = 1; stage < tower.Widths.Length; stage++)
        {
            if (tower.Widths[stage] % tower.Widths[stage - 1] != 0)
                arguments?.Problem("embed_dims", $"expected multiples of the width before, found {tower.Widths[stage]} behind {tower.Widths[stage - 1]}.");
        }

        section.Choice("timm_pool", "avg", ("", "avg"), ("avg", "avg"));
        if (section.Boolean("timm_proj_bias", false))
            section.Problem("timm_proj_bias", "expected false.");
        (int Height, int Width) size = section.Pair("image_size", tower.Size.Height, OpenClipConfigReader.LargestSide);
        if (Math.Min(size.Height, size.Width) < tower.Stride)
            section.Problem("image_size", $"expected at least {tower.Stride} pixels a side, found {size.Height} x {size.Width}.");
        return tower with
        {
            Size = size,
            Projection = section.Choice("timm_proj", TimmProjectionKind.Own, ("linear", TimmProjectionKind.Linear), ("mlp", TimmProjectionKind.Mlp)),
        };
    }

    private static FastVitTower Small(ImmutableArray<int> depths, int width) => new()
    {
        Depths = depths,
        Widths = [width, 2 * width, 4 * width, 8 * width],
        MlpRatio = 3,
        IsSmall = true,
        Size = (256, 256),
    };

    private static FastVitTower Large(ImmutableArray<int> depths, int width) => new()
    {
        Depths = depths,
        Widths = [width, 2 * width, 4 * width, 8 * width, 16 * width],
        MlpRatio = 4,
        IsSmall = false,
        Size = (256, 256),
    };
}
