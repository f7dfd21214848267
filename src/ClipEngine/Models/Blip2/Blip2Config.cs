using ClipEngine.Imaging;

namespace ClipEngine.Models;

/// <summary>The Q-Former (arXiv:2301.12597, section 3.1): a BERT over learned queries and a sentence, whose queries look at the image.</summary>
internal sealed record QFormerConfig
{
    /// <summary>The sizes of the BERT; <see cref="BertConfig.VocabularySize"/> is the number of rows of the word table.</summary>
    public required BertConfig Bert { get; init; }

    /// <summary>Learned queries.</summary>
    public required int Queries { get; init; }

    /// <summary>Every so many layers, from the first on, the queries look at the image.</summary>
    public required int CrossAttentionFrequency { get; init; }
}

/// <summary>A BLIP-2 model for image-text retrieval in transformers' layout; defaults are those of transformers 5.24.</summary>
internal sealed record Blip2Config
{
    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary>The image tower, which BLIP shares.</summary>
    public required BlipVisionConfig Vision { get; init; }

    /// <summary>The Q-Former.</summary>
    public required QFormerConfig QFormer { get; init; }

    /// <summary>The length of a contrastive feature.</summary>
    public required int EmbedDimension { get; init; }

    /// <summary>The id that stands for the image before a sentence in what the processor returns; null where sentences are bare.</summary>
    public int? PlaceholderId { get; init; }

    /// <summary>The pixels: squashed to a square, OpenAI's mean and deviation.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>One more than the largest id: the published placeholder lies behind the word table.</summary>
    public int VocabularySize => Math.Max(QFormer.Bert.VocabularySize, PlaceholderId + 1 ?? 0);

    // Blip2VisionConfig (EVA's ViT-g without its last block) and Blip2QFormerConfig.
    private static readonly BlipVisionConfig s_usualVision = new() { ImageSize = 224, PatchSize = 14, Width = 1408, Layers = 39, Heads = 16, HiddenWidth = 6144, Epsilon = 1e-6f };
    private static readonly BertConfig s_usualBert = new() { VocabularySize = 30522, Width = 768, Layers = 12, Heads = 12, HiddenWidth = 3072, Positions = 512 };

    /// <summary>Reads transformers' configuration.</summary>
    public static Blip2Config Read(ModelFiles files)
    {
        var problems = new List<string>();
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection vision = file.Section("vision_config") ?? ConfigSection.Empty("vision_config.", problems), qFormer = file.Section("qformer_config") ?? ConfigSection.Empty("qformer_config.", problems);
        BlipVisionConfig image = BlipVisionConfig.Read(vision, s_usualVision);
        if (!vision.Boolean("qkv_bias", true))
            vision.Problem("qkv_bias", "expected true: the published models have it.");
        if (!qFormer.Boolean("use_qformer_text_input", false))
            qFormer.Problem("use_qformer_text_input", "expected true: without it the Q-Former has no layers for sentences.");
        int imageWidth = qFormer.Integer("encoder_hidden_size", s_usualVision.Width, 1, 1 << 16);
        if (imageWidth != image.Width)
            qFormer.Problem("encoder_hidden_size", $"expected the image tower's hidden_size {image.Width}, found {imageWidth}.");
        var config = new Blip2Config
        {
            Source = files.Source,
            Vision = image,
            QFormer = new QFormerConfig
            {
                Bert = BertConfigReader.Read(qFormer, s_usualBert) with { TokenTypes = 0 },
                Queries = file.Integer("num_query_tokens", 32, 1, 1 << 12),
                CrossAttentionFrequency = qFormer.Integer("cross_attention_frequency", 2, 1, 1 << 10),
            },
            EmbedDimension = file.Integer("image_text_hidden_size", 256, 1, 1 << 16),
            PlaceholderId = file.Has("image_token_index") ? file.Integer("image_token_index", null, 0) : null,
            Preprocess = BlipConfig.Squashing(image.ImageSize),
        };
        if (TransformersProcessor.Find(files.Configuration, files.Source) is { } processor)
            config = config with { Preprocess = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, config.Preprocess, files.Source, "Blip") };
        BlipConfig.Refuse(files.Source, problems);
        return config with { Preprocess = config.Preprocess.AsTransformers() };
    }
}
