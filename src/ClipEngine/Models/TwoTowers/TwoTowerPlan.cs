using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>The plan of a dual encoder of two towers.</summary>
internal sealed class TwoTowerPlan(TwoTowerConfig config) : ModelPlan
{
    /// <summary>The two towers.</summary>
    public TwoTowerConfig Config => config;

    public override string Family => config.Family;

    public override string Source => config.Source;

    public override ModelAbilities Abilities => config.WritesCaptions ? ModelAbilities.Embed | ModelAbilities.Caption : ModelAbilities.Embed;

    public override PreprocessOptions Preprocess => config.Preprocess;

    public override PatchPacking? Packing => config.Image.Packing;

    public override PreprocessOptions PreprocessAt((int Height, int Width) size) => config.AtSize(size).Preprocess;

    public override TokenizerConfig Tokenizer => config.Text.Tokenizer;

    public override int ContextLength => config.Text.ContextLength;

    public override int VocabularySize => config.Text.VocabularySize;

    internal override int? EndOfSentence => config.Text.EndOfSentence;

    public override string Outline => $"image tower {config.Image.Outline}; text tower {config.Text.Outline}; features of {config.EmbedDimension}";

    public override ICheckpoint Arrange(ICheckpoint checkpoint)
    {
        ICheckpoint arranged = config.Keys is { } keys ? keys.Apply(checkpoint) : CheckpointLayouts.ToOpenClip(checkpoint);
        return config.Text.Keys is { } text ? text.Apply(arranged) : arranged;
    }

    public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options)
    {
        TwoTowerConfig sized = options.ImageSize is { } size ? config.AtSize(size) : config;
        if (sized.WritesCaptions && options.Uses.HasFlag(ModelAbilities.Caption))
            return new CocaModel(sized, weights, backend);
        if (sized.CaptionDecoder is { } decoder)
            _ = new CaptionDecoder(decoder, weights.Scope("text_decoder").CheckingOnly());
        return new TwoTowerModel(sized, weights, backend, options.Towers);
    }
}
