using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>Models in OpenCLIP's layout: its own towers and those of timm and transformers that <see cref="NamedTowers"/> knows, in any combination.</summary>
internal sealed class OpenClipFamily : IModelFamily
{
    public string Name => "open_clip";

    public bool Recognizes(ModelFiles files)
    {
        JsonElement model = Model(files.Configuration);
        return model.ValueKind == JsonValueKind.Object && (model.TryGetProperty("vision_cfg", out _) || model.TryGetProperty("text_cfg", out _))
            && (NameIn(model, "vision_cfg", "timm_model_name") is not { } image || NamedTowers.FindImage(image) is not null)
            && (NameIn(model, "text_cfg", "hf_model_name") is not { } text || NamedTowers.FindText(text) is not null);
    }

    public ModelPlan Plan(ModelFiles files) => new TwoTowerPlan(OpenClipConfigReader.Read(files));

    /// <summary>The model's own object, whether it is the root or below <c>model_cfg</c>.</summary>
    internal static JsonElement Model(JsonElement configuration) =>
        configuration.ValueKind == JsonValueKind.Object && configuration.TryGetProperty("model_cfg", out JsonElement inner) && inner.ValueKind == JsonValueKind.Object ? inner : configuration;

    /// <summary>The name of a tower of another library, or null where it is open_clip's own.</summary>
    /// <param name="model">What <see cref="Model"/> found.</param>
    /// <param name="section"><c>vision_cfg</c> or <c>text_cfg</c>.</param>
    /// <param name="key"><c>timm_model_name</c> or <c>hf_model_name</c>.</param>
    internal static string? NameIn(JsonElement model, string section, string key) =>
        model.ValueKind == JsonValueKind.Object && model.TryGetProperty(section, out JsonElement tower) && tower.ValueKind == JsonValueKind.Object
        && tower.TryGetProperty(key, out JsonElement name) && name.ValueKind == JsonValueKind.String && name.GetString() is { Length: > 0 } text
            ? text
            : null;
}
