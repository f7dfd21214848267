using ClipEngine.Imaging;

namespace ClipEngine.Models;

/// <summary>open_clip's configuration of a model with a timm transformer beside open_clip's own text tower.</summary>
internal sealed record TimmClipConfig
{
    /// <summary>The file it came from.</summary>
    public required string Source { get; init; }

    /// <summary>The length of a feature.</summary>
    public required int EmbedDimension { get; init; }

    /// <summary>The image tower.</summary>
    public required TimmTower Vision { get; init; }

    /// <summary><c>timm_proj</c> is null: timm's own classifier is the projection.</summary>
    public required bool HasOwnHead { get; init; }

    /// <summary>The text tower.</summary>
    public required TextConfig Text { get; init; }

    /// <summary><c>custom_text</c>: the text tower's keys begin with <c>text.</c>.</summary>
    public required bool CustomText { get; init; }

    /// <summary>Whether <c>init_logit_bias</c> is given.</summary>
    public required bool HasLogitBias { get; init; }

    /// <summary>The pixels.</summary>
    public required PreprocessOptions Preprocess { get; init; }

    /// <summary>Whether the file states mean and standard deviation.</summary>
    public required bool StatesPreprocessing { get; init; }

    /// <summary>Reads the configuration; <c>timm_model.json</c> beside it may change the image tower's sizes.</summary>
    /// <param name="files">With a <c>timm_model_name</c> that <see cref="TimmTowers"/> knows.</param>
    /// <exception cref="BadInputException">Names every problem.</exception>
    public static TimmClipConfig Read(ModelFiles files)
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
        // Of the two towers it reaches the text tower only: timm's keep what their name says.
        bool quickGelu = model.Boolean("quick_gelu", false);
        bool customText = model.Boolean("custom_text", false);
        bool hasLogitBias = model.TryTake("init_logit_bias", out _);
        model.Forget("init_logit_scale", "output_dict", "cast_dtype", "name");
        ConfigSection section = model.Section("vision_cfg")!;
        TimmTower tower = ReadTower(section, files, problems);
        bool hasOwnHead = section.Choice("timm_proj", true, ("linear", false));
        section.RefuseTheRest();
        TextConfig text = OpenClipConfigReader.ReadText(model.Section("text_cfg"), model, embedDimension, quickGelu);
        model.RefuseTheRest();
        if (text.EmbedsClassToken)
            problems.Add("text_cfg.embed_cls: expected false; only CoCa has a class embedding.");
        bool states = preprocess is not null && preprocess.Has("mean") && preprocess.Has("std");
        PreprocessOptions options = OpenClipConfigReader.ReadPreprocess(preprocess, tower.ImageHeight, tower.ImageWidth, problems);
        if (problems.Count > 0)
        {
            throw new BadInputException(files.Source, $"{problems.Count} problem(s) in the model configuration: {string.Join(" ", problems)}",
                "Compare it with the open_clip_config.json of the model's repository.");
        }

        return new TimmClipConfig
        {
            Source = files.Source,
            EmbedDimension = embedDimension,
            Vision = tower,
            HasOwnHead = hasOwnHead,
            Text = text,
            CustomText = customText,
            HasLogitBias = hasLogitBias,
            Preprocess = options,
            StatesPreprocessing = states,
        };
    }

    private static TimmTower ReadTower(ConfigSection section, ModelFiles files, List<string> problems)
    {
        TimmTower tower = TimmTowers.Find(section.Text("timm_model_name")!)!;
        if (files.Beside("timm_model.json") is { } overrides)
            tower = TimmTowers.With(tower, overrides, problems);
        // The name fixes the tower; image_size only sets preprocessing in open_clip, and agrees with the tower in every published model.
        (int height, int width) = section.Pair("image_size", tower.ImageHeight, OpenClipConfigReader.LargestSide);
        if ((height, width) != (tower.ImageHeight, tower.ImageWidth))
            section.Problem("image_size", $"expected the tower's own size {tower.ImageHeight} x {tower.ImageWidth}, found {height} x {width}.");
        section.Forget("timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout", "output_tokens");
        if (section.Boolean("timm_proj_bias", false))
            section.Problem("timm_proj_bias", "expected false.");
        TimmPooling pooling = section.Choice("timm_pool", tower.Pooling,
            ("", tower.Pooling), ("token", TimmPooling.ClassToken), ("avg", TimmPooling.Average), ("map", TimmPooling.Attention));
        if (pooling != tower.Pooling)
            section.Problem("timm_pool", "expected the pooling that the tower was published with.");
        return tower;
    }
}
