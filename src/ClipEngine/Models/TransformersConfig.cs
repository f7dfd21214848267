using System.Buffers;
using System.Text.Json;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// CLIP's configuration as transformers writes it (<c>config.json</c> and <c>preprocessor_config.json</c>) and OpenCLIP's, each
/// from the other. Defaults are those of transformers' <c>CLIPTextConfig</c> and <c>CLIPVisionConfig</c>.
/// </summary>
public static class TransformersConfig
{
    private const string TextSection = "text_config";
    private const string VisionSection = "vision_config";

    /// <summary>Whether a JSON file is the configuration of a CLIP model of transformers. Looks at keys only and never throws.</summary>
    /// <param name="configuration">The file's root object.</param>
    public static bool Recognizes(JsonElement configuration) =>
        configuration.ValueKind == JsonValueKind.Object
        && configuration.TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("clip");

    /// <summary>OpenCLIP's configuration for a model of transformers.</summary>
    /// <param name="configuration">The root of <c>config.json</c>.</param>
    /// <param name="preprocessor">The root of <c>preprocessor_config.json</c>, or null where there is none: OpenAI's mean and deviation are not assumed then, the section is left out.</param>
    /// <param name="source">What messages call the file.</param>
    /// <returns>The JSON text of an <c>open_clip_config.json</c>.</returns>
    /// <exception cref="BadInputException">Not CLIP, or with options that OpenCLIP has no words for.</exception>
    public static byte[] ToOpenClip(JsonElement configuration, JsonElement? preprocessor, string source)
    {
        if (!Recognizes(configuration))
            throw new BadInputException(source, "is not the configuration of a CLIP model of transformers (model_type clip).");
        JsonElement text = Section(configuration, TextSection);
        JsonElement vision = Section(configuration, VisionSection);
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
            WriteText(json, text, activation, source);
            json.WriteEndObject();
            if (preprocessor is { } steps)
                WritePreprocess(json, steps, Integer(vision, "image_size", 224, source), source);
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
            json.WriteNumber("initializer_factor", 1.0);
            json.WriteNumber("logit_scale_init_value", 2.6592);
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
        json.WriteNumber("layer_norm_eps", (double)(decimal)epsilon);
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
        json.WriteNumber("resample", options.Interpolation == Interpolation.Bicubic ? PillowBicubic : PillowBilinear);
        json.WriteNumber("rescale_factor", 1 / 255.0);
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

    private const int PillowBilinear = 2;
    private const int PillowBicubic = 3;

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

    private static void WriteText(Utf8JsonWriter json, JsonElement text, string activation, string source)
    {
        const int Legacy = 2;
        int width = Integer(text, "hidden_size", 512, source);
        int vocabulary = Integer(text, "vocab_size", 49408, source);
        int heads = Integer(text, "num_attention_heads", 8, source);
        int endOfText = Integer(text, "eos_token_id", Legacy, source);
        Divide(width, heads, TextSection, source);
        json.WriteStartObject("text_cfg");
        json.WriteNumber("context_length", Integer(text, "max_position_embeddings", 77, source));
        json.WriteNumber("vocab_size", vocabulary);
        json.WriteNumber("width", width);
        json.WriteNumber("heads", heads);
        json.WriteNumber("layers", Integer(text, "num_hidden_layers", 12, source));
        // The end of text is the largest id in CLIP's own vocabulary; there the two poolings are one.
        if (endOfText != Legacy && endOfText != vocabulary - 1)
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

    /// <summary>
    /// The steps of transformers' <c>CLIPImageProcessor</c>. What OpenCLIP always does may not be switched off, but for the
    /// normalisation, which mean 0 and deviation 1 leave out.
    /// </summary>
    private static void WritePreprocess(Utf8JsonWriter json, JsonElement steps, int imageSize, string source)
    {
        RefuseOtherSteps(steps, source);
        bool crops = Flag(steps, "do_center_crop", source);
        bool squashes = ReadSize(steps, imageSize, source);
        if (!crops && !squashes)
        {
            throw Refuse(source, "do_center_crop", "expected true where size is the shortest edge, found false: images would keep their shape, and the model needs square ones",
                "A size of {\"height\", \"width\"} squashes them instead.");
        }

        if (crops && steps.TryGetProperty("crop_size", out JsonElement crop) && !Sides(crop, "height", "width").All(side => IsNumber(side, imageSize)))
            throw Refuse(source, "crop_size", $"expected the model's image_size {imageSize}, found {Show(crop)}");

        json.WriteStartObject("preprocess_cfg");
        bool normalizes = Flag(steps, "do_normalize", source);
        foreach ((string from, string to, float neutral) in new[] { ("image_mean", "mean", 0f), ("image_std", "std", 1f) })
        {
            if (!normalizes)
            {
                WriteNumbers(json, to, [neutral, neutral, neutral]);
                continue;
            }

            if (!steps.TryGetProperty(from, out JsonElement numbers) || numbers.ValueKind != JsonValueKind.Array)
                throw Refuse(source, from, "expected three numbers");
            json.WritePropertyName(to);
            numbers.WriteTo(json);
        }

        string interpolation = !steps.TryGetProperty("resample", out JsonElement resample) || resample.ValueKind == JsonValueKind.Null || IsNumber(resample, PillowBicubic) ? "bicubic"
            : IsNumber(resample, PillowBilinear) ? "bilinear"
            : throw Refuse(source, "resample", $"expected 2 (bilinear) or 3 (bicubic), found {Show(resample)}");
        json.WriteString("interpolation", interpolation);
        json.WriteString("resize_mode", squashes ? "squash" : "shortest");
        json.WriteEndObject();
    }

    private static void RefuseOtherSteps(JsonElement steps, string source)
    {
        const double Scale = 1 / 255.0;
        foreach (string type in (ReadOnlySpan<string>)["image_processor_type", "feature_extractor_type"])
        {
            string name = Text(steps, type, "CLIPImageProcessor", source);
            if (!name.StartsWith("CLIP", StringComparison.Ordinal))
                throw Refuse(source, type, $"expected CLIPImageProcessor, found {BadInputException.Escape(name, 60)}, which works otherwise");
        }

        foreach (string key in (ReadOnlySpan<string>)["do_resize", "do_rescale"])
        {
            if (!Flag(steps, key, source))
                throw Refuse(source, key, "expected true, found false: images are always brought to the model's size and to [0, 1] here", "Feed prepared pixels with 'clipengine embed raw'.");
        }

        bool rescales = !steps.TryGetProperty("rescale_factor", out JsonElement factor) || (factor.ValueKind == JsonValueKind.Number && Math.Abs(factor.GetDouble() - Scale) < 1e-9);
        if (!rescales)
            throw Refuse(source, "rescale_factor", $"expected 1/255, found {Show(factor)}");
    }

    /// <summary>Whether the size has both sides, to which the image is squashed, and not its shortest edge.</summary>
    private static bool ReadSize(JsonElement steps, int imageSize, string source)
    {
        // A number in old files, else {"shortest_edge"} or {"height", "width"}.
        if (!steps.TryGetProperty("size", out JsonElement size) || IsNumber(size, imageSize))
            return false;
        if (size.ValueKind == JsonValueKind.Object && size.EnumerateObject().Count() == 1 && Sides(size, "shortest_edge").All(side => IsNumber(side, imageSize)))
            return false;
        if (size.ValueKind == JsonValueKind.Object && Sides(size, "height", "width").All(side => IsNumber(side, imageSize)))
            return true;
        throw Refuse(source, "size", $"expected the model's image_size {imageSize} as shortest_edge, or as height and width, found {Show(size)}");
    }

    /// <summary>The sides of a size; what is missing is undefined, and a number stands for all of them.</summary>
    private static IEnumerable<JsonElement> Sides(JsonElement size, params string[] names) => size.ValueKind == JsonValueKind.Object
        ? names.Select(name => size.TryGetProperty(name, out JsonElement side) ? side : default)
        : [size];

    private static bool Flag(JsonElement steps, string key, string source)
    {
        if (!steps.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return true;
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.ValueKind == JsonValueKind.True
            : throw Refuse(source, key, $"expected true or false, found {Show(value)}");
    }

    private static string Show(JsonElement value) => BadInputException.Escape(value.GetRawText(), 60);

    private static BadInputException Refuse(string source, string key, string problem, string? remedy = null) =>
        new(source, $"preprocessor_config.json beside it: {key}: {problem}.", remedy ?? "Correct the file if it does not say what the model was trained with.");

    private static bool IsNumber(JsonElement value, int expected) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number == expected;

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

    private static JsonElement Section(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement section) && section.ValueKind == JsonValueKind.Object ? section : default;

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
            json.WriteNumberValue(number);
        json.WriteEndArray();
    }

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
