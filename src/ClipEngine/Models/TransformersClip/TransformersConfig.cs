using System.Buffers;
using System.Globalization;
using System.Text.Json;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// CLIP's and MetaCLIP 2's configuration as transformers writes it (<c>config.json</c> and <c>preprocessor_config.json</c>) and
/// OpenCLIP's, each from the other. Defaults are those of transformers' <c>CLIPTextConfig</c> and <c>CLIPVisionConfig</c>, which
/// MetaCLIP 2 shares.
/// </summary>
public static class TransformersConfig
{
    private const string TextSection = "text_config";
    private const string VisionSection = "vision_config";
    private const string MetaClip2 = "metaclip_2";

    /// <summary>Whether a JSON file is the configuration of a CLIP or MetaCLIP 2 model of transformers. Looks at keys only and never throws.</summary>
    /// <param name="configuration">The file's root object.</param>
    public static bool Recognizes(JsonElement configuration) => TypeOf(configuration) is "clip" or MetaClip2;

    /// <summary>The value of <c>model_type</c>, or null.</summary>
    internal static string? TypeOf(JsonElement configuration) =>
        configuration.ValueKind == JsonValueKind.Object && configuration.TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String
            ? type.GetString()
            : null;

    /// <summary>OpenCLIP's configuration for a model of transformers.</summary>
    /// <param name="configuration">The root of <c>config.json</c>.</param>
    /// <param name="preprocessor">The root of <c>preprocessor_config.json</c>, or null where there is none: OpenAI's mean and deviation are not assumed then, the section is left out.</param>
    /// <param name="source">What messages call the file.</param>
    /// <returns>The JSON text of an <c>open_clip_config.json</c>.</returns>
    /// <exception cref="BadInputException">Not CLIP, or with options that OpenCLIP has no words for.</exception>
    public static byte[] ToOpenClip(JsonElement configuration, JsonElement? preprocessor, string source) =>
        ToOpenClip(configuration, preprocessor is { } steps ? (steps, "preprocessor_config.json") : null, source);

    /// <summary>The same with the name of the processor's file, for messages.</summary>
    internal static byte[] ToOpenClip(JsonElement configuration, (JsonElement Steps, string File)? processor, string source)
    {
        if (!Recognizes(configuration))
            throw new BadInputException(source, "is not the configuration of a CLIP model of transformers (model_type clip or metaclip_2).");
        JsonElement text = Section(configuration, TextSection, source);
        JsonElement vision = Section(configuration, VisionSection, source);
        RefuseWhatChangesTheModel(configuration, text, vision, source);
        string activation = Text(vision, "hidden_act", "quick_gelu", source);
        string textActivation = Text(text, "hidden_act", "quick_gelu", source);
        if (activation != textActivation)
            throw new BadInputException(source, $"has {BadInputException.Escape(activation, 40)} in its image tower and {BadInputException.Escape(textActivation, 40)} in its text tower; OpenCLIP has one for both.");
        return Write(json =>
        {
            json.WriteStartObject("model_cfg");
            json.WriteNumber("embed_dim", Integer(configuration, "projection_dim", 512, source));
            if (activation == "quick_gelu")
                json.WriteBoolean("quick_gelu", true);
            WriteVision(json, vision, activation, source);
            WriteText(json, text, activation, TypeOf(configuration) == MetaClip2, source);
            json.WriteEndObject();
            if (processor is { } found)
                TransformersProcessor.Write(json, found.Steps, found.File, Integer(vision, "image_size", 224, source), source);
        });
    }

    /// <summary>transformers' configuration for an OpenCLIP model.</summary>
    /// <param name="config">The model.</param>
    /// <returns>The JSON texts of <c>config.json</c> and <c>preprocessor_config.json</c>.</returns>
    /// <exception cref="BadInputException">The model has something that transformers' CLIP cannot express; lists all of it.</exception>
    public static (byte[] Config, byte[] Preprocessor) FromOpenClip(OpenClipConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        RefuseWhatCannotBeSaid(config);
        byte[] model = Write(json =>
        {
            json.WriteStartArray("architectures");
            json.WriteStringValue("CLIPModel");
            json.WriteEndArray();
            WriteFloat(json, "initializer_factor", 1);
            WriteFloat(json, "logit_scale_init_value", 2.6592);
            json.WriteString("model_type", "clip");
            json.WriteNumber("projection_dim", config.EmbedDimension);
            json.WriteStartObject(TextSection);
            TextConfig text = config.Text;
            WriteTower(json, text.Width, text.Layers, text.Heads, text.HiddenWidth, text.Activation, text.Epsilon, config.EmbedDimension);
            json.WriteNumber("max_position_embeddings", text.ContextLength);
            json.WriteString("model_type", "clip_text_model");
            json.WriteNumber("vocab_size", text.VocabularySize);
            // transformers takes the position of the largest id where this is 2, its mark for models from before it was a setting.
            json.WriteNumber("eos_token_id", text.Pooling == TextPooling.LargestId ? 2 : text.EndOfTextId);
            json.WriteEndObject();
            json.WriteStartObject(VisionSection);
            VisionConfig vision = config.Vision;
            WriteTower(json, vision.Width, vision.Layers[0], vision.Heads, vision.HiddenWidth, vision.Activation, vision.Epsilon, config.EmbedDimension);
            json.WriteNumber("image_size", vision.ImageHeight);
            json.WriteString("model_type", "clip_vision_model");
            json.WriteNumber("num_channels", 3);
            json.WriteNumber("patch_size", vision.PatchSize);
            json.WriteEndObject();
        });
        return (model, WritePreprocessor(config));
    }

    private static void RefuseWhatCannotBeSaid(OpenClipConfig config)
    {
        VisionConfig vision = config.Vision;
        TextConfig text = config.Text;
        (bool IsThere, string What)[] features =
        [
            (vision.IsResNet, "a ResNet"),
            (config.CustomText, "custom_text"),
            (config.CaptionDecoder is not null, "a caption decoder"),
            (config.HasLogitBias, "a logit bias"),
            (vision.AttentionalPool != AttentionalPooling.None, "an attentional pooler"),
            (vision.Pooling != ImagePooling.ClassToken, "another pooling than the class token"),
            (!vision.HasPreNorm, "no ln_pre"),
            (vision.FinalNormAfterPool && vision.Pooling != ImagePooling.ClassToken, "a norm behind the pooling"),
            (vision.HasLayerScale || text.HasLayerScale, "a layer scale"),
            (vision.ImageHeight != vision.ImageWidth, "images that are not square"),
            (!text.IsCausal, "a text tower without causal mask"),
            (text.EmbedsClassToken, "a class token of sentences"),
            (text.Pooling is not (TextPooling.LargestId or TextPooling.EndOfText) || text is { Pooling: TextPooling.EndOfText, EndOfTextId: 2 }, "another pooling of sentences than end of text"),
            (!text.HasProjection || text.HasProjectionBias, "another text projection than a matrix"),
        ];
        string[] found = [.. features.Where(static feature => feature.IsThere).Select(static feature => feature.What)];
        if (found.Length > 0)
            throw new BadInputException(config.Source, $"describes a model with {string.Join(", ", found)}, which transformers' CLIP has no words for.", "Such a model stays in the OpenCLIP layout.");
    }

    private static void WriteTower(Utf8JsonWriter json, int width, int layers, int heads, int hidden, Activation activation, float epsilon, int projection)
    {
        json.WriteString("hidden_act", NameOf(activation));
        json.WriteNumber("hidden_size", width);
        json.WriteNumber("intermediate_size", hidden);
        WriteFloat(json, "layer_norm_eps", (double)(decimal)epsilon);
        json.WriteNumber("num_attention_heads", heads);
        json.WriteNumber("num_hidden_layers", layers);
        json.WriteNumber("projection_dim", projection);
    }

    private static byte[] WritePreprocessor(OpenClipConfig config) => Write(json =>
    {
        PreprocessOptions options = config.Preprocess;
        json.WriteStartObject("crop_size");
        json.WriteNumber("height", options.Height);
        json.WriteNumber("width", options.Width);
        json.WriteEndObject();
        json.WriteBoolean("do_center_crop", true);
        json.WriteBoolean("do_convert_rgb", true);
        json.WriteBoolean("do_normalize", true);
        json.WriteBoolean("do_rescale", true);
        json.WriteBoolean("do_resize", true);
        json.WriteString("image_processor_type", "CLIPImageProcessor");
        WriteNumbers(json, "image_mean", options.Mean);
        WriteNumbers(json, "image_std", options.StandardDeviation);
        json.WriteNumber("resample", options.Interpolation == Interpolation.Bicubic ? TransformersProcessor.PillowBicubic : TransformersProcessor.PillowBilinear);
        WriteFloat(json, "rescale_factor", 1 / 255.0);
        json.WriteStartObject("size");
        if (options.ResizeMode == ResizeMode.Squash)
        {
            json.WriteNumber("height", options.Height);
            json.WriteNumber("width", options.Width);
        }
        else
        {
            json.WriteNumber("shortest_edge", Math.Min(options.Height, options.Width));
        }

        json.WriteEndObject();
    });

    private static void WriteVision(Utf8JsonWriter json, JsonElement vision, string activation, string source)
    {
        int width = Integer(vision, "hidden_size", 768, source);
        json.WriteStartObject("vision_cfg");
        json.WriteNumber("image_size", Integer(vision, "image_size", 224, source));
        json.WriteNumber("layers", Integer(vision, "num_hidden_layers", 12, source));
        json.WriteNumber("width", width);
        json.WriteNumber("patch_size", Integer(vision, "patch_size", 32, source));
        json.WriteNumber("head_width", Divide(width, Integer(vision, "num_attention_heads", 12, source), VisionSection, source));
        WriteDetails(json, vision, width, Integer(vision, "intermediate_size", 3072, source), activation, source);
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, JsonElement text, string activation, bool isMetaClip2, string source)
    {
        const int Legacy = 2;
        const int UsualEndOfText = 49407;
        int width = Integer(text, "hidden_size", 512, source);
        int vocabulary = Integer(text, "vocab_size", 49408, source);
        int heads = Integer(text, "num_attention_heads", 8, source);
        int endOfText = Integer(text, "eos_token_id", UsualEndOfText, source);
        if (endOfText >= vocabulary)
        {
            throw new BadInputException(source, $"{TextSection}.eos_token_id: expected an id below vocab_size {vocabulary}, found {endOfText}"
                + (endOfText == UsualEndOfText ? ", which is what transformers takes where the key is missing." : "."), "Write the id that ends a sentence into the file.");
        }

        Divide(width, heads, TextSection, source);
        json.WriteStartObject("text_cfg");
        json.WriteNumber("context_length", Integer(text, "max_position_embeddings", 77, source));
        json.WriteNumber("vocab_size", vocabulary);
        json.WriteNumber("width", width);
        json.WriteNumber("heads", heads);
        json.WriteNumber("layers", Integer(text, "num_hidden_layers", 12, source));
        // The end of text is the largest id in CLIP's own vocabulary; there the two poolings are one. MetaCLIP 2 has no legacy rule for 2.
        if (isMetaClip2 || (endOfText != Legacy && endOfText != vocabulary - 1))
        {
            json.WriteString("pool_type", "eos");
            json.WriteNumber("eos_id", endOfText);
        }

        WriteDetails(json, text, width, Integer(text, "intermediate_size", 2048, source), activation, source);
        json.WriteEndObject();
    }

    private static void WriteDetails(Utf8JsonWriter json, JsonElement tower, int width, int hidden, string activation, string source)
    {
        const double UsualEpsilon = 1e-5;
        if (hidden != 4 * width)
        {
            // OpenCLIP multiplies and cuts the fraction off: the ratio must not fall short by a rounding error.
            double ratio = (double)hidden / width;
            json.WriteNumber("mlp_ratio", (int)(width * ratio) == hidden ? ratio : Math.BitIncrement(ratio));
        }

        double epsilon = tower.ValueKind == JsonValueKind.Object && tower.TryGetProperty("layer_norm_eps", out JsonElement value)
            ? value.ValueKind == JsonValueKind.Number ? value.GetDouble() : throw new BadInputException(source, "layer_norm_eps: expected a number.")
            : UsualEpsilon;
        if (Math.Abs(epsilon - UsualEpsilon) > 1e-12)
        {
            json.WriteStartObject("norm_kwargs");
            json.WriteNumber("eps", epsilon);
            json.WriteEndObject();
        }

        switch (activation)
        {
            case "quick_gelu" or "gelu":
                break;
            case "gelu_new" or "gelu_pytorch_tanh":
                json.WriteStartObject("act_kwargs");
                json.WriteString("approximate", "tanh");
                json.WriteEndObject();
                break;
            default:
                throw new BadInputException(source, $"hidden_act: expected quick_gelu, gelu or gelu_pytorch_tanh, found {BadInputException.Escape(activation, 40)}.");
        }
    }

    private static string NameOf(Activation activation) => activation switch
    {
        Activation.QuickGelu => "quick_gelu",
        Activation.GeluTanh => "gelu_pytorch_tanh",
        Activation.Gelu => "gelu",
        _ => throw new BadInputException("activation", $"{activation} has no name in transformers' CLIP."),
    };

    private static int Divide(int width, int heads, string section, string source) => width % heads == 0
        ? width / heads
        : throw new BadInputException(source, $"{section}: expected heads that divide the width {width}, found {heads}.");

    /// <summary>
    /// A tower's section. Where an old file has <c>text_config_dict</c> or <c>vision_config_dict</c> as well, transformers builds the
    /// tower from that one and from defaults, whatever <c>text_config</c> or <c>vision_config</c> says.
    /// </summary>
    private static JsonElement Section(JsonElement root, string name, string source)
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
    private static void RefuseWhatChangesTheModel(JsonElement root, JsonElement text, JsonElement vision, string source)
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

    private static int Integer(JsonElement section, string key, int otherwise, string source)
    {
        if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return otherwise;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number > 0
            ? number
            : throw new BadInputException(source, $"{key}: expected a positive whole number.");
    }

    private static string Text(JsonElement section, string key, string otherwise, string source)
    {
        if (section.ValueKind != JsonValueKind.Object || !section.TryGetProperty(key, out JsonElement value))
            return otherwise;
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw new BadInputException(source, $"{key}: expected text.");
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IEnumerable<float> numbers)
    {
        json.WriteStartArray(name);
        foreach (float number in numbers)
            json.WriteRawValue(FloatText(number.ToString("R", CultureInfo.InvariantCulture)));
        json.WriteEndArray();
    }

    // transformers 5 checks the types of a configuration: where a float is expected, a JSON integer is refused.
    private static void WriteFloat(Utf8JsonWriter json, string name, double number)
    {
        json.WritePropertyName(name);
        json.WriteRawValue(FloatText(number.ToString("R", CultureInfo.InvariantCulture)));
    }

    private static string FloatText(string digits) => digits.AsSpan().ContainsAny(".E") ? digits : digits + ".0";

    private static byte[] Write(Action<Utf8JsonWriter> fill)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            fill(json);
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }
}
