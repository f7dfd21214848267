using System.Text.Json;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>Configurations whose sizes nobody has memory for: their cost is a number or unknown, and counting allocates nothing of their size.</summary>
public class AbsurdSizesTests
{
    private const string SmallText = """ "text_cfg": { "context_length": 8, "vocab_size": 99, "width": 16, "heads": 2, "layers": 1 } """;
    private const string SmallImage = """ "vision_cfg": { "image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8 } """;

    [Theory]
    [InlineData($$""" "vision_cfg": { "image_size": 16384, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8 }, {{SmallText}} """, true)]
    [InlineData($$""" "vision_cfg": { "image_size": 16384, "layers": 1, "width": 65536, "patch_size": 1, "head_width": 64 }, {{SmallText}} """, false)]
    [InlineData($$""" "vision_cfg": { "image_size": 16384, "timm_model_name": "vitamin_xlarge_384" }, {{SmallText}} """, true)]
    [InlineData($$""" "vision_cfg": { "image_size": 16384, "timm_model_name": "convnext_base" }, {{SmallText}} """, true)]
    [InlineData($$""" "vision_cfg": { "image_size": 16384, "timm_model_name": "fastvit_mci0" }, {{SmallText}} """, true)]
    [InlineData($$""" {{SmallImage}}, "custom_text": true, "text_cfg": { "context_length": 65536, "vocab_size": 99, "width": 16, "heads": 2, "layers": 1, "embed_cls": true, "output_tokens": true } """, true)]
    [InlineData($$""" {{SmallImage}}, "text_cfg": { "hf_model_name": "google/mt5-base", "context_length": 65536 } """, true)]
    [InlineData($$""" {{SmallImage}}, "text_cfg": { "hf_model_name": "facebook/nllb-200-distilled-600M", "context_length": 65536, "hf_proj_type": "linear", "hf_pooler_type": "cls_pooler" } """, true)]
    public void CountingTakesNoMemoryOfTheirSize(string towers, bool isCounted)
    {
        const long Most = 64 << 20;
        using JsonDocument document = JsonDocument.Parse($$"""{ "embed_dim": 512, {{towers}} }""");
        ModelPlan plan = ModelFamilies.Plan(new ModelFiles(document.RootElement, "model.json"));
        long before = GC.GetAllocatedBytesForCurrentThread();
        ModelCost? cost = plan.Cost;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Most);
        Assert.Equal(isCounted, cost is not null);
        if (cost is not null)
            Assert.True(cost.Parameters > 0 && cost.Image.Operations > 0 && cost.Text.Operations > 0);
    }

    /// <summary>Sizes of the file beside the configuration (timm_model.json) reach a FastViT's convolutions, which are added up of branches.</summary>
    [Fact]
    public void BranchesOfAnAbsurdWidthAreCountedAndNotAdded()
    {
        const long Most = 256 << 20; // vectors; one kernel alone would be 2 GiB
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("open_clip_config.json"), $$"""{ "embed_dim": 512, "vision_cfg": { "timm_model_name": "fastvit_mci0" }, {{SmallText}} }""");
        File.WriteAllText(folder.File("timm_model.json"), """{ "architecture": "fastvit_mci0", "model_args": { "embed_dims": [16384, 16384, 16384, 16384] } }""");
        ModelPlan plan = ModelConfiguration.Plan(folder.Root);
        long before = GC.GetAllocatedBytesForCurrentThread();
        ModelCost? cost = plan.Cost;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Most);
        Assert.True(cost!.Image.Parameters > (long)16384 * 16384);
    }
}
