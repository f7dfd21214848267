using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>open_clip's models with its own image tower and RoBERTa or XLM-RoBERTa for sentences.</summary>
internal sealed class RobertaTextFamily : IModelFamily
{
    public string Name => "CLIP with a RoBERTa text tower";

    public bool Recognizes(ModelFiles files)
    {
        JsonElement model = OpenClipFamily.Model(files.Configuration);
        return OpenClipFamily.NameIn(model, "text_cfg", "hf_model_name") is { } name && RobertaClipConfig.Knows(name)
            && OpenClipFamily.NameIn(model, "vision_cfg", "timm_model_name") is null && !model.TryGetProperty("multimodal_cfg", out _);
    }

    public ModelPlan Plan(ModelFiles files) => new RobertaTextPlan(Name, RobertaClipConfig.Read(files));
}

/// <summary>The plan of such a model.</summary>
internal sealed class RobertaTextPlan(string family, RobertaClipConfig config) : ModelPlan
{
    /// <summary>Self-attention's three matrices become one.</summary>
    private static readonly KeyTable s_keys = new([], ("text.transformer.encoder.layer.#.attention.self.?.", "text.transformer.encoder.layer.#.attention.self.qkv."));

    public override string Family => family;

    public override string Source => config.Base.Source;

    public override ModelAbilities Abilities => ModelAbilities.Embed;

    public override PreprocessOptions Preprocess => config.Base.Preprocess;

    public override PreprocessOptions PreprocessAt((int Height, int Width) size) => OpenClipPlan.AtSize(config.Base, size).Preprocess;

    public override TokenizerConfig Tokenizer => config.Base.Text.Tokenizer;

    public override int ContextLength => config.Base.Text.ContextLength;

    public override int VocabularySize => config.Base.Text.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"image tower {config.Base.Vision.Width} wide, patch {config.Base.Vision.PatchSize}, {config.Base.Vision.ImageHeight} x {config.Base.Vision.ImageWidth} px; text tower {config.Base.Text.Width} wide, {config.Base.Text.Layers} blocks, context {config.Base.Text.ContextLength}, vocabulary {config.Base.Text.VocabularySize}; features of {config.Base.EmbedDimension}");

    public override ICheckpoint Arrange(ICheckpoint checkpoint) => s_keys.Apply(checkpoint);

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        (int Height, int Width) trainedGrid = (config.Base.Vision.GridHeight, config.Base.Vision.GridWidth);
        if (options.ImageSize is not { } size)
            return new RobertaClipModel(config, trainedGrid, weights, backend, options.Towers);
        trainedGrid = PositionGrid.GridOf(weights.Scope("visual"), trainedGrid);
        return new RobertaClipModel(config with { Base = OpenClipPlan.AtSize(config.Base, size) }, trainedGrid, weights, backend, options.Towers);
    }
}
