using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>open_clip's configuration of a model with its own image tower and a RoBERTa for sentences.</summary>
/// <param name="Base">The model in open_clip's words; the text tower's numbers are RoBERTa's.</param>
/// <param name="Positions">Rows of RoBERTa's table of positions.</param>
internal sealed record RobertaClipConfig(OpenClipConfig Base, int Positions)
{
    private const int PaddingId = 1;

    // The config.json of each name on the hub.
    private static readonly (string Name, int Width, int Layers, int Heads, int Hidden, int Vocabulary)[] s_sizes =
    [
        ("roberta-base", 768, 12, 12, 3072, 50265),
        ("roberta-large", 1024, 24, 16, 4096, 50265),
        ("xlm-roberta-base", 768, 12, 12, 3072, 250002),
        ("xlm-roberta-large", 1024, 24, 16, 4096, 250002),
    ];

    /// <summary>Whether a <c>hf_model_name</c> is one of these; the hub has them with and without their owner's name.</summary>
    public static bool Knows(string name) => Array.Exists(s_sizes, entry => entry.Name == Plain(name));

    /// <summary>Reads the configuration; <c>hf_text_model.json</c> beside it may change the text tower's sizes.</summary>
    /// <param name="files">With a <c>hf_model_name</c> that <see cref="Knows"/>.</param>
    /// <exception cref="BadInputException">Names every problem.</exception>
    public static RobertaClipConfig Read(ModelFiles files)
    {
        var problems = new List<string>();
        bool isWrapped = files.Configuration.TryGetProperty("model_cfg", out _);
        var file = new ConfigSection(files.Configuration, "", problems);
        ConfigSection model = isWrapped ? file.Section("model_cfg") ?? file : file;
        ConfigSection? preprocess = isWrapped ? file.Section("preprocess_cfg") : null;
        if (isWrapped)
        {
            file.Forget("version", "architecture");
            file.RefuseTheRest();
        }

        int embedDimension = model.Integer("embed_dim", null);
        // Of the two towers it reaches the image tower only: the text tower keeps what its name says.
        bool quickGelu = model.Boolean("quick_gelu", false);
        bool hasLogitBias = model.TryTake("init_logit_bias", out _);
        model.Forget("init_logit_scale", "output_dict", "cast_dtype", "name", "custom_text");
        VisionConfig vision = OpenClipConfigReader.ReadVision(model.Section("vision_cfg"), "vision_cfg", model, embedDimension, quickGelu);
        (TextConfig text, int positions) = ReadText(model.Section("text_cfg")!, files, problems);
        model.RefuseTheRest();
        bool states = preprocess is not null && preprocess.Has("mean") && preprocess.Has("std");
        PreprocessOptions options = OpenClipConfigReader.ReadPreprocess(preprocess, vision.ImageHeight, vision.ImageWidth, problems);
        if (problems.Count > 0)
        {
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}",
                "Compare it with the open_clip_config.json of the model's repository.");
        }

        return new RobertaClipConfig(new OpenClipConfig
        {
            Source = files.Source,
            EmbedDimension = embedDimension,
            Vision = vision,
            Text = text,
            QuickGelu = quickGelu,
            CustomText = true,
            HasLogitBias = hasLogitBias,
            Preprocess = options,
            StatesPreprocessing = states,
        }, positions);
    }

    private static (TextConfig Text, int Positions) ReadText(ConfigSection section, ModelFiles files, List<string> problems)
    {
        const int UsualContext = 77, UsualPositions = 514;
        string name = section.Text("hf_model_name")!;
        (_, int width, int layers, int heads, int hidden, int vocabulary) = Array.Find(s_sizes, entry => entry.Name == Plain(name));
        section.Choice("hf_pooler_type", true, ("mean_pooler", true));
        section.Choice("hf_proj_type", true, ("mlp", true));
        // vocab_size, width and the like belong to open_clip's own text tower; this one's are its name's.
        section.Forget("hf_model_pretrained", "output_tokens", "vocab_size", "width", "heads", "layers");
        int context = section.Integer("context_length", UsualContext, 1, 1 << 16);
        TokenizerConfig tokenizer = OpenClipConfigReader.ReadTokenizer(section);
        section.RefuseTheRest();
        int positions = UsualPositions;
        double epsilon = 1e-5;
        if (files.Beside("hf_text_model.json") is { } overrides)
        {
            var sizes = new ConfigSection(overrides, "hf_text_model.json: ", problems);
            width = sizes.Integer("hidden_size", width, 1, 1 << 16);
            layers = sizes.Integer("num_hidden_layers", layers, 1, 1 << 10);
            heads = sizes.Integer("num_attention_heads", heads, 1, 1 << 12);
            hidden = sizes.Integer("intermediate_size", hidden, 1, 1 << 20);
            vocabulary = sizes.Integer("vocab_size", vocabulary);
            positions = sizes.Integer("max_position_embeddings", positions, PaddingId + 2, 1 << 16);
            epsilon = sizes.Number("layer_norm_eps", epsilon, 0, 1);
            sizes.Choice("hidden_act", true, ("gelu", true));
            if (sizes.Integer("pad_token_id", PaddingId, 0) != PaddingId)
                sizes.Problem("pad_token_id", $"expected {PaddingId}.");
            if (sizes.Integer("type_vocab_size", 1, 1) != 1)
                sizes.Problem("type_vocab_size", "expected 1.");
            if (width % heads != 0)
                sizes.Problem("num_attention_heads", $"expected a divisor of hidden_size {width}, found {heads}.");
        }

        var text = new TextConfig
        {
            // Positions count from behind the padding id.
            ContextLength = Math.Min(context, positions - PaddingId - 1),
            VocabularySize = vocabulary,
            Width = width,
            Heads = heads,
            Layers = layers,
            HiddenWidth = hidden,
            PadId = PaddingId,
            IsCausal = false,
            Activation = Activation.Gelu,
            Epsilon = (float)epsilon,
            Tokenizer = tokenizer,
        };
        return (text, positions);
    }

    private static string Plain(string name) => name[(name.LastIndexOf('/') + 1)..];
}
