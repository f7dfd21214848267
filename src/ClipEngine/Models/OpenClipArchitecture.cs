using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>OpenCLIP's own two-tower models: CLIP with a vision transformer or a ModifiedResNet, and CoCa's two towers.</summary>
internal sealed class OpenClipArchitecture : IArchitecture
{
    public string Name => "open_clip";

    public bool Recognizes(JsonElement configuration)
    {
        JsonElement model = configuration.TryGetProperty("model_cfg", out JsonElement inner) && inner.ValueKind == JsonValueKind.Object ? inner : configuration;
        return model.TryGetProperty("vision_cfg", out _) || model.TryGetProperty("text_cfg", out _);
    }

    public IModel Build(JsonElement configuration, string source, WeightReader weights, IBackend backend, ArchitectureOptions options) =>
        Build(OpenClipConfigReader.Parse(configuration, source), weights, backend, options);

    /// <summary>Builds the model that a configuration describes.</summary>
    public IModel Build(OpenClipConfig config, WeightReader weights, IBackend backend, ArchitectureOptions options)
    {
        (int Height, int Width) trainedGrid = (config.Vision.GridHeight, config.Vision.GridWidth);
        if (options.ImageSize is { } size)
        {
            // As open_clip's force_image_size: what the weights have counts, whatever the configuration says.
            trainedGrid = PositionGrid.GridOf(weights.Scope("visual"), trainedGrid);
            config = AtSize(config, size);
        }

        return new OpenClipModel(config, trainedGrid, weights, backend, options.Towers);
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
