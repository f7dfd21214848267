namespace ClipEngine.Models;

/// <summary>What the names of the hub mean by which open_clip opens text encoders of transformers, from the <c>config.json</c> of each.</summary>
internal sealed class TransformersTextTowers : INamedTextTowers
{
    private static readonly Dictionary<string, (string Family, TextEncoderConfig Encoder)> s_encoders = new(StringComparer.Ordinal)
    {
        ["roberta-base"] = Roberta("RoBERTa", 768, 12, 12, 50265),
        ["roberta-large"] = Roberta("RoBERTa", 1024, 24, 16, 50265),
        ["xlm-roberta-base"] = Roberta("XLM-RoBERTa", 768, 12, 12, 250002),
        ["xlm-roberta-large"] = Roberta("XLM-RoBERTa", 1024, 24, 16, 250002),
        ["bert-base-uncased"] = Bert(768, 12, 12, 30522),
        ["bert-base-cased"] = Bert(768, 12, 12, 28996),
        ["bert-base-multilingual-cased"] = Bert(768, 12, 12, 119547),
        ["bert-base-chinese"] = Bert(768, 12, 12, 21128),
        ["bert-large-uncased"] = Bert(1024, 24, 16, 30522),
        ["mt5-small"] = Mt5(512, 8, 6, 1024),
        ["mt5-base"] = Mt5(768, 12, 12, 2048),
        ["mt5-large"] = Mt5(1024, 24, 16, 2816),
        ["mt5-xl"] = Mt5(2048, 24, 32, 5120),
        ["nllb-200-distilled-600M"] = Nllb(12, 4096),
        ["nllb-200-distilled-1.3B"] = Nllb(24, 8192),
    };

    /// <inheritdoc/>
    public bool Knows(string name) => s_encoders.ContainsKey(Plain(name));

    /// <inheritdoc/>
    public TextTowerConfig Read(string name, ConfigSection section, ConfigSection? sizes, int embedDimension)
    {
        const int UsualContext = 77;
        (string family, TextEncoderConfig encoder) = s_encoders[Plain(name)];
        if (sizes is not null)
            encoder = encoder.With(sizes);
        TokenPooling pooling = section.Choice("hf_pooler_type", TokenPooling.Mean, ("mean_pooler", TokenPooling.Mean),
            ("cls_pooler", encoder.HasPoolingLayer ? TokenPooling.PoolingLayer : TokenPooling.First), ("cls_last_hidden_state_pooler", TokenPooling.First));
        TextProjection projection = section.Choice("hf_proj_type", TextProjection.Mlp, ("mlp", TextProjection.Mlp), ("linear", TextProjection.Linear), ("", TextProjection.None));
        if (projection == TextProjection.None && encoder.Width != embedDimension)
            section.Problem("hf_proj_type", $"without a projection expected an encoder as wide as embed_dim {embedDimension}, found {encoder.Width}.");
        int context = section.Integer("context_length", UsualContext, 1, 1 << 16);
        return new TransformersTextConfig(encoder, family, pooling, projection, context, OpenClipConfigReader.ReadTokenizer(section));
    }

    private static string Plain(string name) => name[(name.LastIndexOf('/') + 1)..];

    private static (string Family, TextEncoderConfig Encoder) Bert(int width, int layers, int heads, int vocabulary) => ("CLIP with a BERT text tower", new BertTextEncoder(new BertConfig
    {
        VocabularySize = vocabulary,
        Width = width,
        Layers = layers,
        Heads = heads,
        HiddenWidth = 4 * width,
        Positions = 512,
        TokenTypes = 2,
    }));

    private static (string Family, TextEncoderConfig Encoder) Mt5(int width, int layers, int heads, int hidden) => ("CLIP with an mT5 text tower", new Mt5TextEncoder
    {
        TokenWidth = width,
        Blocks = layers,
        AttentionHeads = heads,
        HiddenWidth = hidden,
        Words = 250112,
    });

    private static (string Family, TextEncoderConfig Encoder) Nllb(int layers, int hidden) => ("NLLB-CLIP", new M2M100TextEncoder
    {
        TokenWidth = 1024,
        Blocks = layers,
        AttentionHeads = 16,
        HiddenWidth = hidden,
        Words = 256206,
    });

    private static (string Family, TextEncoderConfig Encoder) Roberta(string name, int width, int layers, int heads, int vocabulary) => ($"CLIP with a{(name[0] == 'X' ? "n" : "")} {name} text tower", new BertTextEncoder(new BertConfig
    {
        VocabularySize = vocabulary,
        Width = width,
        Layers = layers,
        Heads = heads,
        HiddenWidth = 4 * width,
        Positions = 514,
        TokenTypes = 1,
        Epsilon = 1e-5f,
        PaddingId = 1,
        CountsBehindPadding = true,
    }));
}
