using System.Text;
using System.Text.Json.Nodes;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Models;

public class OpenClipConfigTests
{
    private const string Plain = """
        {"embed_dim": 512,
         "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
         "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}}
        """;

    [Fact]
    public void ABareModelConfigurationHasOpenClipsDefaults()
    {
        OpenClipConfig config = Parse(Plain);
        Assert.Equal((12, 64 * 12, 3072, 7, 7), (config.Vision.Heads, config.Vision.Width, config.Vision.HiddenWidth, config.Vision.GridHeight, config.Vision.GridWidth));
        Assert.Equal((TextPooling.LargestId, true, 2048, Activation.Gelu), (config.Text.Pooling, config.Text.IsCausal, config.Text.HiddenWidth, config.Text.Activation));
        Assert.Equal(PreprocessOptions.OpenAiMean, config.Preprocess.Mean);
        Assert.False(config.StatesPreprocessing);
    }

    [Fact]
    public void TheRepositoryLayoutStatesPreprocessing()
    {
        OpenClipConfig config = Parse($$$"""{"model_cfg": {{{Plain}}}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 1], "interpolation": "bilinear", "resize_mode": "squash", "size": 999}}""");
        Assert.True(config.StatesPreprocessing);
        Assert.Equal([0.25f, 0.5f, 1f], config.Preprocess.StandardDeviation.ToArray());
        Assert.Equal((ResizeMode.Squash, Interpolation.Bilinear, 224), (config.Preprocess.ResizeMode, config.Preprocess.Interpolation, config.Preprocess.Height));
    }

    [Theory]
    [InlineData("1408 4.3637 6144", 1408, 4.3637, 6144)] // g-14: Python truncates 6144.09
    [InlineData("1664 4.9231 8192", 1664, 4.9231, 8192)] // bigG-14
    [InlineData("56 3.5 196", 56, 3.5, 196)]
    public void TheHiddenWidthIsTruncatedAsInPython(string _, int width, double ratio, int hidden)
    {
        OpenClipConfig config = Parse(With("vision_cfg", ("width", width), ("head_width", 8), ("mlp_ratio", ratio)));
        Assert.Equal(hidden, config.Vision.HiddenWidth);
    }

    [Fact]
    public void EveryProblemIsNamedAtOnce()
    {
        string json = With("vision_cfg", ("width", 100), ("head_width", 30), ("pool_typ", "avg"), ("pool_type", "max"), ("qk_norm", true));
        var exception = Assert.Throws<BadInputException>(() => Parse(json));
        Assert.Contains("4 problem(s)", exception.Problem);
        Assert.Contains("vision_cfg.pool_typ: unknown key", exception.Message);
        Assert.Contains("expected one of tok, avg, none, found \"max\"", exception.Message);
        Assert.Contains("vision_cfg.qk_norm: is not built", exception.Message);
    }

    [Fact]
    public void HeadsThatDoNotDivideTheWidthAreRefusedWithBothNumbers()
    {
        var image = Assert.Throws<BadInputException>(() => Parse(With("vision_cfg", ("width", 100), ("head_width", 30))));
        Assert.Contains("expected a divisor of 100, found 30", image.Message);
        var text = Assert.Throws<BadInputException>(() => Parse(With("text_cfg", ("heads", 7))));
        Assert.Contains("text_cfg.heads: expected a divisor of width 512, found 7", text.Message);
        var pooler = Assert.Throws<BadInputException>(() => Parse(With("vision_cfg", ("attentional_pool", true), ("attn_pooler_heads", 7))));
        Assert.Contains("attn_pooler_heads: expected a divisor of embed_dim 512, found 7", pooler.Message);
    }

    [Fact]
    public void HeadsAreRoundedDownAsInOpenClip()
    {
        // 96 // 40 = 2 heads of 48: odd, and what open_clip builds.
        Assert.Equal(2, Parse(With("vision_cfg", ("width", 96), ("head_width", 40))).Vision.Heads);
    }

    [Theory]
    [InlineData("vision_cfg", "timm_model_name", "convnext_base", "architecture convnext_base (vision_cfg.timm_model_name) is not one of OpenCLIP's own")]
    [InlineData("text_cfg", "hf_model_name", "roberta-base", "architecture roberta-base (text_cfg.hf_model_name) is not one of OpenCLIP's own")]
    public void TowersOfOtherLibrariesAreRefusedByName(string section, string key, string name, string expected)
    {
        var exception = Assert.Throws<BadInputException>(() => Parse(With(section, (key, name))));
        Assert.Contains(expected, exception.Message);
    }

    [Theory]
    [InlineData("{", "is not valid JSON")]
    [InlineData("[]", "expected a JSON object, found Array")]
    [InlineData("{}", "vision_cfg and text_cfg are expected")]
    [InlineData("""{"embed_dim": 1, "embed_dim": 2}""", "is not valid JSON")]
    [InlineData("""{"vision_cfg": {}, "text_cfg": 3}""", "text_cfg: expected an object, found 3")]
    [InlineData("""{"vision_cfg": {"image_size": [1, 2, 3]}, "text_cfg": {"width": -5, "layers": 1e9}}""", "embed_dim: is missing")]
    public void WhatIsNoConfigurationIsRefused(string json, string expected)
    {
        var exception = Assert.Throws<BadInputException>(() => Parse(json));
        Assert.Contains(expected, exception.Message);
        Assert.StartsWith("config.json", exception.Message);
    }

    [Fact]
    public void AClassEmbeddingNeedsCustomText()
    {
        Assert.Contains("needs custom_text", Assert.Throws<BadInputException>(() => Parse(With("text_cfg", ("embed_cls", true)))).Message);
    }

    [Theory]
    [InlineData(63)]
    [InlineData(31)]
    public void AResNetWhoseMapDoesNotFitItsPoolIsRefused(int size)
    {
        var exception = Assert.Throws<BadInputException>(() => Parse(With("vision_cfg", ("layers", new JsonArray(1, 1, 1, 1)), ("patch_size", null), ("image_size", size))));
        Assert.Contains("vision_cfg.image_size", exception.Message);
    }

    private static OpenClipConfig Parse(string json) => OpenClipConfig.Parse(Encoding.UTF8.GetBytes(json), "config.json");

    private static string With(string section, params (string Key, JsonNode? Value)[] settings)
    {
        JsonNode root = JsonNode.Parse(Plain)!;
        foreach ((string key, JsonNode? value) in settings)
            root[section]![key] = value?.DeepClone();
        return root.ToJsonString();
    }
}
