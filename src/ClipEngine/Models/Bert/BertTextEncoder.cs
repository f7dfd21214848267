using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;

namespace ClipEngine.Models;

/// <summary>BERT, RoBERTa or XLM-RoBERTa as the encoder of a text tower.</summary>
/// <param name="Config">Its sizes.</param>
internal sealed record BertTextEncoder(BertConfig Config) : TextEncoderConfig
{
    private static readonly KeyTable s_keys = new([], BertEncoder.Fused("text.transformer."));

    public override int Width => Config.Width;

    public override int Layers => Config.Layers;

    public override int Heads => Config.Heads;

    public override int VocabularySize => Config.VocabularySize;

    public override int PaddingId => Config.PaddingId;

    public override int? LongestSentence => Config.LongestSentence;

    /// <summary>RoBERTa's <c>&lt;s&gt;</c> and <c>&lt;/s&gt;</c>.</summary>
    public override (int Begin, int End)? SentenceIds => Config.CountsBehindPadding ? (0, 2) : null;

    public override bool HasPoolingLayer => true;

    public override KeyTable? Keys => s_keys;

    public override TextEncoderConfig With(ConfigSection sizes) => new BertTextEncoder(BertConfigReader.Read(sizes, Config));

    public override ITextEncoder Build(WeightReader weights, int contextLength) => new BertEncoder(Config, weights);
}
