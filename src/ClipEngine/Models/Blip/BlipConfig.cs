using System.Globalization;
using System.Text.Json;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP's image tower (arXiv:2201.12086): a pre-norm vision transformer with a class token.</summary>
internal sealed record BlipVisionConfig
{
    /// <summary>The side of a square image in pixels.</summary>
    public required int ImageSize { get; init; }

    /// <summary>The side of a square patch in pixels.</summary>
    public required int PatchSize { get; init; }

    /// <summary>Of a token.</summary>
    public required int Width { get; init; }

    /// <summary>Blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Attention heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Hidden units of the MLP.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>The layer norms': 1e-6 at the authors, 1e-5 in transformers unless it says otherwise.</summary>
    public required float Epsilon { get; init; }

    /// <summary>Patches of one side.</summary>
    public int Grid => ImageSize / PatchSize;

    /// <summary>The class token and the patches.</summary>
    public int Tokens => (Grid * Grid) + 1;

    /// <summary>The sizes in one line.</summary>
    public string Outline => string.Create(CultureInfo.InvariantCulture, $"{Width} wide, {Layers} blocks, patch {PatchSize}, {ImageSize} px");

    /// <summary>Reads transformers' <c>vision_config</c> of BLIP or BLIP-2.</summary>
    /// <param name="vision">The section.</param>
    /// <param name="usual">What is not stated.</param>
    public static BlipVisionConfig Read(ConfigSection vision, BlipVisionConfig usual)
    {
        int width = vision.Integer("hidden_size", usual.Width, 1, 1 << 16), size = vision.Integer("image_size", usual.ImageSize, 1, OpenClipConfigReader.LargestSide);
        vision.Choice("hidden_act", Activation.Gelu, ("gelu", Activation.Gelu));
        var config = new BlipVisionConfig
        {
            ImageSize = size,
            PatchSize = vision.Integer("patch_size", usual.PatchSize, 1, OpenClipConfigReader.LargestSide),
            Width = width,
            Layers = vision.Integer("num_hidden_layers", usual.Layers, 1, 1 << 10),
            Heads = BlipConfig.Heads(vision, "num_attention_heads", width, usual.Heads),
            HiddenWidth = vision.Integer("intermediate_size", usual.HiddenWidth, 1, 1 << 20),
            Epsilon = (float)vision.Number("layer_norm_eps", usual.Epsilon, 0, 1),
        };
        if (config.ImageSize < config.PatchSize)
            vision.Problem("patch_size", $"expected at most the image size {config.ImageSize}, found {config.PatchSize}.");
        return config;
    }
}

/// <summary>BLIP's text transformer: BERT with cross-attention to the image's tokens in every layer.</summary>
internal sealed record BlipTextConfig : BertConfig
{
    /// <summary>[DEC], with which a caption begins; the word table's last two rows are [DEC] and [ENC].</summary>
    public required int BeginId { get; init; }

    /// <summary>[SEP], with which a caption ends.</summary>
    public int EndId { get; init; } = 102;
}

/// <summary>A BLIP model in its authors' layout or in transformers'.</summary>
internal sealed record BlipConfig
{
    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary>The image tower.</summary>
    public required BlipVisionConfig Vision { get; init; }

    /// <summary>The text transformer.</summary>
    public required BlipTextConfig Text { get; init; }

    /// <summary>The length of a contrastive feature; null for a captioner.</summary>
    public required int? EmbedDimension { get; init; }

    /// <summary>The pixels: squashed to a square, OpenAI's mean and deviation.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>transformers' <c>BlipVisionConfig</c>.</summary>
    private static readonly BlipVisionConfig s_usualVision = new() { ImageSize = 384, PatchSize = 16, Width = 768, Layers = 12, Heads = 12, HiddenWidth = 3072, Epsilon = 1e-5f };

    /// <summary>The sizes of the authors' model: a JSON file with <c>vision</c>, <c>text</c> and, for the image-text model, <c>embed_dim</c>.</summary>
    public static BlipConfig ReadAuthors(ModelFiles files)
    {
        var problems = new List<string>();
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection vision = file.Section("vision") ?? ConfigSection.Empty("vision.", problems), text = file.Section("text") ?? ConfigSection.Empty("text.", problems);
        int width = vision.Integer("width", 768, 1, 1 << 16), textWidth = text.Integer("hidden_size", 768, 1, 1 << 16), size = vision.Integer("image_size", 384, 1, OpenClipConfigReader.LargestSide);
        int vocabulary = text.Integer("vocab_size", 30524);
        var config = new BlipConfig
        {
            Source = files.Source,
            EmbedDimension = file.Has("embed_dim") ? file.Integer("embed_dim", null, 1, 1 << 16) : null,
            Vision = new BlipVisionConfig
            {
                ImageSize = size,
                PatchSize = vision.Integer("patch_size", 16, 1, OpenClipConfigReader.LargestSide),
                Width = width,
                Layers = vision.Integer("layers", 12, 1, 1 << 10),
                Heads = Heads(vision, "heads", width, 12),
                HiddenWidth = 4 * width,
                Epsilon = 1e-6f,
            },
            Text = ReadText(text, textWidth, vocabulary, 12),
            Preprocess = Squashing(size),
        };
        if (config.Vision.ImageSize < config.Vision.PatchSize)
            vision.Problem("patch_size", $"expected at most the image size {config.Vision.ImageSize}, found {config.Vision.PatchSize}.");
        Refuse(files.Source, problems);
        return config;
    }

    /// <summary>transformers' configuration; defaults are those of its <c>BlipVisionConfig</c> and <c>BlipTextConfig</c>.</summary>
    public static BlipConfig ReadTransformers(ModelFiles files)
    {
        var problems = new List<string>();
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection vision = file.Section("vision_config") ?? ConfigSection.Empty("vision_config.", problems), text = file.Section("text_config") ?? ConfigSection.Empty("text_config.", problems);
        int textWidth = text.Integer("hidden_size", 768, 1, 1 << 16);
        BlipVisionConfig image = BlipVisionConfig.Read(vision, s_usualVision);
        text.Choice("hidden_act", Activation.Gelu, ("gelu", Activation.Gelu));
        if (!text.Boolean("is_decoder", true))
            text.Problem("is_decoder", "expected true: without it there is no cross-attention.");
        var config = new BlipConfig
        {
            Source = files.Source,
            EmbedDimension = IsCaptioner(files) ? null : file.Integer("image_text_hidden_size", 256, 1, 1 << 16),
            Vision = image,
            // 8 heads unless the file says otherwise: the weights do not show it.
            Text = ReadText(text, textWidth, text.Integer("vocab_size", 30524), 8),
            Preprocess = Squashing(image.ImageSize),
        };
        if (TransformersProcessor.Find(files.Configuration, files.Source) is { } processor)
            config = config with { Preprocess = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, config.Preprocess, files.Source, "Blip") };
        Refuse(files.Source, problems);
        return config with { Preprocess = config.Preprocess.AsTransformers() };
    }

    /// <summary>Whether the model writes captions; else it makes contrastive features and scores pairs.</summary>
    public static bool IsCaptioner(ModelFiles files) => Architecture(files) is "BlipForConditionalGeneration";

    /// <summary>The class that transformers names in the file; null where there is none.</summary>
    public static string? Architecture(ModelFiles files) =>
        files.Configuration.TryGetProperty("architectures", out JsonElement names) && names.ValueKind == JsonValueKind.Array && names.GetArrayLength() == 1 && names[0].ValueKind == JsonValueKind.String
            ? names[0].GetString()
            : null;

    private static BlipTextConfig ReadText(ConfigSection text, int width, int vocabulary, int heads) => new()
    {
        VocabularySize = vocabulary,
        Width = width,
        Layers = text.Integer("num_hidden_layers", 12, 1, 1 << 10),
        Heads = Heads(text, "num_attention_heads", width, heads),
        HiddenWidth = text.Integer("intermediate_size", 3072, 1, 1 << 20),
        Positions = text.Integer("max_position_embeddings", 512, 1, 1 << 16),
        Epsilon = (float)text.Number("layer_norm_eps", 1e-12, 0, 1),
        PaddingId = text.Integer("pad_token_id", 0, 0),
        BeginId = text.Integer("bos_token_id", Math.Max(vocabulary - 2, 0), 0),
        EndId = text.Integer("sep_token_id", 102, 0),
    };

    /// <summary>A number of attention heads, which divides the width.</summary>
    public static int Heads(ConfigSection section, string key, int width, int fallback)
    {
        int heads = section.Integer(key, fallback, 1, 1 << 12);
        if (width % heads == 0)
            return heads;
        section.Problem(key, $"expected a divisor of the width {width}, found {heads}.");
        return 1;
    }

    /// <summary>The pixels of BLIP's processor.</summary>
    public static PreprocessOptions Squashing(int size) => new() { Height = size, Width = size, ResizeMode = ResizeMode.Squash };

    /// <summary>Refuses a configuration with problems, all at once.</summary>
    public static void Refuse(string source, List<string> problems)
    {
        if (problems.Count > 0)
            throw new BadInputException(source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}", "Compare it with the config.json of the model's repository.");
    }
}
