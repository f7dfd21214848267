using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP-2 (arXiv:2301.12597) for image-text retrieval: transformers' <c>Blip2ForImageTextRetrieval</c>, in its layout.</summary>
internal sealed class Blip2Family : IModelFamily
{
    private const string Built = "Blip2ForImageTextRetrieval";

    public string Name => "BLIP-2";

    public bool Recognizes(ModelFiles files) => files.ModelType == "blip-2";

    public ModelPlan Plan(ModelFiles files) => BlipConfig.Architecture(files) is { } name and not Built
        ? throw new BadInputException(files.Source, $"describes {BadInputException.Escape(name, 60)}, which is not built.", $"Built is {Built}; the models that write with a language model are not.")
        : new Blip2Plan(Name, Blip2Config.Read(files));
}

/// <summary>A BLIP-2 model's plan.</summary>
internal sealed class Blip2Plan(string family, Blip2Config config) : ModelPlan
{
    /// <summary>The image tower's keys in BLIP's words, the Q-Former's in BERT's. Self-attention's three matrices become one.</summary>
    private static readonly KeyTable s_keys = new(
        ["embeddings.position_ids"],
        [
            .. BlipPlan.VisionKeys,
            ("qformer.encoder.layer.#.attention.attention.?.", "qformer.encoder.layer.#.attention.self.qkv."),
            ("qformer.encoder.layer.#.crossattention.attention.query.", "qformer.encoder.layer.#.crossattention.self.query."),
            ("qformer.encoder.layer.#.crossattention.attention.key.", "qformer.encoder.layer.#.crossattention.self.key."),
            ("qformer.encoder.layer.#.crossattention.attention.value.", "qformer.encoder.layer.#.crossattention.self.value."),
            ("vision_projection.", "vision_proj."),
            ("text_projection.", "text_proj."),
        ]);

    public override string Family => family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => ModelAbilities.Embed | ModelAbilities.ScorePairs;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override TokenizerConfig Tokenizer => Blip2Retrieval.Words;

    public override int ImageVectors => config.QFormer.Queries;

    public override int ContextLength => config.QFormer.Bert.Positions;

    public override int VocabularySize => config.VocabularySize;

    /// <summary>BERT's [SEP]: the last id is the image's placeholder, which is no word.</summary>
    internal override int? EndOfSentence => Math.Min(102, config.QFormer.Bert.VocabularySize - 1);

    public override string Outline => string.Create(CultureInfo.InvariantCulture,
        $"image tower {config.Vision.Outline}; Q-Former {config.QFormer.Bert.Width} wide, {config.QFormer.Bert.Layers} layers, {config.QFormer.Queries} queries, context {ContextLength}, vocabulary {VocabularySize}; features of {config.EmbedDimension}, {config.QFormer.Queries} of each image");

    public override ICheckpoint Arrange(ICheckpoint checkpoint) => s_keys.Apply(checkpoint);

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        if (options.ImageSize is not null)
            throw new BadInputException("image size", "BLIP-2 runs at the size that it was trained at.", "Leave the image size out.");
        return new Blip2Retrieval(config, weights, backend);
    }
}
