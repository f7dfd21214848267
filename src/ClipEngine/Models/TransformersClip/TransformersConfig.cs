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
internal static class TransformersConfig
{
    private const string TextSection = TransformersClipReader.TextSection;
    private const string VisionSection = TransformersClipReader.VisionSection;
    internal const string MetaClip2 = "metaclip_2";

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
        OpenClipConfig config = TransformersClipReader.Read(configuration, processor, source);
        if (config.Vision.Activation != config.Text.Activation)
            throw new BadInputException(source, $"has {NameOf(config.Vision.Activation)} in its image tower and {NameOf(config.Text.Activation)} in its text tower; OpenCLIP has one for both.");
        return Write(json =>
        {
            json.WriteStartObject("model_cfg");
            json.WriteNumber("embed_dim", config.EmbedDimension);
            if (config.QuickGelu)
                json.WriteBoolean("quick_gelu", true);
            WriteVision(json, config.Vision);
            WriteText(json, config.Text);
            json.WriteEndObject();
            if (config.StatesPreprocessing)
                WritePreprocess(json, config.Preprocess);
        });
    }

    /// <summary>transformers' configuration for an OpenCLIP model.</summary>
    /// <param name="config">The model.</param>
    /// <returns>The JSON texts of <c>config.json</c> and <c>preprocessor_config.json</c>.</returns>
    /// <exception cref="BadInputException">The model has something that transformers' CLIP cannot express; lists all of it.</exception>
    public static (byte[] Config, byte[] Preprocessor) FromOpenClip(OpenClipConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        ThrowIfUnsupported(config);
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

    private static void ThrowIfUnsupported(OpenClipConfig config)
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

    private static void WriteVision(Utf8JsonWriter json, VisionConfig vision)
    {
        json.WriteStartObject("vision_cfg");
        json.WriteNumber("image_size", vision.ImageHeight);
        json.WriteNumber("layers", vision.Layers[0]);
        json.WriteNumber("width", vision.Width);
        json.WriteNumber("patch_size", vision.PatchSize);
        json.WriteNumber("head_width", vision.Width / vision.Heads);
        WriteDetails(json, vision.Width, vision.HiddenWidth, vision.Activation, vision.Epsilon);
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, TextConfig text)
    {
        json.WriteStartObject("text_cfg");
        json.WriteNumber("context_length", text.ContextLength);
        json.WriteNumber("vocab_size", text.VocabularySize);
        json.WriteNumber("width", text.Width);
        json.WriteNumber("heads", text.Heads);
        json.WriteNumber("layers", text.Layers);
        if (text.Pooling == TextPooling.EndOfText)
        {
            json.WriteString("pool_type", "eos");
            json.WriteNumber("eos_id", text.EndOfTextId);
        }

        WriteDetails(json, text.Width, text.HiddenWidth, text.Activation, text.Epsilon);
        json.WriteEndObject();
    }

    private static void WriteDetails(Utf8JsonWriter json, int width, int hidden, Activation activation, float epsilon)
    {
        const float UsualEpsilon = 1e-5f;
        if (hidden != 4 * width)
        {
            // OpenCLIP multiplies and cuts the fraction off: the ratio must not fall short by a rounding error.
            double ratio = (double)hidden / width;
            json.WriteNumber("mlp_ratio", (int)(width * ratio) == hidden ? ratio : Math.BitIncrement(ratio));
        }

        if (epsilon != UsualEpsilon)
        {
            json.WriteStartObject("norm_kwargs");
            json.WriteNumber("eps", (double)(decimal)epsilon);
            json.WriteEndObject();
        }

        if (activation == Activation.GeluTanh)
        {
            json.WriteStartObject("act_kwargs");
            json.WriteString("approximate", "tanh");
            json.WriteEndObject();
        }
    }

    private static void WritePreprocess(Utf8JsonWriter json, PreprocessOptions options)
    {
        json.WriteStartObject("preprocess_cfg");
        WriteNumbers(json, "mean", options.Mean);
        WriteNumbers(json, "std", options.StandardDeviation);
        json.WriteString("interpolation", options.Interpolation == Interpolation.Bilinear ? "bilinear" : "bicubic");
        json.WriteString("resize_mode", options.ResizeMode == ResizeMode.Squash ? "squash" : "shortest");
        json.WriteEndObject();
    }

    private static string NameOf(Activation activation) => activation switch
    {
        Activation.QuickGelu => "quick_gelu",
        Activation.GeluTanh => "gelu_pytorch_tanh",
        Activation.Gelu => "gelu",
        _ => throw new BadInputException("activation", $"{activation} has no name in transformers' CLIP."),
    };

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
