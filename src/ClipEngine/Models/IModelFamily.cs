using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A kind of model: it recognises its files and says in a <see cref="ModelPlan"/> all that there is to say about them. Everything of a
/// family lies in one folder; it is made known with <see cref="ModelFamilies.Register"/>.
/// </summary>
public interface IModelFamily
{
    /// <summary>The name in messages, tables and run records.</summary>
    string Name { get; }

    /// <summary>Whether these files are a model of this family. Looks at keys of the configuration only, never at file names, and never throws.</summary>
    /// <param name="files">What there is.</param>
    bool Recognizes(ModelFiles files);

    /// <summary>Reads the configuration, once: the plan has all that follows from it.</summary>
    /// <param name="files">What <see cref="Recognizes"/> said yes to.</param>
    /// <exception cref="BadInputException">The configuration is refused; names every problem.</exception>
    ModelPlan Plan(ModelFiles files);
}

/// <summary>What a family looks at.</summary>
public sealed class ModelFiles
{
    /// <summary>A configuration and where it came from.</summary>
    /// <param name="configuration">The root object of the model's JSON file.</param>
    /// <param name="source">What messages call it: its path, or a name of the catalogue.</param>
    public ModelFiles(JsonElement configuration, string source)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        Configuration = configuration;
        Source = source;
    }

    /// <summary>The root object of the model's JSON file.</summary>
    public JsonElement Configuration { get; }

    /// <summary>What messages call it.</summary>
    public string Source { get; }

    /// <summary>The root object of another JSON file in the configuration's folder; null where there is none.</summary>
    /// <param name="name">Such as <c>preprocessor_config.json</c>.</param>
    /// <exception cref="BadInputException">It is there and is no JSON object.</exception>
    public JsonElement? Beside(string name)
    {
        if (!FilePlace.IsFile(Source))
            return null;
        string path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(Source))!, name);
        return FilePlace.IsFile(path) ? ConfigFile.Read(path) : null;
    }

    /// <summary>The value of <c>model_type</c>, by which transformers tells its models apart; null where there is none.</summary>
    public string? ModelType => Configuration.ValueKind == JsonValueKind.Object && Configuration.TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String
        ? type.GetString()
        : null;
}

/// <summary>What a model can do.</summary>
[Flags]
public enum ModelAbilities
{
    /// <summary>Images and sentences become features of one space (<see cref="IDualEncoder"/>).</summary>
    Embed = 1,

    /// <summary>An image and a sentence together get a score (<see cref="IPairScorer"/>).</summary>
    ScorePairs = 2,

    /// <summary>An image gets a sentence (<see cref="ICaptioner"/>).</summary>
    Caption = 4,
}

/// <summary>All that a model's files say before a weight is read.</summary>
public abstract class ModelPlan
{
    private readonly Lazy<ModelCost?> _cost;

    /// <summary>A plan.</summary>
    protected ModelPlan() => _cost = new Lazy<ModelCost?>(() => ModelCost.Count(this));

    /// <summary>Reads the configuration of a model as a user named it.</summary>
    /// <param name="model">A folder in the OpenCLIP or transformers layout, a file of weights, a configuration (<c>.json</c>), or a name of the catalogue: of weights or of a model.</param>
    /// <param name="configuration">A JSON file, or a model of the catalogue, that takes the place of what belongs to the model; null for that.</param>
    /// <exception cref="BadInputException">There is no configuration, no family knows it, or it is refused.</exception>
    public static ModelPlan Read(string model, string? configuration = null) => ModelConfiguration.Plan(model, configuration);

    /// <summary>The family's name.</summary>
    public abstract string Family { get; }

    /// <summary>What messages call the configuration.</summary>
    public abstract string Source { get; }

    /// <summary>What the model can do.</summary>
    public abstract ModelAbilities Abilities { get; }

    /// <summary>The pixels that the model was trained on.</summary>
    public abstract PreprocessOptions Preprocess { get; }

    /// <summary>How images of any shape are packed; null where every image is brought to one size.</summary>
    public virtual PatchPacking? Packing => null;

    /// <summary>The pixels at another image size than the model was trained at.</summary>
    /// <param name="size">Height and width in pixels.</param>
    /// <exception cref="BadInputException">The model cannot run at that size.</exception>
    public virtual PreprocessOptions PreprocessAt((int Height, int Width) size) => Preprocess with { Height = size.Height, Width = size.Width };

    /// <summary>The tokenizer that it was trained with.</summary>
    public abstract TokenizerConfig Tokenizer { get; }

    /// <summary>Vectors of an image's feature: 1, or one of each query, of which the closest to a sentence counts (BLIP-2).</summary>
    public virtual int ImageVectors => 1;

    /// <summary>Token ids of one sentence at most.</summary>
    public abstract int ContextLength { get; }

    /// <summary>One more than the largest token id.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>The model's sizes in one line; null for none.</summary>
    public virtual string? Outline => null;

    /// <summary>The id that ends a sentence, where that is a certain one: a feature may be looked for there.</summary>
    internal virtual int? EndOfSentence => null;

    /// <summary>What the model costs, found by building it without weights and counting what it does; null where shapes alone do not tell.</summary>
    public virtual ModelCost? Cost => _cost.Value;

    /// <summary>The checkpoint under the keys that <see cref="Build"/> reads: the family's key map. Keys that it does not know keep their names.</summary>
    /// <param name="checkpoint">As stored, or arranged already; owned by the result from here on.</param>
    public virtual ICheckpoint Arrange(ICheckpoint checkpoint) => checkpoint;

    /// <summary>
    /// Builds the model: reads every weight by its key. The caller completes the reader afterwards, which reports all problems
    /// at once, and owns the weights.
    /// </summary>
    /// <param name="weights">At the top of the arranged checkpoint.</param>
    /// <param name="backend">Where the model runs.</param>
    /// <param name="options">What is changed about it.</param>
    /// <returns>The model. Disposing it is the caller's affair, as are the weights.</returns>
    /// <exception cref="BadInputException">What is asked for cannot be.</exception>
    public abstract IModel Build(WeightReader weights, IBackend backend, ModelOptions options);
}

/// <summary>What a caller may change about a model while it is loaded.</summary>
public sealed record ModelOptions
{
    /// <summary>Run at another image size than the model was trained at, [height, width]: positions are resized as open_clip does. Null: as trained.</summary>
    public (int Height, int Width)? ImageSize { get; init; }

    /// <summary>What will be run. The keys, shapes and types of a tower that is left out are still checked, and its values stay in the file; a family may also load it all the same.</summary>
    public ModelTowers Towers { get; init; } = ModelTowers.Both;

    /// <summary>What will be asked of the model. Weights that serve nothing else, such as a caption decoder's, are checked and stay in the file; a family may also load them all the same.</summary>
    public ModelAbilities Uses { get; init; } = ModelAbilities.Embed | ModelAbilities.ScorePairs | ModelAbilities.Caption;
}

/// <summary>The towers of a dual encoder.</summary>
[Flags]
public enum ModelTowers
{
    /// <summary>The image tower.</summary>
    Image = 1,

    /// <summary>The text tower.</summary>
    Text = 2,

    /// <summary>Both towers.</summary>
    Both = Image | Text,
}
