using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>open_clip's configurations with a tower of another library: what a name means, and what is refused.</summary>
public class ForeignTowerConfigTests
{
    private const string Text = """ "text_cfg": { "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12 } """;

    [Theory]
    [InlineData("eva_giant_patch14_224", "token", "EVA", 224, 1408, 40)]
    [InlineData("eva02_base_patch16_clip_224", "token", "EVA02", 224, 768, 12)]
    [InlineData("eva02_large_patch14_clip_336", "token", "EVA02", 336, 1024, 24)]
    [InlineData("eva02_enormous_patch14_clip_224", "token", "EVA02", 224, 1792, 64)]
    [InlineData("vit_pe_core_tiny_patch16_384", "map", "Perception Encoder", 384, 192, 12)]
    [InlineData("vit_pe_core_gigantic_patch14_448", "map", "Perception Encoder", 448, 1536, 50)]
    [InlineData("vit_base_mci_224", "token", "MobileCLIP", 224, 768, 12)]
    [InlineData("vit_large_patch14_clip_224", "token", "timm CLIP ViT", 224, 1024, 24)]
    public void ANameOfTimmFixesTheTower(string name, string pool, string family, int size, int width, int layers)
    {
        ModelPlan plan = Plan($$"""{ "embed_dim": 512, "custom_text": true, "vision_cfg": { "image_size": {{size}}, "timm_model_name": "{{name}}", "timm_pool": "{{pool}}", "timm_proj": null }, {{Text}} }""");
        Assert.Equal(family, plan.Family);
        Assert.StartsWith($"image tower {width} wide, {layers} blocks", plan.Outline, StringComparison.Ordinal);
        Assert.Equal((size, size), (plan.Preprocess.Height, plan.Preprocess.Width));
        var exception = Assert.Throws<BadInputException>(() => plan.PreprocessAt((160, 160)));
        Assert.Contains(family, exception.Message, StringComparison.Ordinal);
    }

    /// <summary>Towers of convolutions run at any size, ViTamin only where its tokens have no positions.</summary>
    [Theory]
    [InlineData("convnext_base", "linear", "ConvNeXt", "128-256-512-1024 wide, 3-3-27-3 blocks", true)]
    [InlineData("convnext_xxlarge", "mlp", "ConvNeXt", "384-768-1536-3072 wide, 3-4-30-3 blocks", true)]
    [InlineData("fastvit_mci2", null, "MobileCLIP (FastViT)", "80-160-320-640 wide, 4-12-24-4 blocks", true)]
    [InlineData("fastvit_mci4", null, "MobileCLIP (FastViT)", "128-256-512-1024-2048 wide, 2-12-24-4-4 blocks", true)]
    [InlineData("vitamin_xlarge_256", "linear", "ViTamin", "192-384-1152 wide, 2-4-32 blocks", true)]
    [InlineData("vitamin_large_256", "linear", "ViTamin", "160-320-1024 wide, 2-4-31 blocks", false)]
    public void ANameOfTimmFixesATowerOfConvolutions(string name, string? projection, string family, string outline, bool anySize)
    {
        string quoted = projection is null ? "null" : $"\"{projection}\"";
        ModelPlan plan = Plan($$"""{ "embed_dim": 512, "vision_cfg": { "image_size": 256, "timm_model_name": "{{name}}", "timm_pool": "avg", "timm_proj": {{quoted}} }, {{Text}} }""");
        Assert.Equal(family, plan.Family);
        Assert.StartsWith($"image tower {outline}, 256 x 256 px", plan.Outline, StringComparison.Ordinal);
        if (anySize)
            Assert.Equal((320, 384), (plan.PreprocessAt((320, 384)).Height, plan.PreprocessAt((320, 384)).Width));
        else
            Assert.Contains(family, Assert.Throws<BadInputException>(() => plan.PreprocessAt((320, 384))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("xlm-roberta-base", 768, 250002)]
    [InlineData("FacebookAI/xlm-roberta-large", 1024, 250002)]
    [InlineData("roberta-base", 768, 50265)]
    [InlineData("google/mt5-xl", 2048, 250112)]
    [InlineData("facebook/nllb-200-distilled-1.3B", 1024, 256206)]
    [InlineData("bert-base-cased", 768, 28996)]
    public void ANameOfTheHubFixesTheTextTower(string name, int width, int vocabulary)
    {
        ModelPlan plan = Plan($$"""{ "embed_dim": 512, "vision_cfg": { "image_size": 224, "layers": 12, "width": 768, "patch_size": 32 }, "text_cfg": { "hf_model_name": "{{name}}", "hf_tokenizer_name": "{{name}}", "hf_pooler_type": "mean_pooler" } }""");
        Assert.Equal((77, vocabulary, name), (plan.ContextLength, plan.VocabularySize, plan.Tokenizer.HubName));
        Assert.Contains($"text tower {width} wide", plan.Outline, StringComparison.Ordinal);
        Assert.Equal((256, 256), (plan.PreprocessAt((256, 256)).Height, plan.PreprocessAt((256, 256)).Width));
    }

    /// <summary>Any image tower goes with any text tower; the family is that of the text tower where both are foreign.</summary>
    [Theory]
    [InlineData("eva02_base_patch16_clip_224", "token", "google/mt5-base", "CLIP with an mT5 text tower")]
    [InlineData("vit_so400m_patch14_siglip_384", "map", "facebook/nllb-200-distilled-1.3B", "NLLB-CLIP")]
    [InlineData("vit_pe_core_base_patch16_224", "map", "roberta-base", "CLIP with a RoBERTa text tower")]
    public void AnyImageTowerGoesWithAnyTextTower(string image, string pool, string text, string family)
    {
        string projection = pool == "map" && image.Contains("siglip", StringComparison.Ordinal) ? "\"none\"" : "null";
        ModelPlan plan = Plan($$"""{ "embed_dim": 1152, "vision_cfg": { "timm_model_name": "{{image}}", "timm_pool": "{{pool}}", "timm_proj": {{projection}} }, "text_cfg": { "hf_model_name": "{{text}}", "hf_tokenizer_name": "{{text}}" } }""");
        Assert.Equal(family, plan.Family);
        using var nothing = new UntrainedCheckpoint("model.json", []);
        using var backend = new ToyBackend();
        using var asking = new WeightReader(nothing, backend: null);
        plan.Build(asking, backend, new ModelOptions());
        Assert.Contains(asking.Requests, static request => request.Key.StartsWith("visual.trunk.", StringComparison.Ordinal));
        Assert.Contains(asking.Requests, static request => request.Key.StartsWith("text.transformer.", StringComparison.Ordinal));
        Assert.DoesNotContain(asking.Requests, static request => request.Key.StartsWith("transformer.", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(""" "timm_model_name": "eva02_base_patch16_clip_224", "timm_pool": "avg" """, "vision_cfg.timm_pool")]
    [InlineData(""" "timm_model_name": "eva02_base_patch16_clip_224", "timm_proj": "mlp" """, "vision_cfg.timm_proj")]
    [InlineData(""" "timm_model_name": "eva02_base_patch16_clip_224", "image_size": 336 """, "vision_cfg.image_size")]
    [InlineData(""" "timm_model_name": "vit_base_mci_224", "colour": 1 """, "vision_cfg.colour")]
    [InlineData(""" "timm_model_name": "convnext_base", "timm_pool": "token" """, "vision_cfg.timm_pool")]
    [InlineData(""" "timm_model_name": "fastvit_mci0", "timm_proj": "none" """, "vision_cfg.timm_proj")]
    [InlineData(""" "timm_model_name": "convnext_base", "image_size": 31 """, "vision_cfg.image_size")]
    [InlineData(""" "timm_model_name": "vitamin_small_224", "image_size": 256 """, "vision_cfg.image_size")]
    public void WhatATimmTowerWasNotPublishedWithIsRefused(string vision, string key)
    {
        var exception = Assert.Throws<BadInputException>(() => Plan($$"""{ "embed_dim": 512, "vision_cfg": { {{vision}} }, {{Text}} }"""));
        Assert.Contains(key, exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(""" "hf_pooler_type": "max_pooler" """, "text_cfg.hf_pooler_type")]
    [InlineData(""" "hf_proj_type": "" """, "text_cfg.hf_proj_type")]
    [InlineData(""" "colour": 1 """, "text_cfg.colour")]
    public void WhatARobertaTowerIsNotBuiltWithIsRefused(string text, string key)
    {
        var exception = Assert.Throws<BadInputException>(() => Plan($$"""{ "embed_dim": 512, "vision_cfg": { "patch_size": 32 }, "text_cfg": { "hf_model_name": "roberta-base", {{text}} } }"""));
        Assert.Contains(key, exception.Message, StringComparison.Ordinal);
    }

    private static ModelPlan Plan(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return ModelFamilies.Plan(new ModelFiles(document.RootElement, "model.json"));
    }
}
