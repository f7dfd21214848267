using System.Globalization;
using System.Text.RegularExpressions;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>The image towers that open_clip opens by a name of timm: what each name means, from timm's <c>vision_transformer.py</c>.</summary>
internal sealed partial class SigLipTowers : INamedImageTowers
{
    private static readonly (string Size, int Width, int Layers, int Heads, double Ratio)[] s_sizes =
    [
        ("base", 768, 12, 12, 4),
        ("large", 1024, 24, 16, 4),
        ("so400m", 1152, 27, 16, 3.7362),
        ("giantopt", 1536, 40, 16, 4),
    ];

    // timm gives these the tanh form of GELU, all others the exact one; SigLIP and SigLIP 2 alike.
    private static readonly string[] s_tanh =
    [
        "vit_base_patch32_siglip_256", "vit_large_patch16_siglip_512", "vit_so400m_patch16_siglip_256", "vit_so400m_patch16_siglip_384", "vit_so400m_patch16_siglip_512",
        "vit_giantopt_patch16_siglip_256", "vit_giantopt_patch16_siglip_384",
    ];

    /// <summary>All names.</summary>
    private static IReadOnlyList<string> Names { get; } =
    [
        .. new[] { 224, 256, 384, 512 }.Select(static size => $"vit_base_patch16_siglip_{size}"), "vit_base_patch32_siglip_256",
        .. new[] { 256, 384, 512 }.Select(static size => $"vit_large_patch16_siglip_{size}"),
        .. new[] { 224, 378, 384 }.Select(static size => $"vit_so400m_patch14_siglip_{size}"),
        .. new[] { 256, 384, 512 }.Select(static size => $"vit_so400m_patch16_siglip_{size}"),
        .. new[] { 256, 384 }.Select(static size => $"vit_giantopt_patch16_siglip_{size}"),
    ];

    /// <summary>The tower of a name, or null.</summary>
    private static SigLipVisionConfig? Find(string name)
    {
        if (!Names.Contains(name))
            return null;
        Match match = TowerName().Match(name);
        (_, int width, int layers, int heads, double ratio) = Array.Find(s_sizes, size => size.Size == match.Groups["size"].Value);
        int side = Number("side");
        return new SigLipVisionConfig
        {
            ImageHeight = side,
            ImageWidth = side,
            PatchSize = Number("patch"),
            Width = width,
            Layers = layers,
            Heads = heads,
            HiddenWidth = (int)(width * ratio),
            Activation = s_tanh.Contains(name) ? Activation.GeluTanh : Activation.Gelu,
        };

        int Number(string group) => int.Parse(match.Groups[group].Value, NumberStyles.None, CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    public bool Knows(string name) => Names.Contains(name);

    /// <inheritdoc/>
    public ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension)
    {
        SigLipVisionConfig tower = Find(name)!;
        if (arguments is not null)
            tower = With(tower, arguments);
        section.IgnoreKeys("timm_proj_bias");
        section.Choice("timm_pool", "map", ("map", "map"));
        section.Choice("timm_proj", "none", ("none", "none"));
        if (tower.Width != embedDimension)
            section.Problem("timm_proj", $"none needs an embed_dim of the image tower's width {tower.Width}, which nothing projects; found {embedDimension}.");
        return tower;
    }

    private static SigLipVisionConfig With(SigLipVisionConfig tower, ConfigSection arguments)
    {
        // Whose ratio it is follows from the name: HiddenWidth is cut to a whole number.
        double ratio = Array.Find(s_sizes, size => size.Width == tower.Width).Ratio;
        (int height, int width) = arguments.Pair("img_size", tower.ImageHeight, OpenClipConfigReader.LargestSide);
        int channels = arguments.Integer("embed_dim", tower.Width, 1, 1 << 16);
        SigLipVisionConfig changed = tower with
        {
            ImageHeight = height,
            ImageWidth = width,
            PatchSize = arguments.Integer("patch_size", tower.PatchSize, 1, OpenClipConfigReader.LargestSide),
            Width = channels,
            Layers = arguments.Integer("depth", tower.Layers, 1, 1 << 10),
            Heads = arguments.Integer("num_heads", tower.Heads, 1, 1 << 12),
            HiddenWidth = (int)(channels * arguments.Number("mlp_ratio", ratio, 1e-3, 1e3)),
        };
        if (changed.Width % changed.Heads != 0)
            arguments.Problem("num_heads", $"expected a divisor of embed_dim {changed.Width}, found {changed.Heads}.");
        if (Math.Min(height, width) < changed.PatchSize)
            arguments.Problem("patch_size", $"expected at most the image size {height} x {width}, found {changed.PatchSize}.");
        return changed;
    }

    [GeneratedRegex("^vit_(?<size>[a-z0-9]+)_patch(?<patch>[0-9]+)_siglip_(?<side>[0-9]+)$", RegexOptions.None, 1000)]
    private static partial Regex TowerName();
}
