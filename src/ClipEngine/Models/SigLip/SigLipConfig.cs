using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP's and SigLIP 2's image tower (arXiv:2303.15343, arXiv:2502.14786): a vision transformer without class token whose tokens a learned query pools.</summary>
internal sealed record SigLipVisionConfig
{
    /// <summary>Rows of pixels.</summary>
    public required int ImageHeight { get; init; }

    /// <summary>Columns of pixels.</summary>
    public required int ImageWidth { get; init; }

    /// <summary>The side of a square patch in pixels.</summary>
    public required int PatchSize { get; init; }

    /// <summary>Of a token.</summary>
    public required int Width { get; init; }

    /// <summary>Blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Of the blocks and of the pool.</summary>
    public required int Heads { get; init; }

    /// <summary>Hidden units of the MLP, in the blocks and in the pool.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>The MLP's non-linearity. It follows the tower's name, not the family.</summary>
    public required Activation Activation { get; init; }

    /// <summary>The layer norms'.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>Rows of patches.</summary>
    public int GridHeight => ImageHeight / PatchSize;

    /// <summary>Columns of patches.</summary>
    public int GridWidth => ImageWidth / PatchSize;
}

/// <summary>A SigLIP or SigLIP 2 model, whatever layout it came in.</summary>
internal sealed record SigLipConfig
{
    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary>The length of a feature.</summary>
    public required int EmbedDimension { get; init; }

    /// <summary>The image tower.</summary>
    public required SigLipVisionConfig Vision { get; init; }

    /// <summary>The text tower: not causal, pooled at the last position.</summary>
    public required TextConfig Text { get; init; }

    /// <summary>The pixels.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>How images of any shape are packed (SigLIP 2 NaFlex); null where every image is brought to one size.</summary>
    public PatchPacking? Packing { get; init; }

    /// <summary>Whether the keys are those of transformers.</summary>
    public required bool IsTransformers { get; init; }

    /// <summary>open_clip's configuration: <c>timm_model_name</c> fixes the image tower, <c>timm_model.json</c> beside it may change its sizes.</summary>
    public static SigLipConfig ReadOpenClip(ModelFiles files)
    {
        var problems = new List<string>();
        bool isWrapped = files.Configuration.TryGetProperty("model_cfg", out _);
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection model = isWrapped ? file.Section("model_cfg")! : file;
        ConfigSection? preprocess = isWrapped ? file.Section("preprocess_cfg") : null;
        if (isWrapped)
        {
            file.Forget("version", "architecture");
            file.RefuseTheRest();
        }

        int embedDimension = model.Integer("embed_dim", null);
        if (model.Boolean("quick_gelu", false))
            model.Problem("quick_gelu", "reaches neither tower of such a model; expected false.");
        if (!model.Boolean("custom_text", false))
            model.Problem("custom_text", "expected true: the text tower's keys begin with text.");
        model.Forget("init_logit_scale", "init_logit_bias", "output_dict", "cast_dtype", "name");
        SigLipVisionConfig vision = ReadTimm(model.Section("vision_cfg"), files, problems);
        TextConfig text = OpenClipConfigReader.ReadText(model.Section("text_cfg"), model, embedDimension, quickGelu: false);
        model.RefuseTheRest();
        if (vision.Width != embedDimension)
            problems.Add($"embed_dim: expected the image tower's width {vision.Width}, which nothing projects; found {embedDimension}.");
        PreprocessOptions options = OpenClipConfigReader.ReadPreprocess(preprocess, vision.ImageHeight, vision.ImageWidth, problems);
        // A bare configuration of open_clip says nothing of pixels; SigLIP's were all trained on these.
        if (preprocess is null)
            options = options with { Mean = [0.5f, 0.5f, 0.5f], StandardDeviation = [0.5f, 0.5f, 0.5f], ResizeMode = ResizeMode.Squash };
        Refuse(files, problems, "Compare it with the open_clip_config.json of the model's repository.");
        return new SigLipConfig
        {
            Source = files.Source,
            EmbedDimension = embedDimension,
            Vision = vision,
            Text = text,
            Preprocess = options,
            IsTransformers = false,
        };
    }

    /// <summary>transformers' configuration; defaults are those of its <c>SiglipTextConfig</c> and <c>SiglipVisionConfig</c>.</summary>
    public static SigLipConfig ReadTransformers(ModelFiles files)
    {
        var problems = new List<string>();
        // transformers ignores every key that it does not know, and so do these readers: nothing is refused for being there.
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection text = file.Section("text_config") ?? ConfigSection.Empty("text_config.", problems);
        ConfigSection vision = file.Section("vision_config") ?? ConfigSection.Empty("vision_config.", problems);
        int textWidth = text.Integer("hidden_size", 768, 1, 1 << 16), visionWidth = vision.Integer("hidden_size", 768, 1, 1 << 16);
        int embedDimension = text.Integer("projection_size", textWidth, 1, 1 << 16);
        if (embedDimension != visionWidth)
            problems.Add($"text_config.projection_size: expected the image tower's width {visionWidth}, found {embedDimension}.");
        if (!vision.Boolean("vision_use_head", true))
            vision.Problem("vision_use_head", "expected true: without its pool the image tower has no feature.");
        if (vision.Integer("num_channels", 3) != 3)
            vision.Problem("num_channels", "expected 3 (RGB).");
        bool isNaFlex = files.ModelType == "siglip2";
        int patch = vision.Integer("patch_size", 16, 1, OpenClipConfigReader.LargestSide);
        // NaFlex has a square table of positions in place of a size.
        int size = isNaFlex ? patch * Side(vision) : vision.Integer("image_size", 224, 1, OpenClipConfigReader.LargestSide);
        var config = new SigLipConfig
        {
            Source = files.Source,
            EmbedDimension = embedDimension,
            Vision = new SigLipVisionConfig
            {
                ImageHeight = size,
                ImageWidth = size,
                PatchSize = patch,
                Width = visionWidth,
                Layers = vision.Integer("num_hidden_layers", 12, 1, 1 << 10),
                Heads = Heads(vision, visionWidth, 12),
                HiddenWidth = vision.Integer("intermediate_size", 3072, 1, 1 << 20),
                Activation = ReadActivation(vision),
                Epsilon = (float)vision.Number("layer_norm_eps", 1e-6, 0, 1),
            },
            Text = new TextConfig
            {
                ContextLength = text.Integer("max_position_embeddings", 64, 1, 1 << 16),
                VocabularySize = text.Integer("vocab_size", 32000),
                Width = textWidth,
                Heads = Heads(text, textWidth, 12),
                Layers = text.Integer("num_hidden_layers", 12, 1, 1 << 10),
                HiddenWidth = text.Integer("intermediate_size", 3072, 1, 1 << 20),
                IsCausal = false,
                Pooling = TextPooling.Last,
                HasProjectionBias = true,
                Activation = ReadActivation(text),
                Epsilon = (float)text.Number("layer_norm_eps", 1e-6, 0, 1),
                Tokenizer = new TokenizerConfig { ModelType = files.ModelType },
            },
            Preprocess = new PreprocessOptions { Height = size, Width = size, Mean = [0.5f, 0.5f, 0.5f], StandardDeviation = [0.5f, 0.5f, 0.5f], ResizeMode = ResizeMode.Squash },
            IsTransformers = true,
        };
        if (isNaFlex)
            return Checked(Packed(config, files, problems), files, problems);
        if (TransformersProcessor.Find(files.Source) is { } processor)
            config = config with { Preprocess = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, config.Preprocess, files.Source, "Siglip") };
        return Checked(config, files, problems);
    }

    private static SigLipConfig Checked(SigLipConfig config, ModelFiles files, List<string> problems)
    {
        Refuse(files, problems, "Compare it with the config.json of the model's repository.");
        return config with { Preprocess = config.Preprocess.AsTransformers() };
    }

    /// <summary>Images of any shape: so many patches at most as the processor says, 256 unless it does.</summary>
    private static SigLipConfig Packed(SigLipConfig config, ModelFiles files, List<string> problems)
    {
        const int UsualPatches = 256, MostPatches = 1 << 16;
        int maximum = UsualPatches;
        PreprocessOptions pixels = config.Preprocess with { Interpolation = Interpolation.Bilinear };
        if (TransformersProcessor.Find(files.Source) is { } processor)
        {
            var steps = new ConfigSection(processor.Steps, $"{processor.File}: ", problems);
            maximum = steps.Integer("max_num_patches", UsualPatches, 1, MostPatches);
            if (steps.Integer("patch_size", config.Vision.PatchSize, 1, MostPatches) != config.Vision.PatchSize)
                steps.Problem("patch_size", $"expected the model's {config.Vision.PatchSize}.");
            pixels = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, pixels, files.Source, "Siglip2");
        }

        var packing = new PatchPacking(config.Vision.PatchSize, maximum);
        return config with { Packing = packing, Preprocess = pixels with { Height = packing.Size.Height, Width = packing.Size.Width } };
    }

    /// <summary>The side of the square table of positions.</summary>
    private static int Side(ConfigSection vision)
    {
        int patches = vision.Integer("num_patches", 256, 1, 1 << 24), side = (int)Math.Round(Math.Sqrt(patches));
        if (side * side != patches)
            vision.Problem("num_patches", $"expected a square number, found {patches}.");
        return side;
    }

    private static int Heads(ConfigSection section, int width, int otherwise)
    {
        int heads = section.Integer("num_attention_heads", otherwise, 1, 1 << 12);
        if (width % heads == 0)
            return heads;
        section.Problem("num_attention_heads", $"expected a divisor of hidden_size {width}, found {heads}.");
        return 1;
    }

    private static Activation ReadActivation(ConfigSection section) => section.Choice("hidden_act", Activation.GeluTanh,
        ("gelu_pytorch_tanh", Activation.GeluTanh), ("gelu_new", Activation.GeluTanh), ("gelu", Activation.Gelu), ("quick_gelu", Activation.QuickGelu));

    private static SigLipVisionConfig ReadTimm(ConfigSection? section, ModelFiles files, List<string> problems)
    {
        string name = section?.Text("timm_model_name") ?? "";
        SigLipVisionConfig? named = SigLipTowers.Find(name);
        if (section is null || named is null)
        {
            throw new BadInputException(files.Source, $"architecture {BadInputException.Escape(name, 60)} (vision_cfg.timm_model_name) is not built.",
                $"Of SigLIP's towers these are known: {string.Join(", ", SigLipTowers.Names)}.");
        }

        // The name fixes the tower; image_size only sets preprocessing in open_clip, and agrees with the tower in every published model.
        (int height, int width) = section.Pair("image_size", named.ImageHeight, OpenClipConfigReader.LargestSide);
        section.Forget("timm_model_pretrained", "timm_proj_bias", "timm_drop", "timm_drop_path", "patch_dropout", "output_tokens");
        section.Choice("timm_pool", "map", ("map", "map"));
        section.Choice("timm_proj", "none", ("none", "none"));
        section.RefuseTheRest();
        if (files.Beside("timm_model.json") is { } overrides)
            named = SigLipTowers.With(named, overrides, problems);
        if ((height, width) != (named.ImageHeight, named.ImageWidth))
            section.Problem("image_size", $"expected the tower's own size {named.ImageHeight} x {named.ImageWidth}, found {height} x {width}.");
        return named;
    }

    private static void Refuse(ModelFiles files, List<string> problems, string remedy)
    {
        if (problems.Count > 0)
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}", remedy);
    }
}
