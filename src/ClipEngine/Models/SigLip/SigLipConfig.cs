using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>SigLIP's and SigLIP 2's image tower (arXiv:2303.15343, arXiv:2502.14786): a vision transformer without class token whose tokens a learned query pools.</summary>
internal sealed record SigLipVisionConfig : ImageTowerConfig
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

    /// <summary>How images of any shape are packed (SigLIP 2 NaFlex); null where every image is brought to one size.</summary>
    public PatchPacking? Patches { get; init; }

    public override string? Family => "SigLIP";

    public override (int Height, int Width) ImageSize => (ImageHeight, ImageWidth);

    public override PatchPacking? Packing => Patches;

    public override PreprocessOptions? UsualPreprocess => new()
    {
        Height = ImageHeight,
        Width = ImageWidth,
        Mean = [0.5f, 0.5f, 0.5f],
        StandardDeviation = [0.5f, 0.5f, 0.5f],
        ResizeMode = ResizeMode.Squash,
    };

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"{Width} wide, {Layers} blocks, patch {PatchSize}, {(Patches is { } packing ? $"images of any shape in at most {packing.Maximum} patches" : $"{ImageHeight} x {ImageWidth} px")}, pooled by a learned query");

    public override ImageTowerConfig AtSize((int Height, int Width) size)
    {
        if (Patches is not null)
            throw new BadInputException("image size", "the model takes images of any shape.", "Leave the image size out.");
        CheckSize(size, PatchSize);
        return this with { ImageHeight = size.Height, ImageWidth = size.Width };
    }

    public override IImageTower Build(WeightReader weights, int embedDimension)
    {
        WeightReader trunk = weights.Scope("trunk");
        return Patches is { } packing ? new SigLipNaFlexVision(this, packing, trunk) : new SigLipVision(this, trunk);
    }
}

/// <summary>Reads SigLIP's and SigLIP 2's configuration in transformers' layout.</summary>
internal static class SigLipConfig
{
    /// <summary>transformers' configuration; defaults are those of its <c>SiglipTextConfig</c> and <c>SiglipVisionConfig</c>.</summary>
    public static TwoTowerConfig Read(ModelFiles files, string family)
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
        var image = new SigLipVisionConfig
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
        };
        var sentences = new TextConfig
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
        };
        PreprocessOptions pixels = image.UsualPreprocess!;
        if (isNaFlex)
            (image, pixels) = Packed(image, pixels, files, problems);
        else if (TransformersProcessor.Find(files.Configuration, files.Source) is { } processor)
            pixels = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, pixels, files.Source, "Siglip");
        if (problems.Count > 0)
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}", "Compare it with the config.json of the model's repository.");
        return new TwoTowerConfig
        {
            Family = family,
            Source = files.Source,
            EmbedDimension = embedDimension,
            Image = image,
            Text = new OpenClipTextTower(sentences, CustomText: true),
            Preprocess = pixels.AsTransformers(),
            HasLogitBias = true,
        };
    }

    /// <summary>Images of any shape: so many patches at most as the processor says, 256 unless it does.</summary>
    private static (SigLipVisionConfig Image, PreprocessOptions Pixels) Packed(SigLipVisionConfig image, PreprocessOptions pixels, ModelFiles files, List<string> problems)
    {
        const int UsualPatches = 256, MostPatches = 1 << 16;
        int maximum = UsualPatches;
        pixels = pixels with { Interpolation = Interpolation.Bilinear };
        if (TransformersProcessor.Find(files.Configuration, files.Source) is { } processor)
        {
            var steps = new ConfigSection(processor.Steps, $"{processor.File}: ", problems);
            maximum = steps.Integer("max_num_patches", UsualPatches, 1, MostPatches);
            if (steps.Integer("patch_size", image.PatchSize, 1, MostPatches) != image.PatchSize)
                steps.Problem("patch_size", $"expected the model's {image.PatchSize}.");
            pixels = TransformersProcessor.ReadSquashing(processor.Steps, processor.File, pixels, files.Source, "Siglip2");
        }

        var packing = new PatchPacking(image.PatchSize, maximum);
        return (image with { Patches = packing }, pixels with { Height = packing.Size.Height, Width = packing.Size.Width });
    }

    /// <summary>The side of the square table of positions.</summary>
    private static int Side(ConfigSection vision)
    {
        int patches = vision.Integer("num_patches", 256, 1, 1 << 24), side = (int)Math.Round(Math.Sqrt(patches));
        if (side * side != patches)
            vision.Problem("num_patches", $"expected a square number, found {patches}.");
        return side;
    }

    private static int Heads(ConfigSection section, int width, int fallback)
    {
        int heads = section.Integer("num_attention_heads", fallback, 1, 1 << 12);
        if (width % heads == 0)
            return heads;
        section.Problem("num_attention_heads", $"expected a divisor of hidden_size {width}, found {heads}.");
        return 1;
    }

    private static Activation ReadActivation(ConfigSection section) => section.Choice("hidden_act", Activation.GeluTanh,
        ("gelu_pytorch_tanh", Activation.GeluTanh), ("gelu_new", Activation.GeluTanh), ("gelu", Activation.Gelu), ("quick_gelu", Activation.QuickGelu));
}
