using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>open_clip's models with a transformer of timm for images: EVA, EVA02, the Perception Encoder, MobileCLIP-B, MobileCLIP2-L-14.</summary>
internal sealed class TimmTransformerFamily : IModelFamily
{
    public string Name => "timm transformer";

    public bool Recognizes(ModelFiles files)
    {
        JsonElement model = OpenClipFamily.Model(files.Configuration);
        return OpenClipFamily.NameIn(model, "text_cfg", "hf_model_name") is null && OpenClipFamily.NameIn(model, "vision_cfg", "timm_model_name") is { } name && TimmTowers.Find(name) is not null;
    }

    public ModelPlan Plan(ModelFiles files) => new TimmTransformerPlan(TimmClipConfig.Read(files));
}

/// <summary>The plan of such a model; its family is the image tower's.</summary>
internal sealed class TimmTransformerPlan(TimmClipConfig config) : ModelPlan
{
    public override string Family => config.Vision.Family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => ModelAbilities.Embed;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override TokenizerConfig Tokenizer => config.Text.Tokenizer;

    public override int ContextLength => config.Text.ContextLength;

    public override int VocabularySize => config.Text.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"image tower {config.Vision.Width} wide, {config.Vision.Layers} blocks, patch {config.Vision.PatchSize}, {config.Vision.ImageHeight} x {config.Vision.ImageWidth} px; text tower {config.Text.Width} wide, {config.Text.Layers} blocks, context {config.Text.ContextLength}, vocabulary {config.Text.VocabularySize}; features of {config.EmbedDimension}");

    public override PreprocessOptions PreprocessAt((int Height, int Width) size) => throw NoOtherSize();

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options) =>
        options.ImageSize is null ? new TimmClipModel(config, weights, backend, options.Towers) : throw NoOtherSize();

    private BadInputException NoOtherSize() => new("image size", $"{config.Vision.Family} runs at the size that it was trained at; open_clip does not resize such positions either.", "Leave the image size out.");
}
