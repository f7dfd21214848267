using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>What configurations that no family takes are called in messages.</summary>
internal static class UnsupportedFamilies
{
    // How names of timm's image towers begin, and the family that is known by.
    private static readonly (string Start, string Family)[] s_imageTowers =
    [
        ("convnext", "ConvNeXt"), ("fastvit", "FastViT"), ("vitamin", "ViTamin"), ("vit_base_mci", "MobileCLIP"), ("eva02", "EVA02"), ("eva", "EVA"),
        ("vit_pe", "Perception Encoder (PE)"), ("naflexvit", "NaFlex"), ("swin", "Swin"), ("resnet", "ResNet of timm"),
    ];

    // Parts of names of text towers on the hub; the longer name of two stands first.
    private static readonly (string Part, string Family)[] s_textTowers =
        [("nllb", "NLLB-CLIP"), ("mt5", "CLIP with an mT5 text tower"), ("xlm-roberta", "CLIP with an XLM-RoBERTa text tower"), ("roberta", "CLIP with a RoBERTa text tower"), ("bert", "CLIP with a BERT text tower")];

    private static readonly (string Type, string Family)[] s_modelTypes =
    [
        ("align", "ALIGN"), ("flava", "FLAVA"), ("groupvit", "GroupViT"), ("instructblip", "InstructBLIP"),
        ("xclip", "X-CLIP"), ("clipseg", "CLIPSeg"), ("owlvit", "OWL-ViT"), ("owlv2", "OWLv2"), ("vision-text-dual-encoder", "VisionTextDualEncoder"),
    ];

    /// <summary>The family's name and the key that told it; null where the configuration says nothing.</summary>
    /// <param name="files">What no family recognises.</param>
    public static string? NameOf(ModelFiles files)
    {
        if (files.ModelType is { Length: > 0 } type)
            return Named(Array.Find(s_modelTypes, entry => entry.Type == type).Family ?? "of transformers", type);
        JsonElement model = OpenClipFamily.Model(files.Configuration);
        string? image = OpenClipFamily.NameIn(model, "vision_cfg", "timm_model_name"), text = OpenClipFamily.NameIn(model, "text_cfg", "hf_model_name");
        if (text is not null && NamedTowers.FindText(text) is null)
        {
            string family = Array.Find(s_textTowers, entry => text.Contains(entry.Part, StringComparison.OrdinalIgnoreCase)).Family ?? "CLIP with a text tower of transformers";
            return Named(model.TryGetProperty("multimodal_cfg", out _) ? $"CoCa, {family}" : family, image is null ? text : $"{text} with {image}");
        }

        return image is null ? null
            : Named(Array.Find(s_imageTowers, entry => image.StartsWith(entry.Start, StringComparison.Ordinal)).Family ?? "CLIP with an image tower of timm", image);
    }

    private static string Named(string family, string key) => $"{family} ({BadInputException.Escape(key, 80)})";
}
