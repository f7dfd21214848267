using System.Text.Json;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// Reads the configuration of CLIP, MetaCLIP 2 and their kin in transformers' layout. Defaults are those of transformers'
/// <c>CLIPTextConfig</c> and <c>CLIPVisionConfig</c>, which MetaCLIP 2 shares.
/// </summary>
internal static class TransformersClipReader
{
    public const string TextSection = "text_config";
    public const string VisionSection = "vision_config";

    private const int LargestWidth = 1 << 16;
    private const int MostLayers = 1 << 10;

    /// <summary>A model of open_clip's own towers.</summary>
    /// <param name="configuration">The root of <c>config.json</c>.</param>
    /// <param name="processor">The image processor's steps and their file's name; null where there are none.</param>
    /// <param name="source">What messages call the file.</param>
    public static OpenClipConfig Read(JsonElement configuration, (JsonElement Steps, string File)? processor, string source)
    {
        if (!TransformersConfig.Recognizes(configuration))
            throw new BadInputException(source, "is not the configuration of a CLIP model of transformers (model_type clip or metaclip_2).");
        JsonElement text = Section(configuration, TextSection, source), vision = Section(configuration, VisionSection, source);
        RefuseWhatChangesTheModel(configuration, text, vision, source);
        VisionConfig image = ReadVision(vision, source);
        TextConfig sentences = ReadText(text, TransformersConfig.TypeOf(configuration) == TransformersConfig.MetaClip2, source);
        return new OpenClipConfig
        {
            Source = source,
            EmbedDimension = Integer(configuration, "projection_dim", 512, source, LargestWidth),
            Vision = image,
            Text = sentences,
            QuickGelu = image.Activation == Activation.QuickGelu,
            Preprocess = processor is { } found ? TransformersProcessor.ReadClip(found.Steps, found.File, image.ImageHeight, source, "CLIP") : new PreprocessOptions { Height = image.ImageHeight, Width = image.ImageWidth },
            StatesPreprocessing = processor is not null,
        };
    }

    /// <summary>CLIP's image tower beside a BERT.</summary>
    /// <param name="files">The configuration.</param>
    /// <param name="family">The family's name.</param>
    /// <param name="keys">The keys in OpenCLIP's words.</param>
    /// <param name="processor">How the image processor's class begins.</param>
    /// <param name="usualDimension">The length of a feature where <c>projection_dim</c> is not stated.</param>
    /// <param name="usual">The sizes of the BERT where <c>text_config</c> does not state them.</param>
    /// <param name="text">Makes the text tower of its section and the BERT in it.</param>
    public static TwoTowerConfig ReadBeside(ModelFiles files, string family, KeyTable keys, string processor, int usualDimension, BertConfig usual, Func<ConfigSection, BertConfig, TextTowerConfig> text)
    {
        JsonElement vision = Section(files.Configuration, VisionSection, files.Source), sentences = Section(files.Configuration, TextSection, files.Source);
        RefuseWhatChangesTheModel(files.Configuration, sentences, vision, files.Source);
        VisionConfig image = ReadImageTower(files.Configuration, files.Source);
        var problems = new List<string>();
        ConfigSection section = sentences.ValueKind == JsonValueKind.Object ? new ConfigSection(sentences, $"{TextSection}.", problems) : ConfigSection.Empty($"{TextSection}.", problems);
        TextTowerConfig tower = text(section, BertConfigReader.Read(section, usual));
        if (problems.Count > 0)
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}", "Compare it with the config.json of the model's repository.");
        (JsonElement Steps, string File)? steps = TransformersProcessor.Find(files.Configuration, files.Source);
        PreprocessOptions pixels = steps is { } found ? TransformersProcessor.ReadClip(found.Steps, found.File, image.ImageHeight, files.Source, processor) : new PreprocessOptions { Height = image.ImageHeight, Width = image.ImageWidth };
        return new TwoTowerConfig
        {
            Family = family,
            Source = files.Source,
            EmbedDimension = Integer(files.Configuration, "projection_dim", usualDimension, files.Source, LargestWidth),
            Image = new OpenClipImageTower(image),
            Text = tower,
            Preprocess = pixels.AsTransformers(),
            Keys = keys,
            Notices = OpenClipConfigReader.Notices(files.Source, steps is not null, text: null),
        };
    }

    /// <summary>Whether a configuration is of a family whose image tower is CLIP's.</summary>
    /// <param name="configuration">The root of <c>config.json</c>.</param>
    public static bool HasImageTower(JsonElement configuration) => TransformersConfig.Recognizes(configuration) || TransformersConfig.TypeOf(configuration) is AltClipFamily.ModelType or ChineseClipFamily.ModelType;

    /// <summary>That tower.</summary>
    /// <param name="configuration">The root of <c>config.json</c>.</param>
    /// <param name="source">What messages call the file.</param>
    public static VisionConfig ReadImageTower(JsonElement configuration, string source) => ReadVision(Section(configuration, VisionSection, source), source);

    /// <summary>An image tower of CLIP's.</summary>
    public static VisionConfig ReadVision(JsonElement vision, string source)
    {
        int width = Integer(vision, "hidden_size", 768, source, LargestWidth), size = Integer(vision, "image_size", 224, source, OpenClipConfigReader.LargestSide), heads = Integer(vision, "num_attention_heads", 12, source), patch = Integer(vision, "patch_size", 32, source, OpenClipConfigReader.LargestSide);
        Divide(width, heads, VisionSection, source);
        if (size < patch)
            throw new BadInputException(source, $"{VisionSection}.patch_size: expected at most the image size {size}, found {patch}.");
        return new VisionConfig
        {
            ImageHeight = size,
            ImageWidth = size,
            Layers = [Integer(vision, "num_hidden_layers", 12, source, MostLayers)],
            Width = width,
            PatchSize = patch,
            Heads = heads,
            HiddenWidth = Integer(vision, "intermediate_size", 3072, source, 1 << 20),
            Activation = ReadActivation(vision, source),
            Epsilon = ReadEpsilon(vision, source),
        };
    }

    private static TextConfig ReadText(JsonElement text, bool isMetaClip2, string source)
    {
        const int Legacy = 2;
        const int UsualEndOfText = 49407;
        int width = Integer(text, "hidden_size", 512, source, LargestWidth);
        int vocabulary = Integer(text, "vocab_size", 49408, source);
        int heads = Integer(text, "num_attention_heads", 8, source);
        int endOfText = Integer(text, "eos_token_id", UsualEndOfText, source);
        if (endOfText >= vocabulary)
        {
            throw new BadInputException(source, $"{TextSection}.eos_token_id: expected an id below vocab_size {vocabulary}, found {endOfText}"
                + (endOfText == UsualEndOfText ? ", which is what transformers takes where the key is missing." : "."), "Write the id that ends a sentence into the file.");
        }

        Divide(width, heads, TextSection, source);
        // The end of text is the largest id in CLIP's own vocabulary; there the two poolings are one. MetaCLIP 2 has no legacy rule for 2.
        bool poolsAtEnd = isMetaClip2 || (endOfText != Legacy && endOfText != vocabulary - 1);
        return new TextConfig
        {
            ContextLength = Integer(text, "max_position_embeddings", 77, source, LargestWidth),
            VocabularySize = vocabulary,
            Width = width,
            Heads = heads,
            Layers = Integer(text, "num_hidden_layers", 12, source, MostLayers),
            HiddenWidth = Integer(text, "intermediate_size", 2048, source, 1 << 20),
            Pooling = poolsAtEnd ? TextPooling.EndOfText : TextPooling.LargestId,
            EndOfTextId = poolsAtEnd ? endOfText : Legacy,
            Activation = ReadActivation(text, source),
            Epsilon = ReadEpsilon(text, source),
        };
    }

    private static Activation ReadActivation(JsonElement tower, string source) => Text(tower, "hidden_act", "quick_gelu", source) switch
    {
        "quick_gelu" => Activation.QuickGelu,
        "gelu" => Activation.Gelu,
        "gelu_new" or "gelu_pytorch_tanh" => Activation.GeluTanh,
        string other => throw new BadInputException(source, $"hidden_act: expected quick_gelu, gelu or gelu_pytorch_tanh, found {BadInputException.Escape(other, 40)}."),
    };

    private static float ReadEpsilon(JsonElement tower, string source)
    {
        const double Usual = 1e-5;
        if (tower.ValueKind != JsonValueKind.Object || !tower.TryGetProperty("layer_norm_eps", out JsonElement value))
            return (float)Usual;
        return value.ValueKind == JsonValueKind.Number && value.GetDouble() is >= 0 and <= 1
            ? (float)value.GetDouble()
            : throw new BadInputException(source, "layer_norm_eps: expected a number from 0 to 1.");
    }

    private static int Divide(int width, int heads, string section, string source) => width % heads == 0
        ? width / heads
        : throw new BadInputException(source, $"{section}: expected heads that divide the width {width}, found {heads}.");

    /// <summary>
    /// A tower's section. Where an old file has <c>text_config_dict</c> or <c>vision_config_dict</c> as well, transformers builds the
    /// tower from that one and from defaults, whatever <c>text_config</c> or <c>vision_config</c> says.
    /// </summary>
    public static JsonElement Section(JsonElement root, string name, string source)
    {
        foreach (string key in (ReadOnlySpan<string>)[name + "_dict", name])
        {
            if (!root.TryGetProperty(key, out JsonElement section) || section.ValueKind == JsonValueKind.Null)
                continue;
            return section.ValueKind == JsonValueKind.Object
                ? section
                : throw new BadInputException(source, $"{key}: expected an object, found {BadInputException.Escape(section.GetRawText(), 60)}.");
        }

        return default;
    }

    /// <summary>Keys that make another model of the same weights and are not read here. transformers itself ignores every key that it does not know.</summary>
    public static void RefuseWhatChangesTheModel(JsonElement root, JsonElement text, JsonElement vision, string source)
    {
        if (root.TryGetProperty("quantization_config", out JsonElement quantization) && quantization.ValueKind != JsonValueKind.Null)
            throw new BadInputException(source, "quantization_config: the weights are packed by a quantiser, which is not read here.", "Use the weights that they were made from.");
        foreach ((JsonElement section, string name) in new[] { (root, ""), (text, TextSection + "."), (vision, VisionSection + ".") })
        {
            if (section.ValueKind == JsonValueKind.Object && section.TryGetProperty("pruned_heads", out JsonElement pruned)
                && pruned.ValueKind == JsonValueKind.Object && pruned.EnumerateObject().Any())
            {
                throw new BadInputException(source, $"{name}pruned_heads: a model without some of its heads is not built.");
            }
        }

        int channels = Integer(vision, "num_channels", 3, source);
        if (channels != 3)
            throw new BadInputException(source, $"{VisionSection}.num_channels: expected 3 (RGB), found {channels}.");
    }

    public static int Integer(JsonElement section, string key, int fallback, string source, int maximum = 1 << 24)
    {
        if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return fallback;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int number) || number <= 0)
            throw new BadInputException(source, $"{key}: expected a positive whole number.");
        return number <= maximum ? number : throw new BadInputException(source, $"{key}: expected at most {maximum}, found {number}.");
    }

    private static string Text(JsonElement section, string key, string fallback, string source)
    {
        if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(key, out JsonElement value))
            return fallback;
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw new BadInputException(source, $"{key}: expected text.");
    }
}
