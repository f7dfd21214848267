namespace ClipEngine.Models;

/// <summary>The image towers of timm that one folder knows by <c>timm_model_name</c>.</summary>
internal interface INamedImageTowers
{
    /// <summary>Whether the name is one of these.</summary>
    bool Knows(string name);

    /// <summary>The tower of a name.</summary>
    /// <param name="name">What <see cref="Knows"/> said yes to. It fixes the sizes, the activation and the epsilon.</param>
    /// <param name="section"><c>vision_cfg</c>; takes out <c>timm_pool</c>, <c>timm_proj</c> and, where the tower runs at any size, <c>image_size</c>. The shared keys are taken out by the caller.</param>
    /// <param name="arguments"><c>model_args</c> of <c>timm_model.json</c>, the arguments of timm's function that differ from the name's; null where there is no such file.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    ImageTowerConfig Read(string name, ConfigSection section, ConfigSection? arguments, int embedDimension);
}

/// <summary>The text towers of transformers that one folder knows by <c>hf_model_name</c>.</summary>
internal interface INamedTextTowers
{
    /// <summary>Whether the name is one of these; the hub has them with and without their owner's name.</summary>
    bool Knows(string name);

    /// <summary>The tower of a name.</summary>
    /// <param name="name">What <see cref="Knows"/> said yes to. It fixes the sizes and the activation.</param>
    /// <param name="section"><c>text_cfg</c>.</param>
    /// <param name="sizes"><c>hf_text_model.json</c>, whose keys win over the name; null where there is no such file.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    TextTowerConfig Read(string name, ConfigSection section, ConfigSection? sizes, int embedDimension);
}

/// <summary>The towers of other libraries that open_clip opens by a name, one line for each folder. Any image tower goes with any text tower.</summary>
internal static class NamedTowers
{
    private static readonly INamedImageTowers[] s_image = [new SigLipTowers(), new TimmTowers(), new ConvNextTowers(), new FastVitTowers(), new VitaminTowers()];

    private static readonly INamedTextTowers[] s_text = [new TransformersTextTowers()];

    /// <summary>Who knows the name of an image tower; null for nobody.</summary>
    public static INamedImageTowers? FindImage(string name) => Array.Find(s_image, towers => towers.Knows(name));

    /// <summary>Who knows the name of a text tower; null for nobody.</summary>
    public static INamedTextTowers? FindText(string name) => Array.Find(s_text, towers => towers.Knows(name));
}
