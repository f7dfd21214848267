using System.Collections.Immutable;
using System.Globalization;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>A ConvNeXt (arXiv:2201.03545) as timm builds it and open_clip opens it by name.</summary>
internal sealed record ConvNextTower : ImageTowerConfig
{
    /// <summary>Pixels of the image for each pixel of the last map, in one direction.</summary>
    public const int Stride = 32;

    /// <summary>Blocks of each of the four stages.</summary>
    public required ImmutableArray<int> Depths { get; init; }

    /// <summary>Channels of each stage; a block's MLP is four times as wide.</summary>
    public required ImmutableArray<int> Widths { get; init; }

    /// <summary>The layer norms': 1e-6, but 1e-5 in xxlarge.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>Rows and columns of pixels; nothing in the weights depends on them.</summary>
    public required (int Height, int Width) Size { get; init; }

    /// <summary>What stands behind the pooled vector.</summary>
    public TimmProjectionKind Projection { get; init; }

    public override string? Family => "ConvNeXt";

    public override (int Height, int Width) ImageSize => Size;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{string.Join("-", Widths)} wide, {string.Join("-", Depths)} blocks, {Size.Height} x {Size.Width} px");

    public override ImageTowerConfig AtSize((int Height, int Width) size)
    {
        CheckSize(size, Stride);
        return this with { Size = size };
    }

    public override IImageTower Build(WeightReader weights, int embedDimension) => new ConvNextVision(this, embedDimension, weights);
}

/// <summary>What the names of ConvNeXt mean, from timm's <c>convnext.py</c>.</summary>
internal sealed class ConvNextTowers : INamedImageTowers
{
    private static readonly Dictionary<string, ConvNextTower> s_towers = new(StringComparer.Ordinal)
    {
        ["convnext_tiny"] = Sized([3, 3, 9, 3], 96),
        ["convnext_small"] = Sized([3, 3, 27, 3], 96),
        ["convnext_base"] = Sized([3, 3, 27, 3], 128),
        ["convnext_large"] = Sized([3, 3, 27, 3], 192),
        ["convnext_xlarge"] = Sized([3, 3, 27, 3], 256),
        ["convnext_xxlarge"] = Sized([3, 4, 30, 3], 384) with { Epsilon = 1e-5f },
    };

    /// <inheritdoc/>
    public bool Knows(string name) => s_towers.ContainsKey(name);

    /// <inheritdoc/>
    public ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension)
    {
        ConvNextTower tower = s_towers[name];
        if (arguments is not null)
            tower = tower with { Depths = arguments.Integers("depths", tower.Depths, 1 << 10), Widths = arguments.Integers("dims", tower.Widths, 1 << 16) };
        section.Choice("timm_pool", "avg", ("", "avg"), ("avg", "avg"));
        if (section.Boolean("timm_proj_bias", false))
            section.Problem("timm_proj_bias", "expected false.");
        (int Height, int Width) size = section.Pair("image_size", 224, OpenClipConfigReader.LargestSide);
        if (Math.Min(size.Height, size.Width) < ConvNextTower.Stride)
            section.Problem("image_size", $"expected at least {ConvNextTower.Stride} pixels a side, found {size.Height} x {size.Width}.");
        return tower with
        {
            Size = size,
            Projection = section.Choice("timm_proj", TimmProjectionKind.Own, ("linear", TimmProjectionKind.Linear), ("mlp", TimmProjectionKind.Mlp)),
        };
    }

    private static ConvNextTower Sized(ImmutableArray<int> depths, int width) => new() { Depths = depths, Widths = [width, 2 * width, 4 * width, 8 * width], Size = (224, 224) };
}
