using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A model in OpenCLIP's terms.</summary>
internal sealed class OpenClipPlan(string family, OpenClipConfig config) : ModelPlan
{
    public override string Family => family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => ModelAbilities.Embed;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override PreprocessOptions PreprocessAt((int Height, int Width) size) => AtSize(config, size).Preprocess;

    public override TokenizerConfig Tokenizer => config.Text.Tokenizer;

    public override int ContextLength => config.Text.ContextLength;

    public override int VocabularySize => config.Text.VocabularySize;

    public override ModelCost? Cost => ModelCost.IsCounted(config) ? ModelCost.Of(config) : null;

    /// <summary>The configuration itself.</summary>
    public OpenClipConfig Config => config;

    public override ICheckpoint Arrange(ICheckpoint checkpoint) => CheckpointLayouts.ToOpenClip(checkpoint);

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        (int Height, int Width) trainedGrid = (config.Vision.GridHeight, config.Vision.GridWidth);
        if (options.ImageSize is not { } size)
            return new OpenClipModel(config, trainedGrid, weights, backend, options.Towers);
        // As open_clip's force_image_size: what the weights have counts, whatever the configuration says.
        trainedGrid = PositionGrid.GridOf(weights.Scope("visual"), trainedGrid);
        return new OpenClipModel(AtSize(config, size), trainedGrid, weights, backend, options.Towers);
    }

    /// <summary>The model at another image size; its preprocessing follows.</summary>
    /// <exception cref="BadInputException">A ResNet, less than a patch, or more than any image has.</exception>
    internal static OpenClipConfig AtSize(OpenClipConfig config, (int Height, int Width) size)
    {
        if (config.Vision.IsResNet)
            throw new BadInputException("image size", "a ResNet's attention pool has no positions for another size; open_clip does not resize them either.", "Leave the image size out.");
        int patch = config.Vision.PatchSize;
        if (Math.Min(size.Height, size.Width) < patch)
            throw new BadInputException("image size", $"expected at least one patch, {patch} x {patch}; found {size.Height} x {size.Width}.");
        if (Math.Max(size.Height, size.Width) > OpenClipConfigReader.LargestSide)
            throw new BadInputException("image size", $"expected at most {OpenClipConfigReader.LargestSide} pixels a side; found {size.Height} x {size.Width}.");
        return config with
        {
            Vision = config.Vision with { ImageHeight = size.Height, ImageWidth = size.Width },
            Preprocess = config.Preprocess with { Height = size.Height, Width = size.Width },
        };
    }
}
