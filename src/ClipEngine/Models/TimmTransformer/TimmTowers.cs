namespace ClipEngine.Models;

/// <summary>What the names mean by which open_clip opens timm's transformers, from timm's <c>eva.py</c>, <c>vision_transformer.py</c> and <c>vision_transformer_hybrid.py</c>.</summary>
internal sealed class TimmTowers : INamedImageTowers
{
    private const double GatedRatio = 4 * 2 / 3.0;

    private static readonly Dictionary<string, TimmTower> s_towers = new(StringComparer.Ordinal)
    {
        ["eva_giant_patch14_224"] = Sized("EVA", 224, 14, 1408, 40, 16, 6144 / 1408.0) with { HasQueryValueBias = true },
        ["eva02_base_patch16_clip_224"] = Gated(224, 16, 768, 12, 12),
        ["eva02_large_patch14_clip_224"] = Gated(224, 14, 1024, 24, 16),
        ["eva02_large_patch14_clip_336"] = Gated(336, 14, 1024, 24, 16),
        ["eva02_enormous_patch14_clip_224"] = Sized("EVA02", 224, 14, 1792, 64, 16, 15360 / 1792.0) with { HasQueryValueBias = true, NormsResiduals = true },
        ["vit_pe_core_tiny_patch16_384"] = Perception(384, 16, 192, 12, 3, 4),
        ["vit_pe_core_small_patch16_384"] = Perception(384, 16, 384, 12, 6, 4),
        ["vit_pe_core_base_patch16_224"] = Perception(224, 16, 768, 12, 12, 4),
        ["vit_pe_core_large_patch14_336"] = Perception(336, 14, 1024, 24, 16, 4),
        ["vit_pe_core_gigantic_patch14_448"] = WithoutClassToken(Perception(448, 14, 1536, 50, 16, 8960 / 1536.0)),
        ["vit_base_mci_224"] = Sized("MobileCLIP", 224, 16, 768, 12, 12, 4) with { HasFusedBias = true, HasConvolutionalStem = true, ClassTokenHasPosition = false },
        ["vit_base_patch32_clip_224"] = Clip(224, 32, 768, 12, 12),
        ["vit_base_patch16_clip_224"] = Clip(224, 16, 768, 12, 12),
        ["vit_large_patch14_clip_224"] = Clip(224, 14, 1024, 24, 16),
        ["vit_large_patch14_clip_336"] = Clip(336, 14, 1024, 24, 16),
        ["vit_medium_patch16_gap_256"] = Sized("timm ViT", 256, 16, 512, 12, 8, 4) with { HasClassToken = false, HasLayerScale = true, Pooling = TimmPooling.Average },
    };

    /// <inheritdoc/>
    public bool Knows(string name) => s_towers.ContainsKey(name);

    /// <inheritdoc/>
    public ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension)
    {
        TimmTower tower = s_towers[name];
        if (arguments is not null)
            tower = With(tower, arguments);
        if (section.Boolean("timm_proj_bias", false))
            section.Problem("timm_proj_bias", "expected false.");
        TimmPooling pooling = section.Choice("timm_pool", tower.Pooling,
            ("", tower.Pooling), ("token", TimmPooling.ClassToken), ("avg", TimmPooling.Average), ("map", TimmPooling.Attention));
        if (pooling != tower.Pooling)
            section.Problem("timm_pool", "expected the pooling that the tower was published with.");
        return tower with { HasOwnHead = section.Choice("timm_proj", true, ("linear", false)) };
    }

    private static TimmTower With(TimmTower tower, ConfigSection arguments)
    {
        (int height, int width) = arguments.Pair("img_size", tower.ImageHeight, OpenClipConfigReader.LargestSide);
        TimmRotary? rotary = tower.Rotary;
        if (rotary is not null)
        {
            (int Height, int Width) named = rotary.Reference;
            (int Height, int Width) reference = arguments.Has("ref_feat_shape") ? arguments.Pair("ref_feat_shape", null, OpenClipConfigReader.LargestSide) : named;
            rotary = rotary with { Reference = reference };
        }

        TimmTower changed = tower with
        {
            ImageHeight = height,
            ImageWidth = width,
            PatchSize = arguments.Integer("patch_size", tower.PatchSize, 1, OpenClipConfigReader.LargestSide),
            Width = arguments.Integer("embed_dim", tower.Width, 1, 1 << 16),
            Layers = arguments.Integer("depth", tower.Layers, 1, 1 << 10),
            Heads = arguments.Integer("num_heads", tower.Heads, 1, 1 << 12),
            MlpRatio = arguments.Number("mlp_ratio", tower.MlpRatio, 1e-3, 1e3),
            Rotary = rotary,
        };
        if (changed.Width % changed.Heads != 0)
            arguments.Problem("num_heads", $"expected a divisor of embed_dim {changed.Width}, found {changed.Heads}.");
        else if (changed.Rotary is not null && changed.Width / changed.Heads % 4 != 0)
            arguments.Problem("num_heads", $"rotary positions need heads of a multiple of 4 channels, found {changed.Width / changed.Heads}.");
        if (Math.Min(height, width) < changed.PatchSize)
            arguments.Problem("patch_size", $"expected at most the image size {height} x {width}, found {changed.PatchSize}.");
        if (changed.HasConvolutionalStem && (changed.PatchSize != tower.PatchSize || changed.Width % 4 != 0))
            arguments.Problem("patch_size", $"three convolutions make patches of {tower.PatchSize} pixels from a multiple of 4 channels; found {changed.PatchSize} and {changed.Width}.");
        return changed;
    }

    private static TimmTower Sized(string family, int size, int patch, int width, int layers, int heads, double ratio) => new()
    {
        Name = family,
        ImageHeight = size,
        ImageWidth = size,
        PatchSize = patch,
        Width = width,
        Layers = layers,
        Heads = heads,
        MlpRatio = ratio,
    };

    /// <summary>EVA02: rows first, coordinates scaled to a grid of 16 x 16 whatever the image's.</summary>
    private static TimmTower Gated(int size, int patch, int width, int layers, int heads) => Sized("EVA02", size, patch, width, layers, heads, GatedRatio) with
    {
        HasSeparateProjections = true,
        IsGated = true,
        Rotary = new TimmRotary { Reference = (16, 16) },
    };

    /// <summary>The Perception Encoder: columns first, counted from 1, on its own grid.</summary>
    private static TimmTower Perception(int size, int patch, int width, int layers, int heads, double ratio) => Sized("Perception Encoder", size, patch, width, layers, heads, ratio) with
    {
        HasPreNorm = true,
        HasFusedBias = true,
        Epsilon = 1e-5f,
        Pooling = TimmPooling.Attention,
        Rotary = new TimmRotary { ColumnsFirst = true, Offset = 1, Reference = (size / patch, size / patch) },
    };

    private static TimmTower WithoutClassToken(TimmTower tower) => tower with { HasClassToken = false, Rotary = tower.Rotary! with { Offset = 0 } };

    private static TimmTower Clip(int size, int patch, int width, int layers, int heads) => Sized("timm CLIP ViT", size, patch, width, layers, heads, 4) with
    {
        HasPreNorm = true,
        HasFusedBias = true,
        Epsilon = 1e-5f,
    };
}
