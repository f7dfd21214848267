using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Chinese-CLIP (arXiv:2211.01335) in transformers' layout: CLIP's image tower, and a BERT whose first token is projected.</summary>
internal sealed class ChineseClipFamily : IModelFamily
{
    /// <summary>What a configuration calls it.</summary>
    public const string ModelType = "chinese_clip";

    private static readonly KeyTable s_keys = new([TransformersVisionKeys.Positions, "text_model.embeddings.position_ids"],
        [.. TransformersVisionKeys.Entries, BertEncoder.Fused("text_model.")]);

    public string Name => "Chinese-CLIP";

    public bool Recognizes(ModelFiles files) => files.ModelType == ModelType;

    public ModelPlan Plan(ModelFiles files)
    {
        // Defaults are those of transformers' ChineseCLIPTextConfig.
        var usual = new BertConfig
        {
            VocabularySize = 30522,
            Width = 768,
            Layers = 12,
            Heads = 12,
            HiddenWidth = 3072,
            Positions = 512,
            TokenTypes = 2,
        };
        return new TwoTowerPlan(TransformersClipReader.ReadBeside(files, Name, s_keys, processor: "ChineseCLIP", 512, usual,
            (_, bert) => new ChineseClipTextConfig(bert, new TokenizerConfig { ModelType = files.ModelType })));
    }
}

/// <summary>Chinese-CLIP's text tower as its configuration describes it.</summary>
/// <param name="Bert">The BERT.</param>
/// <param name="Words">The tokenizer.</param>
internal sealed record ChineseClipTextConfig(BertConfig Bert, TokenizerConfig Words) : TextTowerConfig
{
    public override string? Family => "Chinese-CLIP";

    public override TokenizerConfig Tokenizer => Words;

    public override int ContextLength => Bert.LongestSentence;

    public override int VocabularySize => Bert.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{Bert.Width} wide, {Bert.Layers} blocks, context {ContextLength}, vocabulary {VocabularySize}");

    public override ITextTower Build(WeightReader weights, int embedDimension) => new ChineseClipText(Bert, embedDimension, weights);
}

/// <summary>Chinese-CLIP's text tower: BERT, of which the first token is projected; there is no pooling layer.</summary>
internal sealed class ChineseClipText : ITextTower
{
    private readonly BertConfig _config;
    private readonly BertEncoder _encoder;
    private readonly Weight _projection;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader at the top.</param>
    public ChineseClipText(BertConfig config, int embedDimension, WeightReader weights)
    {
        _config = config;
        _encoder = new BertEncoder(config, weights.Scope("text_model"));
        _projection = weights.Read("text_projection.weight", WeightRole.Linear, embedDimension, config.Width);
    }

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        long mark = pass.EnterScope();
        Tensor first = _encoder.Forward(pass, new PaddedSentences(ids, length, _config.PaddingId, hidesInnerPadding: false), onlyFirst: true);   // [n, width]
        return pass.LeaveScope(mark, pass.Linear(first, _projection, bias: null));                                                                 // [n, embed_dim]
    }
}
