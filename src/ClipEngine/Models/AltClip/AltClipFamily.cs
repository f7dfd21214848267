using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>AltCLIP (arXiv:2211.06679) in transformers' layout: CLIP's image tower, and an XLM-RoBERTa whose first token goes through a norm and two projections.</summary>
internal sealed class AltClipFamily : IModelFamily
{
    /// <summary>What a configuration calls it.</summary>
    public const string ModelType = "altclip";

    private static readonly KeyTable s_keys = new([TransformersVisionKeys.Positions, "text_model.roberta.embeddings.position_ids"],
        [.. TransformersVisionKeys.Entries, BertEncoder.Fused("text_model.roberta.")]);

    public string Name => "AltCLIP";

    public bool Recognizes(ModelFiles files) => files.ModelType == ModelType;

    public ModelPlan Plan(ModelFiles files)
    {
        // Defaults are those of transformers' AltCLIPTextConfig.
        var usual = new BertConfig
        {
            VocabularySize = 250002,
            Width = 1024,
            Layers = 24,
            Heads = 16,
            HiddenWidth = 4096,
            Positions = 514,
            TokenTypes = 1,
            Epsilon = 1e-5f,
            PaddingId = 1,
            CountsBehindPadding = true,
        };
        return new TwoTowerPlan(TransformersClipReader.ReadBeside(files, Name, s_keys, processor: "CLIP", 768, usual,
            (section, bert) => new AltClipTextConfig(bert, section.Integer("project_dim", 768, 1, 1 << 16), new TokenizerConfig { ModelType = files.ModelType })));
    }
}

/// <summary>AltCLIP's text tower as its configuration describes it.</summary>
/// <param name="Bert">The XLM-RoBERTa.</param>
/// <param name="InnerWidth"><c>project_dim</c>: between the two projections.</param>
/// <param name="Words">The tokenizer.</param>
internal sealed record AltClipTextConfig(BertConfig Bert, int InnerWidth, TokenizerConfig Words) : TextTowerConfig
{
    public override string? Family => "AltCLIP";

    public override TokenizerConfig Tokenizer => Words;

    public override int ContextLength => Bert.LongestSentence;

    public override int VocabularySize => Bert.VocabularySize;

    public override string Outline => string.Create(CultureInfo.InvariantCulture, $"{Bert.Width} wide, {Bert.Layers} blocks, context {ContextLength}, vocabulary {VocabularySize}");

    public override ITextTower Build(WeightReader weights, int embedDimension) => new AltClipText(this, embedDimension, weights);
}

/// <summary>AltCLIP's text tower: XLM-RoBERTa, a norm (<c>pre_LN</c>), and two projections of the first token.</summary>
internal sealed class AltClipText : ITextTower
{
    private readonly BertConfig _config;
    private readonly BertEncoder _encoder;
    private readonly Weight _normWeight, _normBias, _transformation, _transformationBias, _projection;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader at the top.</param>
    public AltClipText(AltClipTextConfig config, int embedDimension, WeightReader weights)
    {
        _config = config.Bert;
        WeightReader text = weights.Scope("text_model");
        _encoder = new BertEncoder(config.Bert, text.Scope("roberta"));
        _normWeight = text.Read("pre_LN.weight", WeightRole.Vector, _config.Width);
        _normBias = text.Read("pre_LN.bias", WeightRole.Vector, _config.Width);
        _transformation = text.Read("transformation.weight", WeightRole.Linear, config.InnerWidth, _config.Width);
        _transformationBias = text.Read("transformation.bias", WeightRole.Vector, config.InnerWidth);
        _projection = weights.Read("text_projection.weight", WeightRole.Linear, embedDimension, config.InnerWidth);
    }

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, ReadOnlySpan<int> ids, int length)
    {
        long mark = pass.EnterScope();
        Tensor x = _encoder.Forward(pass, new PaddedSentences(ids, length, _config.PaddingId, hidesInnerPadding: false), onlyFirst: true);   // [n, width]
        x = pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon);
        x = pass.Linear(x, _transformation, _transformationBias);                                                                              // [n, project_dim]
        return pass.LeaveScope(mark, pass.Linear(x, _projection, bias: null));                                                                 // [n, embed_dim]
    }
}
