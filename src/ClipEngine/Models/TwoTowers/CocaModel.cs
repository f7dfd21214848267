using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>CoCa (arXiv:2205.01917): the two towers, and captions from the tokens of both (open_clip's <c>CoCa</c>).</summary>
internal sealed class CocaModel : TwoTowerModel, ICaptioner
{
    private readonly CaptionDecoderConfig _decoderConfig;
    private readonly CaptionTokens _ids;
    private readonly VisionTransformer _image;
    private readonly ICaptionText _text;
    private readonly CaptionDecoder _decoder;

    public CocaModel(TwoTowerConfig config, WeightReader weights, IBackend backend)
        : base(config, weights, backend, ModelTowers.Both)
    {
        _decoderConfig = config.CaptionDecoder!;
        _ids = config.Text.Captions!.Value;
        _image = (VisionTransformer)Image;
        _text = (ICaptionText)Text;
        _decoder = new CaptionDecoder(_decoderConfig, weights.Scope("text_decoder"));
    }

    public override string Architecture => $"{Config.Family}, CoCa";

    public int BeginId => _ids.BeginId;

    public int EndId => _ids.EndId;

    public int PaddingId => _ids.PaddingId;

    public CaptionStyle Style => CaptionStyle.OpenClip;

    public int CaptionLength => Math.Min(ContextLength, _decoderConfig.ContextLength);

    public int CaptionVocabulary => _decoderConfig.VocabularySize;

    public Tensor EncodeImageTokens(IPass pass, in Tensor pixels)
    {
        CheckPixels(pixels);
        return _image.ForwardTokens(pass, pixels);
    }

    public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens) => _decoder.PrepareImage(pass, Backend, imageTokens);

    public CaptionState Begin(int count, int capacity) => new([.. _decoder.CreatePast(Backend, count, capacity), .. _text.CreatePast(Backend, count, capacity)])
    {
        Ids = [.. Enumerable.Repeat(Array.Empty<int>(), count)],
    };

    /// <summary>Adds ids to every sentence; see <see cref="ICaptioner"/>.</summary>
    /// <remarks>Padding is told by its id, as open_clip does; <paramref name="lengths"/> says nothing more.</remarks>
    public Tensor Continue(IPass pass, PreparedImage image, CaptionState state, ReadOnlySpan<int> ids, int count, ReadOnlySpan<int> lengths = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(state);
        int[][] all = new int[state.Ids.Count][];
        for (int n = 0; n < all.Length; n++)
            all[n] = [.. state.Ids[n], .. ids.Slice(n * count, count)];
        state.Ids = all;
        // A tower that is not causal makes other tokens of every id as soon as one is added: then nothing that is stored holds.
        int position = _text.IsCausal ? state.Position : 0;
        long mark = pass.EnterScope();
        Tensor tokens = _text.ForwardTokens(pass, all.SelectMany(static sentence => sentence).ToArray(), state.Position + count, position, [.. state.Stores.Skip(2 * _decoderConfig.Layers)]);
        Tensor logits = _decoder.ForwardNext(pass, image, tokens, state.Stores, position, count);
        state.Position += count;
        return pass.LeaveScope(mark, logits);
    }
}
