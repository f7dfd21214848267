using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>OpenCLIP's own two-tower models: CLIP with a vision transformer or a ModifiedResNet, and CoCa's two towers.</summary>
internal sealed class OpenClipFamily : IModelFamily
{
    public string Name => "open_clip";

    public bool Recognizes(ModelFiles files)
    {
        JsonElement model = Model(files.Configuration);
        return model.ValueKind == JsonValueKind.Object && (model.TryGetProperty("vision_cfg", out _) || model.TryGetProperty("text_cfg", out _));
    }

    public ModelPlan Plan(ModelFiles files) => new OpenClipPlan(Name, OpenClipConfigReader.Parse(files.Configuration, files.Source));

    /// <summary>The model's own object, whether it is the root or below <c>model_cfg</c>.</summary>
    internal static JsonElement Model(JsonElement configuration) =>
        configuration.ValueKind == JsonValueKind.Object && configuration.TryGetProperty("model_cfg", out JsonElement inner) && inner.ValueKind == JsonValueKind.Object ? inner : configuration;
}
