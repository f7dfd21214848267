using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>Parameters and arithmetic of one tower.</summary>
/// <param name="Parameters">Trained numbers.</param>
/// <param name="Operations">Floating-point operations for one image or one sentence, by the rule of <see cref="ModelCost"/>.</param>
public readonly record struct TowerCost(long Parameters, long Operations);

/// <summary>Arithmetic of a model that looks at an image and a sentence together.</summary>
/// <param name="ImageOperations">Of an image, once: its tokens, and what every sentence looks at of them.</param>
/// <param name="Operations">Of a sentence with an image.</param>
public readonly record struct PairCost(long ImageOperations, long Operations);

/// <summary>
/// What a model costs, computed from its configuration alone: the model is built without weights and run once on a backend that knows
/// shapes only, so that every family is counted by what it does.
/// </summary>
/// <remarks>
/// The counting rule is the one behind open_clip's published table, and behind Table 1 of the audit paper: a multiply-add is two
/// operations; counted are convolutions, all linear layers, the two matrix products of attention over all pairs of positions (a causal
/// mask saves nothing) and the projections; not counted are normalisation, activation, softmax, bias, residuals and embedding look-ups.
/// Image and text are one of each, the sentence at full context length. A last block of which one token is used counts whole, as the
/// original computes it; of a ResNet's attention pool only the query that is used is counted, which is 2 to 5 % less than that table has for these towers. The logit scale is one parameter beside the towers; running statistics of batch norms are none.
/// </remarks>
public sealed record ModelCost
{
    // Where the image's part of a model stands among the keys that it reads, in any family.
    private static readonly string[] s_imageKeys = ["visual.", "visual_encoder.", "vision_proj.", "vision_model.", "visual_projection."];

    /// <summary>The image tower.</summary>
    public required TowerCost Image { get; init; }

    /// <summary>The text tower, with all that is no part of the image tower.</summary>
    public required TowerCost Text { get; init; }

    /// <summary>What an image and a sentence together cost, for a model that scores pairs; null for another.</summary>
    public PairCost? Pair { get; init; }

    /// <summary>Parameters of the whole model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Operations of one image and one sentence.</summary>
    public long Operations => Image.Operations + Text.Operations;

    /// <summary>Counts a model of open_clip's own towers.</summary>
    internal static ModelCost Of(OpenClipConfig config) =>
        Count(new TwoTowerPlan(OpenClipConfigReader.ToTowers(config, "open_clip"))) ?? throw new InvalidOperationException($"The cost of {config.Source} is not counted.");

    /// <summary>Counts a model.</summary>
    /// <param name="plan">What its configuration says.</param>
    /// <returns>Null where the model does something that shapes alone do not tell, or is larger than can be counted.</returns>
    internal static ModelCost? Count(ModelPlan plan)
    {
        using var nothing = new UntrainedCheckpoint(plan.Source, []);
        using var reader = new WeightReader(nothing, backend: null);
        using var backend = new CountingBackend();
        try
        {
            IModel model = plan.Build(reader, backend, new ModelOptions());
            (long image, long text, PairCost? pair) = Run(plan, model);
            long images = 0, all = 0;
            foreach ((string key, Shape shape) in reader.Requests.DistinctBy(static request => request.Key))
            {
                if (key.EndsWith(".running_mean", StringComparison.Ordinal) || key.EndsWith(".running_var", StringComparison.Ordinal))
                    continue;
                all += shape.ElementCount;
                images += Array.Exists(s_imageKeys, start => key.StartsWith(start, StringComparison.Ordinal)) ? shape.ElementCount : 0;
            }

            long beside = reader.Requests.Select(static request => request.Key).Distinct().Count(static key => key is "logit_scale" or "logit_bias");
            return new ModelCost { Image = new TowerCost(images, image), Text = new TowerCost(all - images - beside, text), Pair = pair, Parameters = all };
        }
        catch (Exception exception) when (exception is NotSupportedException or OverflowException)
        {
            // The second where sizes are such that the count exceeds 2^63: nobody runs such a model.
            return null;
        }
    }

    private static (long Image, long Text, PairCost? Pair) Run(ModelPlan plan, IModel model)
    {
        PreprocessOptions size = plan.Preprocess;
        var shape = new Shape(1, 3, size.Height, size.Width);
        float[]? packed = plan.Packing is { } packing ? new float[packing.ImageLength] : null;
        if (packed is not null)
        {
            int side = (int)Math.Sqrt(plan.Packing!.Maximum);
            plan.Packing.WriteGrid(packed, new PatchGrid(side, side));
        }

        // A tower asks for the values of packed pixels alone, which hold their grid.
        long Image(Action<IPass, Tensor> run) => CountingBackend.Count(pass => run(pass, packed is null ? pass.Absent(shape) : pass.Upload(packed, shape)));
        // The sentence that needs all positions: where its end is looked for, it stands last. Which id is the end is the tower's affair.
        long Sentence(Action<IPass, int[]> run) => new[] { plan.EndOfSentence ?? (model.VocabularySize - 1), 1, 2, 3 }.Where(id => id >= 0 && id < model.VocabularySize).Max(last =>
        {
            int[] ids = new int[model.ContextLength];
            Array.Fill(ids, Math.Min(4, model.VocabularySize - 1));
            ids[^1] = last;
            return CountingBackend.Count(pass => run(pass, ids));
        });

        long image = 0, text = 0;
        PairCost? pair = null;
        if (model is IDualEncoder encoder)
        {
            image = Image((pass, tensor) => encoder.EncodeImages(pass, tensor));
            text = Sentence((pass, ids) => encoder.EncodeTexts(pass, ids, ids.Length));
        }

        if (model is IPairScorer scorer)
        {
            PreparedImage? prepared = null;
            long own = Image((pass, tensor) => prepared = scorer.PrepareImage(pass, scorer.EncodeImageTokens(pass, tensor)));
            using (prepared)
                pair = new PairCost(own, Sentence((pass, ids) => scorer.ScorePairs(pass, prepared!, ids, ids.Length)));
        }

        if (model is ICaptioner captioner and not IDualEncoder)
        {
            PreparedImage? prepared = null;
            image = Image((pass, tensor) => prepared = captioner.PrepareImage(pass, captioner.EncodeImageTokens(pass, tensor)));
            using (prepared)
            using (CaptionState state = captioner.Begin(1, captioner.CaptionLength))
                text = CountingBackend.Count(pass => captioner.Continue(pass, prepared!, state, new int[captioner.CaptionLength], captioner.CaptionLength));
        }

        return (image, text, pair);
    }
}
