using System.Collections.Immutable;
using System.Text.Json;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Turns OpenCLIP's JSON into <see cref="OpenClipConfig"/>. Defaults are those of open_clip's <c>CLIPVisionCfg</c> and <c>CLIPTextCfg</c>.</summary>
internal static class OpenClipConfigReader
{
    /// <summary>Of an image, in pixels.</summary>
    internal const int LargestSide = 1 << 14;

    /// <summary>open_clip's default of <c>text_cfg.vocab_size</c>, which a decoder beside a text tower of transformers has.</summary>
    private const int CaptionVocabulary = 49408;

    /// <summary>A model of open_clip's own towers alone.</summary>
    public static OpenClipConfig Parse(JsonElement root, string source)
    {
        RefuseForeignTowers(root, source);
        (TwoTowerConfig config, bool quickGelu, bool statesPreprocessing) = ReadAll(new ModelFiles(root, source));
        var text = (OpenClipTextTower)config.Text;
        return new OpenClipConfig
        {
            Source = source,
            EmbedDimension = config.EmbedDimension,
            Vision = ((OpenClipImageTower)config.Image).Config,
            Text = text.Config,
            CaptionDecoder = config.CaptionDecoder,
            QuickGelu = quickGelu,
            CustomText = text.CustomText,
            HasLogitBias = config.HasLogitBias,
            Preprocess = config.Preprocess,
            StatesPreprocessing = statesPreprocessing,
        };
    }

    /// <summary>A model of any towers that are known.</summary>
    /// <exception cref="BadInputException">Refused; names every problem.</exception>
    public static TwoTowerConfig Read(ModelFiles files) => ReadAll(files).Config;

    /// <summary>The same model as two towers.</summary>
    public static TwoTowerConfig ToTowers(OpenClipConfig config, string family) => new()
    {
        Family = family,
        Source = config.Source,
        EmbedDimension = config.EmbedDimension,
        Image = new OpenClipImageTower(config.Vision),
        Text = new OpenClipTextTower(config.Text, config.CustomText),
        Preprocess = config.Preprocess,
        HasLogitBias = config.HasLogitBias,
        CaptionDecoder = config.CaptionDecoder,
        Notices = Notices(config.Source, config.StatesPreprocessing, config.Text),
    };

    private static (TwoTowerConfig Config, bool QuickGelu, bool StatesPreprocessing) ReadAll(ModelFiles files)
    {
        var problems = new List<string>();
        var file = new ConfigSection(files.Configuration, "", problems);
        bool isWrapped = file.Has("model_cfg");
        ConfigSection model = isWrapped ? file.Section("model_cfg") ?? new ConfigSection(files.Configuration, "", problems) : file;
        ConfigSection? preprocess = isWrapped ? file.Section("preprocess_cfg") : null;
        if (isWrapped)
        {
            file.IgnoreKeys("version", "architecture"); // timm writes them beside the two sections
            file.RefuseTheRest();
        }

        if (!model.Has("vision_cfg") || !model.Has("text_cfg"))
        {
            throw new BadInputException(files.Source, "is not an OpenCLIP configuration: vision_cfg and text_cfg are expected and not both there.",
                "Give the open_clip_config.json of the model's repository, or one of open_clip's model_configs.");
        }

        int embedDimension = model.Integer("embed_dim", null);
        // Of the towers it reaches open_clip's own: those of other libraries keep what their name says.
        bool quickGelu = model.Boolean("quick_gelu", false);
        bool customText = model.Boolean("custom_text", false);
        bool hasLogitBias = model.TryTake("init_logit_bias", out _);
        model.IgnoreKeys("init_logit_scale", "output_dict", "cast_dtype", "name"); // starting values and settings of training
        JsonElement element = OpenClipFamily.Model(files.Configuration);
        ConfigSection? vision = model.Section("vision_cfg"), text = model.Section("text_cfg");
        ImageTowerConfig image = OpenClipFamily.NameIn(element, "vision_cfg", "timm_model_name") is { } imageName
            ? ReadNamedImage(imageName, vision!, files, embedDimension, problems)
            : new OpenClipImageTower(ReadVision(vision, "vision_cfg", model, embedDimension, quickGelu));
        int words = CaptionVocabulary;
        TextTowerConfig sentences = OpenClipFamily.NameIn(element, "text_cfg", "hf_model_name") is { } textName
            ? ReadNamedText(textName, text!, files, embedDimension, problems, out words)
            : new OpenClipTextTower(ReadText(text, model, embedDimension, quickGelu), customText);
        if (sentences is OpenClipTextTower)
            words = sentences.VocabularySize;
        CaptionDecoderConfig? decoder = model.Section("multimodal_cfg") is { } section ? ReadDecoder(section, words, quickGelu) : null;
        model.RefuseTheRest();
        if (decoder is not null && !customText)
            problems.Add("multimodal_cfg: needs custom_text true; without it open_clip builds no such model.");
        if (decoder is not null && image is not OpenClipImageTower)
            problems.Add("multimodal_cfg: needs an image tower of open_clip's own.");
        if (sentences is OpenClipTextTower { Config.EmbedsClassToken: true } && !customText)
            problems.Add("text_cfg.embed_cls: needs custom_text true; open_clip's plain CLIP has no place for the class embedding.");

        bool states = preprocess is not null && preprocess.Has("mean") && preprocess.Has("std");
        PreprocessOptions options = ReadPreprocess(preprocess, image.ImageSize.Height, image.ImageSize.Width, problems);
        bool isUsual = preprocess is null && image.UsualPreprocess is not null;
        Refuse(files, problems);
        var config = new TwoTowerConfig
        {
            Family = sentences.Family ?? image.Family ?? "open_clip",
            Source = files.Source,
            EmbedDimension = embedDimension,
            Image = image,
            Text = sentences,
            Preprocess = isUsual ? image.UsualPreprocess! : options,
            HasLogitBias = hasLogitBias,
            CaptionDecoder = decoder,
            Notices = Notices(files.Source, states || isUsual, (sentences as OpenClipTextTower)?.Config),
        };
        return (config, quickGelu, states);
    }

    /// <summary>A tower of timm; <c>timm_model.json</c> beside the configuration may change its sizes.</summary>
    private static ImageTowerConfig ReadNamedImage(string name, ConfigSection section, ModelFiles files, int embedDimension, List<string> problems)
    {
        ConfigSection? arguments = files.Beside("timm_model.json") is { } overrides ? new ConfigSection(overrides, "timm_model.json: ", problems).Section("model_args") : null;
        section.IgnoreKeys("timm_model_name", "timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout", "output_tokens");
        ImageTowerConfig tower = NamedTowers.FindImage(name)!.Read(name, section, arguments, embedDimension);
        arguments?.RefuseTheRest();
        // The name fixes the tower; image_size only sets preprocessing in open_clip, and agrees with the tower in every published model.
        // Towers that take any size have taken the key out.
        if (section.Has("image_size"))
        {
            (int height, int width) = section.Pair("image_size", null, LargestSide);
            if ((height, width) != tower.ImageSize)
                section.Problem("image_size", $"expected the tower's own size {tower.ImageSize.Height} x {tower.ImageSize.Width}, found {height} x {width}.");
        }

        section.IgnoreKeys("image_size");
        section.RefuseTheRest();
        return tower;
    }

    /// <summary>A tower of transformers; <c>hf_text_model.json</c> beside the configuration may change its sizes.</summary>
    private static TextTowerConfig ReadNamedText(string name, ConfigSection section, ModelFiles files, int embedDimension, List<string> problems, out int captionVocabulary)
    {
        ConfigSection? sizes = files.Beside("hf_text_model.json") is { } overrides ? new ConfigSection(overrides, "hf_text_model.json: ", problems) : null;
        // width and the like belong to open_clip's own text tower, and vocab_size to CoCa's decoder; this tower's are its name's.
        captionVocabulary = section.Integer("vocab_size", CaptionVocabulary);
        section.IgnoreKeys("hf_model_name", "hf_model_pretrained", "output_tokens", "width", "heads", "layers");
        TextTowerConfig tower = NamedTowers.FindText(name)!.Read(name, section, sizes, embedDimension);
        section.RefuseTheRest();
        return tower;
    }

    /// <summary>What a user should know of a configuration.</summary>
    /// <param name="source">What messages call it.</param>
    /// <param name="statesPreprocessing">Whether it states mean and standard deviation.</param>
    /// <param name="text">open_clip's own text tower; null for another.</param>
    internal static string[] Notices(string source, bool statesPreprocessing, TextConfig? text) =>
    [
        .. statesPreprocessing
            ? Array.Empty<string>()
            : [$"{source}: states no mean and standard deviation of pixels; OpenAI's are used, as open_clip does. Weights trained with others get wrong pixels."],
        .. text is { EmbedsClassToken: true, IsCausal: false }
            ? [$"{source}: embed_cls with no_causal_mask hides padding, as open_clip 3 does; open_clip 2 did not, and weights trained with it want that."]
            : Array.Empty<string>(),
    ];

    private static void Refuse(ModelFiles files, List<string> problems)
    {
        if (problems.Count > 0)
        {
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}",
                "Compare it with the open_clip_config.json of the model's repository.");
        }
    }

    /// <summary>Towers that live in other libraries have no place in <see cref="OpenClipConfig"/>.</summary>
    private static void RefuseForeignTowers(JsonElement root, string source)
    {
        JsonElement element = OpenClipFamily.Model(root);
        foreach ((string section, string key) in new[] { ("vision_cfg", "timm_model_name"), ("text_cfg", "hf_model_name") })
        {
            if (OpenClipFamily.NameIn(element, section, key) is { } name)
            {
                throw new BadInputException(source, $"architecture {BadInputException.Escape(name, 80)} ({section}.{key}) is not one of OpenCLIP's own.",
                    "Those are its vision transformers, ModifiedResNet, text transformers and CoCa's two towers.");
            }
        }
    }

    /// <summary>An image tower of open_clip's own, whichever text tower stands beside it.</summary>
    private static VisionConfig ReadVision(ConfigSection? section, string name, ConfigSection model, int embedDimension, bool quickGelu)
    {
        var fallback = new VisionConfig { ImageHeight = 1, ImageWidth = 1, Width = 1, Layers = [1], Heads = 1, PatchSize = 1 };
        if (section is null)
        {
            model.Problem(name, "is missing.");
            return fallback;
        }

        (int height, int width) = section.Pair("image_size", 224, LargestSide);
        int channels = section.Integer("width", 768, 1, 1 << 16);
        int headWidth = section.Integer("head_width", 64, 1, 1 << 16);
        double mlpRatio = section.Number("mlp_ratio", 4.0, 1e-3, 1e3);
        (ImmutableArray<int> layers, bool isResNet) = ReadLayers(section);
        int patch = isResNet ? ModifiedResNet.Stride : section.Integer("patch_size", 16, 1, LargestSide);
        section.IgnoreKeys("patch_size");
        // What only training or timm reads; training drops patches, inference never does.
        section.IgnoreKeys("patch_dropout", "output_tokens", "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path");

        int attended = isResNet ? channels * 32 : channels;
        int heads = attended / headWidth;
        if (heads == 0 || attended % heads != 0)
            section.Problem("head_width", $"width {attended} cannot be split into heads of {headWidth}: expected a divisor of {attended}, found {headWidth}.");
        if (isResNet)
            CheckResNet(section, height, width, channels);
        else if (Math.Min(height, width) < patch)
            section.Problem("patch_size", $"expected at most the image size {height} x {width}, found {patch}.");

        AttentionalPooling pooler = ReadAttentionalPool(section);
        var config = new VisionConfig
        {
            ImageHeight = height,
            ImageWidth = width,
            Width = channels,
            Layers = layers,
            IsResNet = isResNet,
            Heads = Math.Max(heads, 1),
            PatchSize = patch,
            HiddenWidth = (int)(channels * mlpRatio), // truncated, as Python's int()
            HasLayerScale = section.TryTake("ls_init_value", out _),
            AttentionalPool = pooler,
            PoolerQueries = section.Integer("attn_pooler_queries", 256, 1, 1 << 16),
            PoolerHeads = section.Integer("attn_pooler_heads", 8, 1, 1 << 12),
            HasPreNorm = !section.Boolean("no_ln_pre", false),
            Positions = section.Choice("pos_embed_type", PositionEmbeddingKind.Learnable,
                ("learnable", PositionEmbeddingKind.Learnable), ("sin_cos_2d", PositionEmbeddingKind.SinCos2D)),
            FinalNormAfterPool = section.Boolean("final_ln_after_pool", false),
            Pooling = section.Choice("pool_type", ImagePooling.ClassToken,
                ("tok", ImagePooling.ClassToken), ("avg", ImagePooling.Average), ("none", ImagePooling.None)),
            Activation = ReadActivation(section, quickGelu),
            Epsilon = ReadEpsilon(section),
        };
        RequireNoCustomBlocks(section);
        if (config.HiddenWidth == 0)
            section.Problem("mlp_ratio", $"leaves no hidden unit for width {channels}.");
        if (!isResNet && pooler != AttentionalPooling.None && embedDimension % config.PoolerHeads != 0)
            section.Problem("attn_pooler_heads", $"expected a divisor of embed_dim {embedDimension}, found {config.PoolerHeads}.");
        if (pooler is AttentionalPooling.Parallel or AttentionalPooling.Cascade && channels != embedDimension)
            section.Problem("attentional_pool", $"two poolers need width = embed_dim in open_clip; found width {channels}, embed_dim {embedDimension}.");
        if (config.Positions == PositionEmbeddingKind.SinCos2D && config.GridHeight != config.GridWidth)
            section.Problem("pos_embed_type", $"sin_cos_2d expects a square grid of patches, found {config.GridHeight} x {config.GridWidth}.");
        section.RefuseTheRest();
        return config;
    }

    private static (ImmutableArray<int> Layers, bool IsResNet) ReadLayers(ConfigSection section)
    {
        const int MostLayers = 1 << 10;
        if (!section.TryTake("layers", out JsonElement value))
            return ([12], false);
        if (value.ValueKind != JsonValueKind.Array)
            return ([section.IntegerValue(value, "layers", 1, MostLayers)], false);
        if (value.GetArrayLength() == 4)
            return ([.. value.EnumerateArray().Select(count => section.IntegerValue(count, "layers", 1, MostLayers))], true);
        section.Problem("layers", $"expected a number (transformer) or four (ResNet), found {ConfigSection.Show(value)}.");
        return ([1], false);
    }

    /// <summary>open_clip sizes the attention pool as <c>image_size // 32</c>; the map it really gets must agree.</summary>
    private static void CheckResNet(ConfigSection section, int height, int width, int channels)
    {
        if (height != width)
            section.Problem("image_size", $"a ResNet expects a square image, found {height} x {width}.");
        int side = ModifiedResNet.MapSide(height);
        if (side != height / ModifiedResNet.Stride || side == 0)
            section.Problem("image_size", $"{height} leaves a map of {side} x {side} where the attention pool expects {height / ModifiedResNet.Stride} x {height / ModifiedResNet.Stride}.");
        if (channels % 2 != 0)
            section.Problem("width", $"a ResNet's stem expects an even width, found {channels}.");
    }

    private static AttentionalPooling ReadAttentionalPool(ConfigSection section)
    {
        if (!section.TryTake("attentional_pool", out JsonElement value))
            return AttentionalPooling.None;
        switch (value.ValueKind)
        {
            case JsonValueKind.False: return AttentionalPooling.None;
            case JsonValueKind.True: return AttentionalPooling.Single;
            case JsonValueKind.String when value.ValueEquals("parallel"): return AttentionalPooling.Parallel;
            case JsonValueKind.String when value.ValueEquals("cascade"): return AttentionalPooling.Cascade;
            case JsonValueKind.String when value.ValueEquals(""): return AttentionalPooling.None;
            default:
                section.Problem("attentional_pool", $"expected true, false, \"parallel\" or \"cascade\", found {ConfigSection.Show(value)}.");
                return AttentionalPooling.None;
        }
    }

    /// <summary>A text tower of open_clip's own, whichever image tower stands beside it.</summary>
    private static TextConfig ReadText(ConfigSection? section, ConfigSection model, int embedDimension, bool quickGelu)
    {
        if (section is null)
        {
            model.Problem("text_cfg", "is missing.");
            return new TextConfig { ContextLength = 1, VocabularySize = 1, Width = 1, Heads = 1, Layers = 1, HiddenWidth = 1 };
        }

        int width = section.Integer("width", 512, 1, 1 << 16);
        int heads = section.Integer("heads", 8, 1, 1 << 12);
        if (width % heads != 0)
            section.Problem("heads", $"expected a divisor of width {width}, found {heads}.");
        double mlpRatio = section.Number("mlp_ratio", 4.0, 1e-3, 1e3);
        string projection = section.Choice("proj_type", "linear", ("linear", "linear"), ("none", "none"));
        int vocabulary = section.Integer("vocab_size", 49408);
        // final_ln_after_pool is accepted by open_clip's CLIPTextCfg and never read.
        section.IgnoreKeys("output_tokens", "final_ln_after_pool", "hf_model_name", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type");
        var config = new TextConfig
        {
            ContextLength = section.Integer("context_length", 77, 1, 1 << 16),
            VocabularySize = vocabulary,
            Width = width,
            Heads = heads,
            Layers = section.Integer("layers", 12, 1, 1 << 10),
            HiddenWidth = (int)(width * mlpRatio),
            HasLayerScale = section.TryTake("ls_init_value", out _),
            EmbedsClassToken = section.Boolean("embed_cls", false),
            PadId = section.Integer("pad_id", 0, 0),
            EndOfTextId = section.Integer("eos_id", 2, 0),
            IsCausal = !section.Boolean("no_causal_mask", false),
            Pooling = section.Choice("pool_type", TextPooling.LargestId, ("argmax", TextPooling.LargestId), ("last", TextPooling.Last),
                ("first", TextPooling.First), ("eos", TextPooling.EndOfText), ("none", TextPooling.None)),
            HasProjection = projection == "linear",
            HasProjectionBias = section.Boolean("proj_bias", false),
            Activation = ReadActivation(section, quickGelu),
            Epsilon = ReadEpsilon(section),
            Tokenizer = ReadTokenizer(section),
        };
        RequireNoCustomBlocks(section);
        if (config.HiddenWidth == 0)
            section.Problem("mlp_ratio", $"leaves no hidden unit for width {width}.");
        if (!config.HasProjection && width != embedDimension)
            section.Problem("proj_type", $"without a projection expected width = embed_dim {embedDimension}, found {width}.");
        section.RefuseTheRest();
        return config;
    }

    internal static TokenizerConfig ReadTokenizer(ConfigSection section)
    {
        string? name = section.Text("hf_tokenizer_name");
        string? mode = section.Text("tokenizer_mode") is { Length: > 0 } named ? named : null;
        ConfigSection? options = section.Section("tokenizer_kwargs");
        if (options is null)
            return new TokenizerConfig { HubName = name, Mode = mode };
        var config = new TokenizerConfig
        {
            HubName = name,
            Mode = mode,
            Clean = options.Text("clean"),
            StripSeparator = options.Boolean("strip_sep_token", false),
            Language = options.Text("language"),
        };
        options.RefuseTheRest();
        return config;
    }

    private static CaptionDecoderConfig ReadDecoder(ConfigSection section, int vocabulary, bool quickGelu)
    {
        int width = section.Integer("width", 512, 1, 1 << 16);
        var config = new CaptionDecoderConfig
        {
            Width = width,
            Heads = section.Integer("heads", 8, 1, 1 << 12),
            Layers = section.Integer("layers", 12, 1, 1 << 10),
            HiddenWidth = 4 * width, // open_clip's decoder does not pass mlp_ratio on
            HasLayerScale = section.TryTake("ls_init_value", out _),
            ContextLength = section.Integer("context_length", 77, 1, 1 << 16),
            VocabularySize = vocabulary,
            Activation = quickGelu ? Activation.QuickGelu : Activation.Gelu,
        };
        if (width % config.Heads != 0)
            section.Problem("heads", $"expected a divisor of width {width}, found {config.Heads}.");
        section.IgnoreKeys("vocab_size", "mlp_ratio", "dim_head", "n_queries", "attn_pooler_heads", "embed_cls", "pad_id", "no_causal_mask", "final_ln_after_pool",
            "pool_type", "proj_bias", "output_tokens", "act_kwargs", "norm_kwargs", "hf_tokenizer_name", "tokenizer_kwargs", "hf_model_name", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type");
        section.RefuseTheRest();
        return config;
    }

    private static Activation ReadActivation(ConfigSection section, bool quickGelu)
    {
        Activation activation = quickGelu ? Activation.QuickGelu : Activation.Gelu;
        if (section.Section("act_kwargs") is not { } options)
            return activation;
        if (options.Has("approximate"))
        {
            Activation approximate = options.Choice("approximate", Activation.Gelu, ("none", Activation.Gelu), ("tanh", Activation.GeluTanh));
            if (quickGelu)
                options.Problem("approximate", "belongs to GELU, and quick_gelu is true.");
            activation = approximate;
        }

        options.RefuseTheRest();
        return activation;
    }

    private static float ReadEpsilon(ConfigSection section)
    {
        if (section.Section("norm_kwargs") is not { } options)
            return 1e-5f;
        double epsilon = options.Number("eps", 1e-5, 0, 1);
        options.RefuseTheRest();
        return (float)epsilon;
    }

    /// <summary>Settings of later open_clip versions that change the block's formula.</summary>
    private static void RequireNoCustomBlocks(ConfigSection section)
    {
        foreach (string key in new[] { "block_type", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc" })
            section.RequireOff(key);
    }

    /// <summary>The size always is the tower's, as in open_clip; a preprocess_cfg that states another one is overridden there too.</summary>
    private static PreprocessOptions ReadPreprocess(ConfigSection? section, int height, int width, List<string> problems)
    {
        var options = new PreprocessOptions { Height = height, Width = width };
        if (section is null)
            return options;
        ImmutableArray<float> mean = section.Triple("mean") ?? options.Mean;
        ImmutableArray<float> deviation = section.Triple("std") ?? options.StandardDeviation;
        if (deviation.Any(value => value <= 0))
            problems.Add("preprocess_cfg.std: expected three positive numbers.");
        options = options with
        {
            Mean = mean,
            StandardDeviation = deviation,
            Interpolation = section.Choice("interpolation", Interpolation.Bicubic, ("bicubic", Interpolation.Bicubic), ("bilinear", Interpolation.Bilinear), ("random", Interpolation.Bicubic)),
            ResizeMode = section.Choice("resize_mode", ResizeMode.Shortest, ("shortest", ResizeMode.Shortest), ("squash", ResizeMode.Squash)),
        };
        section.Choice("mode", "RGB", ("RGB", "RGB"));
        section.IgnoreKeys("size", "fill_color");
        section.RefuseTheRest();
        return options;
    }
}
