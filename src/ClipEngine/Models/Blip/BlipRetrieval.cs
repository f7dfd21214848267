using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BLIP's image-text model: contrastive features, whose score is a plain cosine, and the matching head, which looks at image and sentence together.</summary>
internal sealed class BlipRetrieval : BlipModel, IDualEncoder, IPairScorer
{
    // What training keeps beside the model.
    private static readonly string[] s_training = ["visual_encoder_m.", "text_encoder_m.", "vision_proj_m.", "text_proj_m.", "text_decoder.", "image_queue", "text_queue", "ptr_queue", "queue_ptr", "idx_queue", "temp"];

    private readonly Weight _imageProjection, _imageProjectionBias, _textProjection, _textProjectionBias, _matchHead, _matchHeadBias;

    public BlipRetrieval(BlipConfig config, int embedDimension, WeightReader weights, IBackend backend)
        : base(config, new BlipVision(config.Vision, weights.Scope("visual_encoder")), new BlipText(config.Text, config.Vision.Width, weights.Scope("text_encoder")), backend)
    {
        EmbedDimension = embedDimension;
        int width = config.Text.Width;
        _imageProjection = weights.Read("vision_proj.weight", WeightRole.Linear, embedDimension, config.Vision.Width);
        _imageProjectionBias = weights.Read("vision_proj.bias", WeightRole.Vector, embedDimension);
        _textProjection = weights.Read("text_proj.weight", WeightRole.Linear, embedDimension, width);
        _textProjectionBias = weights.Read("text_proj.bias", WeightRole.Vector, embedDimension);
        _matchHead = weights.Read("itm_head.weight", WeightRole.Linear, 2, width);
        _matchHeadBias = weights.Read("itm_head.bias", WeightRole.Vector, 2);
        foreach (string key in s_training)
            weights.AllowUnused(key);
    }

    public string Architecture => "BLIP, image-text";

    public int EmbedDimension { get; }

    /// <summary>No temperature: the score of two features is their cosine.</summary>
    public double LogitScale => 1;

    public double? LogitBias => null;

    public int ImageTokens => Config.Vision.Tokens;

    public int ImageTokenWidth => Config.Vision.Width;

    public Shape ImageFeatureShape(int count) => new(count, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => new(count, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor first = pass.SliceTokens(Visual.Forward(pass, pixels), 0, 1).Reshape(new Shape(pixels.Shape[0], ImageTokenWidth));
        return pass.LeaveScope(mark, pass.Linear(first, _imageProjection, _imageProjectionBias));
    }

    public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length) =>
        pass.Linear(Text.ForwardFirst(pass, Text.Cut(ids, length)), _textProjection, _textProjectionBias);

    public Tensor ScorePairs(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int length)
    {
        ArgumentNullException.ThrowIfNull(image);
        long mark = pass.EnterScope();
        Tensor first = Text.ForwardFirst(pass, image, Text.Cut(ids, length));
        return pass.LeaveScope(mark, pass.Linear(first, _matchHead, _matchHeadBias));
    }
}
