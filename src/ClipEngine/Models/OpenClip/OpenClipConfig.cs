using System.Collections.Immutable;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>How an image tower turns its tokens into one feature.</summary>
internal enum ImagePooling
{
    /// <summary>The class token (<c>tok</c>).</summary>
    ClassToken,

    /// <summary>The mean of all tokens but the first (<c>avg</c>).</summary>
    Average,

    /// <summary>No pooling: every token is projected, a feature is <c>[tokens, embed_dim]</c> (<c>none</c>).</summary>
    None,
}

/// <summary>Where an attentional pooler sits in the image tower.</summary>
internal enum AttentionalPooling
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>CoCa's order: pool, then normalise, then <see cref="ImagePooling"/> over the queries (<c>true</c>).</summary>
    Single,

    /// <summary>Normalise; a second pooler with one query looks at the same tokens (<c>"parallel"</c>).</summary>
    Parallel,

    /// <summary>Normalise; a second pooler with one query looks at what the first one made (<c>"cascade"</c>).</summary>
    Cascade,
}

/// <summary>Which token of a text tower is the sentence's feature.</summary>
internal enum TextPooling
{
    /// <summary>The token with the largest id, the first of several: CLIP's end of text (<c>argmax</c>).</summary>
    LargestId,

    /// <summary>The last position, padding or not (<c>last</c>).</summary>
    Last,

    /// <summary>The first position (<c>first</c>).</summary>
    First,

    /// <summary>The first token whose id is <see cref="TextConfig.EndOfTextId"/>; the first position where there is none (<c>eos</c>).</summary>
    EndOfText,

    /// <summary>No pooling: a feature is <c>[tokens, embed_dim]</c> (<c>none</c>).</summary>
    None,
}

/// <summary>How an image tower's positions came about; the numbers are read from the checkpoint either way.</summary>
internal enum PositionEmbeddingKind
{
    /// <summary>Trained.</summary>
    Learnable,

    /// <summary>Fixed sines and cosines over a square grid.</summary>
    SinCos2D,
}

/// <summary>Which text is fed to the tower, where it is not CLIP's byte-pair encoding.</summary>
public sealed record TokenizerConfig
{
    /// <summary><c>hf_tokenizer_name</c>: a tokenizer on the hub, or null for CLIP's byte-pair encoding.</summary>
    public string? HubName { get; init; }

    /// <summary><c>tokenizer_kwargs.clean</c>, or null for the tokenizer's default.</summary>
    public string? Clean { get; init; }

    /// <summary><c>tokenizer_kwargs.strip_sep_token</c>.</summary>
    public bool StripSeparator { get; init; }

    /// <summary><c>tokenizer_kwargs.language</c>: NLLB's code, or null for the tokenizer's own.</summary>
    public string? Language { get; init; }

    /// <summary><c>tokenizer_mode</c>, or null for the plain one.</summary>
    public string? Mode { get; init; }

    /// <summary>transformers' <c>model_type</c> where the model lies in its layout: the tokenizer's files are then read as transformers does. Null in open_clip's layout.</summary>
    public string? ModelType { get; init; }

    /// <summary>Whose ids sentences become, in words for run records: <c>sentences as open_clip, CLIP's own tokenizer, clean lower</c>.</summary>
    public string Describe()
    {
        if (ModelType is not null)
            return $"sentences as transformers, {ModelType}";
        string name = HubName ?? "CLIP's own tokenizer", language = Language is null ? "" : $", language {Language}";
        return $"sentences as open_clip, {name}, clean {Clean ?? (HubName is null ? "lower" : "whitespace")}{(StripSeparator ? ", separator stripped" : "")}{language}";
    }
}

/// <summary>An image tower as <c>vision_cfg</c> describes it; the names of the JSON keys stand in each comment.</summary>
internal sealed record VisionConfig
{
    /// <summary><c>image_size</c>, rows.</summary>
    public required int ImageHeight { get; init; }

    /// <summary><c>image_size</c>, columns.</summary>
    public required int ImageWidth { get; init; }

    /// <summary><c>width</c>: the transformer's, or the channels behind a ResNet's stem.</summary>
    public required int Width { get; init; }

    /// <summary><c>layers</c>: one number for a transformer, four for a ResNet.</summary>
    public required ImmutableArray<int> Layers { get; init; }

    /// <summary>Whether <see cref="Layers"/> was written as a list: then it is a ResNet.</summary>
    public bool IsResNet { get; init; }

    /// <summary>Attention heads: <c>width / head_width</c>, or <c>32 width / head_width</c> in a ResNet's attention pool.</summary>
    public required int Heads { get; init; }

    /// <summary><c>patch_size</c>: the side of a square patch in pixels; for a ResNet 32, by which it shrinks an image.</summary>
    public required int PatchSize { get; init; }

    /// <summary>Hidden units of the MLP: <c>width * mlp_ratio</c>, rounded down.</summary>
    public int HiddenWidth { get; init; }

    /// <summary>Whether <c>ls_init_value</c> is given; the blocks then have a layer scale.</summary>
    public bool HasLayerScale { get; init; }

    /// <summary><c>attentional_pool</c>.</summary>
    public AttentionalPooling AttentionalPool { get; init; }

    /// <summary><c>attn_pooler_queries</c>.</summary>
    public int PoolerQueries { get; init; } = 256;

    /// <summary><c>attn_pooler_heads</c>.</summary>
    public int PoolerHeads { get; init; } = 8;

    /// <summary><c>no_ln_pre</c>, negated.</summary>
    public bool HasPreNorm { get; init; } = true;

    /// <summary><c>pos_embed_type</c>.</summary>
    public PositionEmbeddingKind Positions { get; init; }

    /// <summary><c>final_ln_after_pool</c>; ignored with an attentional pooler, as in open_clip.</summary>
    public bool FinalNormAfterPool { get; init; }

    /// <summary><c>pool_type</c>.</summary>
    public ImagePooling Pooling { get; init; }

    /// <summary>The MLP's non-linearity: <c>quick_gelu</c> and <c>act_kwargs.approximate</c>.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary><c>norm_kwargs.eps</c>.</summary>
    public float Epsilon { get; init; } = 1e-5f;

    /// <summary>Rows of patches.</summary>
    public int GridHeight => ImageHeight / PatchSize;

    /// <summary>Columns of patches.</summary>
    public int GridWidth => ImageWidth / PatchSize;
}

/// <summary>A text tower as <c>text_cfg</c> describes it.</summary>
internal sealed record TextConfig
{
    /// <summary><c>context_length</c>: tokens of a sentence, start and end included.</summary>
    public required int ContextLength { get; init; }

    /// <summary><c>vocab_size</c>.</summary>
    public required int VocabularySize { get; init; }

    /// <summary><c>width</c>.</summary>
    public required int Width { get; init; }

    /// <summary><c>heads</c>.</summary>
    public required int Heads { get; init; }

    /// <summary><c>layers</c>.</summary>
    public required int Layers { get; init; }

    /// <summary>Hidden units of the MLP: <c>width * mlp_ratio</c>, rounded down.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>Whether <c>ls_init_value</c> is given; the blocks then have a layer scale.</summary>
    public bool HasLayerScale { get; init; }

    /// <summary><c>embed_cls</c>: a learned token behind the sentence, which is then the feature (CoCa).</summary>
    public bool EmbedsClassToken { get; init; }

    /// <summary><c>pad_id</c>: hidden from the class token.</summary>
    public int PadId { get; init; }

    /// <summary><c>eos_id</c>, for <see cref="TextPooling.EndOfText"/>.</summary>
    public int EndOfTextId { get; init; } = 2;

    /// <summary><c>no_causal_mask</c>, negated.</summary>
    public bool IsCausal { get; init; } = true;

    /// <summary><c>pool_type</c>.</summary>
    public TextPooling Pooling { get; init; }

    /// <summary><c>proj_type</c> is not <c>none</c>.</summary>
    public bool HasProjection { get; init; } = true;

    /// <summary><c>proj_bias</c>: the projection is a linear layer with bias, else a bare matrix.</summary>
    public bool HasProjectionBias { get; init; }

    /// <summary>The MLP's non-linearity.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary><c>norm_kwargs.eps</c>.</summary>
    public float Epsilon { get; init; } = 1e-5f;

    /// <summary>The tokenizer.</summary>
    public TokenizerConfig Tokenizer { get; init; } = new();
}

/// <summary>CoCa's caption decoder as <c>multimodal_cfg</c> describes it.</summary>
internal sealed record CaptionDecoderConfig
{
    /// <summary><c>width</c>.</summary>
    public required int Width { get; init; }

    /// <summary><c>heads</c>.</summary>
    public required int Heads { get; init; }

    /// <summary><c>layers</c>: each a self-attending and a cross-attending block.</summary>
    public required int Layers { get; init; }

    /// <summary>Hidden units of the MLP.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>Whether the blocks have a layer scale.</summary>
    public bool HasLayerScale { get; init; }

    /// <summary><c>context_length</c>: ids of a caption at most.</summary>
    public required int ContextLength { get; init; }

    /// <summary><c>text_cfg.vocab_size</c>: logits of each id.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>The MLP's non-linearity.</summary>
    public required Activation Activation { get; init; }
}

/// <summary>
/// A two-tower model in OpenCLIP's terms: <c>open_clip_config.json</c> (<c>model_cfg</c> and <c>preprocess_cfg</c>), or a bare
/// model configuration as open_clip ships them.
/// </summary>
/// <remarks>Unknown keys, options that are not built and sizes that do not divide are refused together, with the expected and the found value.</remarks>
internal sealed record OpenClipConfig
{
    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary><c>embed_dim</c>: the length of a feature.</summary>
    public required int EmbedDimension { get; init; }

    /// <summary><c>vision_cfg</c>.</summary>
    public required VisionConfig Vision { get; init; }

    /// <summary><c>text_cfg</c>.</summary>
    public required TextConfig Text { get; init; }

    /// <summary><c>multimodal_cfg</c>, or null where the model has no caption decoder.</summary>
    public CaptionDecoderConfig? CaptionDecoder { get; init; }

    /// <summary><c>quick_gelu</c>.</summary>
    public bool QuickGelu { get; init; }

    /// <summary><c>custom_text</c>: the text tower's keys begin with <c>text.</c>.</summary>
    public bool CustomText { get; init; }

    /// <summary>Whether <c>init_logit_bias</c> is given; the checkpoint then holds <c>logit_bias</c>.</summary>
    public bool HasLogitBias { get; init; }

    /// <summary><c>preprocess_cfg</c>; open_clip's defaults where the file says nothing.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>Whether the file itself stated mean and standard deviation. A bare configuration does not, and weights trained with others would silently be fed wrong pixels.</summary>
    public required bool StatesPreprocessing { get; init; }

    /// <summary>The model at another image size than it was trained at; its preprocessing follows.</summary>
    /// <param name="size">Height and width in pixels.</param>
    /// <exception cref="BadInputException">A ResNet, less than a patch, or more than any image has.</exception>
    public OpenClipConfig AtImageSize((int Height, int Width) size) => this with
    {
        Vision = ((OpenClipImageTower)new OpenClipImageTower(Vision).AtSize(size)).Config,
        Preprocess = Preprocess with { Height = size.Height, Width = size.Width },
    };

    /// <summary>Reads and checks a configuration.</summary>
    /// <param name="path">The JSON file, or a model of the catalogue where there is no such file.</param>
    /// <exception cref="BadInputException">Not such a file, or one that is refused; names every problem.</exception>
    public static OpenClipConfig Load(string path) => OpenClipConfigReader.Parse(ConfigFile.Read(path), path);

    /// <summary>Reads and checks a configuration that is already in memory.</summary>
    /// <param name="utf8">The JSON text.</param>
    /// <param name="source">What messages call it.</param>
    /// <exception cref="BadInputException">Refused; names every problem.</exception>
    public static OpenClipConfig Parse(ReadOnlySpan<byte> utf8, string source) => OpenClipConfigReader.Parse(ConfigFile.ParseRoot(utf8, source), source);
}
