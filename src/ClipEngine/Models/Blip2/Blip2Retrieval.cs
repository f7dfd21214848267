using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// BLIP-2's image-text model. Contrastive features: one of each query for an image, one for a sentence; their score is the largest cosine
/// over the queries. Matching: the queries look at image and sentence together, and their logits are averaged.
/// </summary>
internal sealed class Blip2Retrieval : IDualEncoder, IPairScorer
{
    /// <summary>BERT's words, whatever language model the configuration names beside.</summary>
    public static readonly TokenizerConfig Words = new() { ModelType = "blip" };

    private readonly Blip2Config _config;
    private readonly BlipVision _visual;
    private readonly QFormer _qFormer;
    private readonly Weight _imageProjection, _imageProjectionBias, _textProjection, _textProjectionBias, _matchHead, _matchHeadBias;

    public Blip2Retrieval(Blip2Config config, WeightReader weights, IBackend backend)
    {
        _config = config;
        Backend = backend;
        int width = config.QFormer.Bert.Width;
        _qFormer = new QFormer(config.QFormer, config.Vision.Width, weights);
        _visual = new BlipVision(config.Vision, weights.Scope("visual_encoder"));
        _imageProjection = weights.Read("vision_proj.weight", WeightRole.Linear, EmbedDimension, width);
        _imageProjectionBias = weights.Read("vision_proj.bias", WeightRole.Vector, EmbedDimension);
        _textProjection = weights.Read("text_proj.weight", WeightRole.Linear, EmbedDimension, width);
        _textProjectionBias = weights.Read("text_proj.bias", WeightRole.Vector, EmbedDimension);
        _matchHead = weights.Read("itm_head.weight", WeightRole.Linear, 2, width);
        _matchHeadBias = weights.Read("itm_head.bias", WeightRole.Vector, 2);
    }

    public string Architecture => "BLIP-2, image-text";

    public IBackend Backend { get; }

    public PreprocessOptions Preprocess => _config.Preprocess;

    public TokenizerConfig Tokenizer => Words;

    public int ContextLength => _config.QFormer.Bert.Positions;

    public int VocabularySize => _config.VocabularySize;

    public IReadOnlyList<string> Notices => [];

    public int EmbedDimension => _config.EmbedDimension;

    /// <summary>No temperature: the score is a cosine.</summary>
    public double LogitScale => 1;

    public double? LogitBias => null;

    public int ImageTokens => _config.Vision.Tokens;

    public int ImageTokenWidth => _config.Vision.Width;

    public int PaddingId => _config.QFormer.Bert.PaddingId;

    public Shape ImageFeatureShape(int count) => new(count, _config.QFormer.Queries, EmbedDimension);

    public Shape TextFeatureShape(int count, int length) => new(count, EmbedDimension);

    public Tensor EncodeImages(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor queries = _qFormer.ForwardImages(pass, _visual.Forward(pass, pixels));                           // [n, queries, width]
        return pass.LeaveScope(mark, pass.Linear(queries, _imageProjection, _imageProjectionBias));             // [n, queries, dim]
    }

    public Tensor EncodeTexts(IPass pass, ReadOnlySpan<int> ids, int length) =>
        pass.Linear(_qFormer.ForwardTexts(pass, Cut(ids, length)), _textProjection, _textProjectionBias);

    public Tensor EncodeImageTokens(IPass pass, in Tensor pixels) => _visual.Forward(pass, pixels);

    public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens) => _qFormer.PrepareImage(pass, Backend, imageTokens);

    public Tensor ScorePairs(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int length)
    {
        ArgumentNullException.ThrowIfNull(image);
        long mark = pass.EnterScope();
        Tensor logits = pass.Linear(_qFormer.ForwardPairs(pass, image, Cut(ids, length)), _matchHead, _matchHeadBias);      // [n, queries, 2]
        logits = pass.MeanTokens(logits);                                                                                   // [n, 1, 2]
        return pass.LeaveScope(mark, logits.Reshape(new Shape(logits.Shape[0], 2)));
    }

    /// <summary>
    /// Cuts the padding of sentences, and the image's placeholders before them: transformers' processor puts one for each query, and its
    /// model takes them away again.
    /// </summary>
    private PaddedSentences Cut(ReadOnlySpan<int> ids, int length)
    {
        if (length < 1 || ids.Length == 0 || ids.Length % length != 0)
            throw new ArgumentException($"expected sentences, found {ids.Length} ids in sentences of {length}.", nameof(ids));
        int queries = _config.QFormer.Queries, left = 0;
        for (int start = 0; start < ids.Length; start += length)
            left = Math.Max(left, length - PlaceholdersOf(ids.Slice(start, length)));
        if (left < 1 || left > ContextLength)
            throw new BadInputException("sentences", $"have {left} ids{(left < length ? $" behind {queries} placeholders of the image" : "")}, and the model reads 1 to {ContextLength}.", "Cut the sentences, or their padding.");
        int[] words = new int[ids.Length / length * left];
        words.AsSpan().Fill(PaddingId);
        for (int n = 0; n < ids.Length / length; n++)
        {
            ReadOnlySpan<int> sentence = ids.Slice(n * length, length);
            sentence[PlaceholdersOf(sentence)..].CopyTo(words.AsSpan(n * left));
        }

        if (words.AsSpan().ContainsAnyExceptInRange(0, _config.QFormer.Bert.VocabularySize - 1) || (_config.PlaceholderId is { } placeholder && words.AsSpan().Contains(placeholder)))
            throw new BadInputException("sentences", $"one holds the image's placeholder ({_config.PlaceholderId}) or another id beyond the {_config.QFormer.Bert.VocabularySize} words; placeholders stand only before a sentence, {queries} of them.", "Take <image> out of the text.");
        return new PaddedSentences(words, left, PaddingId, hidesInnerPadding: false);
    }

    /// <summary>As many as there are queries, or none.</summary>
    private int PlaceholdersOf(ReadOnlySpan<int> sentence)
    {
        int queries = _config.QFormer.Queries;
        return _config.PlaceholderId is { } placeholder && sentence.Length >= queries && !sentence[..queries].ContainsAnyExcept(placeholder) ? queries : 0;
    }
}
