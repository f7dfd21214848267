using System.Collections.Immutable;
using System.Globalization;
using ClipEngine.Checkpoints;

namespace ClipEngine.Models;

/// <summary>A ViTamin (arXiv:2404.02132) as timm builds it: two stages of convolutions, then a transformer.</summary>
internal sealed record VitaminTower : ImageTowerConfig
{
    /// <summary>Pixels of the image for each token, in one direction.</summary>
    public const int Stride = 16;

    /// <summary>Channels of the stem.</summary>
    public required int StemWidth { get; init; }

    /// <summary>Channels of the two stages.</summary>
    public required ImmutableArray<int> Widths { get; init; }

    /// <summary>Blocks of the two stages.</summary>
    public required ImmutableArray<int> Depths { get; init; }

    /// <summary>Of a token.</summary>
    public required int Width { get; init; }

    /// <summary>Blocks of the transformer.</summary>
    public required int Layers { get; init; }

    /// <summary>Of the transformer's blocks.</summary>
    public required int Heads { get; init; }

    /// <summary>Whether tokens have learned positions, which fix the size of an image; XL has none.</summary>
    public required bool HasPositions { get; init; }

    /// <summary>Rows and columns of pixels.</summary>
    public required (int Height, int Width) Size { get; init; }

    /// <summary>What stands behind the pooled vector.</summary>
    public TimmProjectionKind Projection { get; init; }

    /// <summary>Hidden units of the gated MLP.</summary>
    public int HiddenWidth => 2 * Width;

    /// <summary>Tokens of an image: every convolution with a stride rounds up.</summary>
    public int Tokens => Reduced(Size.Height) * Reduced(Size.Width);

    public override string? Family => "ViTamin";

    public override (int Height, int Width) ImageSize => Size;

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"{string.Join("-", Widths)}-{Width} wide, {string.Join("-", Depths)}-{Layers} blocks, {Size.Height} x {Size.Width} px");

    public override ImageTowerConfig AtSize((int Height, int Width) size)
    {
        if (HasPositions)
            return base.AtSize(size);
        CheckSize(size, Stride);
        return this with { Size = size };
    }

    public override IImageTower Build(WeightReader weights, int embedDimension) => new VitaminVision(this, embedDimension, weights);

    private static int Reduced(int pixels) => (pixels + Stride - 1) / Stride;
}

/// <summary>What the names of ViTamin mean, from timm's <c>vitamin.py</c>.</summary>
internal sealed class VitaminTowers : INamedImageTowers
{
    private static readonly Dictionary<string, VitaminTower> s_towers = new(StringComparer.Ordinal)
    {
        ["vitamin_small_224"] = Sized(224, 64, 384, 14, 6),
        ["vitamin_base_224"] = Sized(224, 128, 768, 14, 12),
        ["vitamin_large_224"] = Sized(224, 160, 1024, 31, 16),
        ["vitamin_large_256"] = Sized(256, 160, 1024, 31, 16),
        ["vitamin_large_336"] = Sized(336, 160, 1024, 31, 16),
        ["vitamin_large_384"] = Sized(384, 160, 1024, 31, 16),
        ["vitamin_large2_224"] = Sized(224, 160, 1024, 31, 16),
        ["vitamin_large2_256"] = Sized(256, 160, 1024, 31, 16),
        ["vitamin_large2_336"] = Sized(336, 160, 1024, 31, 16),
        ["vitamin_large2_384"] = Sized(384, 160, 1024, 31, 16),
        ["vitamin_xlarge_256"] = Sized(256, 192, 1152, 32, 16) with { HasPositions = false },
        ["vitamin_xlarge_336"] = Sized(336, 192, 1152, 32, 16) with { HasPositions = false },
        ["vitamin_xlarge_384"] = Sized(384, 192, 1152, 32, 16) with { HasPositions = false },
    };

    /// <inheritdoc/>
    public bool Knows(string name) => s_towers.ContainsKey(name);

    /// <inheritdoc/>
    public ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension)
    {
        VitaminTower tower = s_towers[name];
        if (arguments is not null)
            tower = With(tower, arguments);
        section.Choice("timm_pool", "avg", ("", "avg"), ("avg", "avg"));
        if (section.Boolean("timm_proj_bias", false))
            section.Problem("timm_proj_bias", "expected false.");
        if (!tower.HasPositions)
        {
            (int Height, int Width) size = section.Has("image_size") ? section.Pair("image_size", null, OpenClipConfigReader.LargestSide) : tower.Size;
            if (Math.Min(size.Height, size.Width) < VitaminTower.Stride)
                section.Problem("image_size", $"expected at least {VitaminTower.Stride} pixels a side, found {size.Height} x {size.Width}.");
            tower = tower with { Size = size };
        }

        return tower with { Projection = section.Choice("timm_proj", TimmProjectionKind.Own, ("linear", TimmProjectionKind.Linear), ("mlp", TimmProjectionKind.Mlp)) };
    }

    private static VitaminTower With(VitaminTower tower, ConfigSection arguments)
    {
        if (arguments.Section("embed_cfg") is { } convolutions)
        {
            // The third of each is the transformer's, which embed_dim and depth say again.
            ImmutableArray<int> widths = convolutions.Integers("embed_dim", [.. tower.Widths, tower.Width], 1 << 16);
            ImmutableArray<int> depths = convolutions.Integers("depths", [.. tower.Depths, 1], 1 << 10);
            tower = tower with { Widths = widths[..2], Depths = depths[..2], StemWidth = convolutions.Integer("stem_width", tower.StemWidth, 1, 1 << 16) };
            convolutions.RefuseTheRest();
        }

        tower = tower with
        {
            Size = arguments.Pair("img_size", tower.Size.Height, OpenClipConfigReader.LargestSide),
            Width = arguments.Integer("embed_dim", tower.Width, 1, 1 << 16),
            Layers = arguments.Integer("depth", tower.Layers, 1, 1 << 10),
            Heads = arguments.Integer("num_heads", tower.Heads, 1, 1 << 12),
        };
        if (tower.Width % tower.Heads != 0)
            arguments.Problem("num_heads", $"expected a divisor of embed_dim {tower.Width}, found {tower.Heads}.");
        return tower;
    }

    private static VitaminTower Sized(int size, int stem, int width, int layers, int heads) => new()
    {
        StemWidth = stem,
        Widths = [stem, 2 * stem],
        Depths = [2, 4],
        Width = width,
        Layers = layers,
        Heads = heads,
        HasPositions = true,
        Size = (size, size),
    };
}
