using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Tokenization;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// A two-tower model as a TorchSharp module, to train: its <c>state_dict</c> has the checkpoint's own keys, gradients reach every
/// parameter that features are made of, and <see cref="SaveCheckpoint"/> writes a folder that loads everywhere. The formulas are
/// those of the engine's other backends, written once.
/// </summary>
/// <remarks>
/// <para>As open_clip's <c>CLIP</c>, <c>forward(pixels, ids)</c> returns both features at length 1. Parameters are fp32, whatever
/// the file stores (fp64 where that is computed in); with bf16 or fp16 products take rounded copies of them.</para>
/// <para>Tensors that are returned belong to the caller's dispose scope. Everything else that a forward pass makes is released when
/// it ends; what the gradients need stays on autograd's tape.</para>
/// <para>Batch norms are kept as they are: <c>eval()</c>, the state after loading, normalises by the running statistics, <c>train()</c> by
/// the batch's own. Nothing else differs between the two; the native engine folds them for inference.</para>
/// <para>The device is chosen by <see cref="Load"/>; moving the module elsewhere is an error at the next forward pass.</para>
/// </remarks>
/// <example>
/// <code>
/// using ClipModules clip = ClipModules.Load("models/ViT-B-32");
/// using var optimizer = torch.optim.AdamW(clip.parameters(), lr: 1e-5);
/// foreach (var (pixels, ids, weights) in batches)
/// {
///     using var scope = torch.NewDisposeScope();
///     optimizer.zero_grad();
///     clip.Loss(pixels, ids, weights).backward();
///     optimizer.step();
///     clip.ClampLogitScale();
/// }
/// clip.SaveCheckpoint("models/ViT-B-32-tuned");
/// </code>
/// </example>
public sealed partial class ClipModules : torch.nn.Module<TorchTensor, TorchTensor, (TorchTensor Images, TorchTensor Texts)>
{
    private const string VisualName = "visual";
    private const string LogitScaleKey = "logit_scale";
    private const string LogitBiasKey = "logit_bias";

    // None of these is a module or a tensor: TorchSharp would register it under its field's name.
    private readonly TorchBackend _backend;
    private readonly ParameterTree _tree;
    private readonly BatchNormMode _norms = new();
    private Origin? _origin;
    private ClipModel? _model;

    private ClipModules(TorchBackend backend)
        : base("CLIP")
    {
        _backend = backend;
        _tree = new ParameterTree(this, path => path == VisualName ? new TowerModule(path, pixels => EncodeImages(pixels)) : new ParameterNode(path));
    }

    /// <summary>The image tower: <c>[n, 3, height, width]</c> to what <see cref="EncodeImages"/> returns. Its parameters are those below <c>visual</c>.</summary>
    public torch.nn.Module<TorchTensor, TorchTensor> Visual => (torch.nn.Module<TorchTensor, TorchTensor>)_tree[VisualName];

    /// <summary>The trained logarithm of the factor on cosines, a scalar.</summary>
    public Parameter LogitScale => (Parameter)_tree.Find(LogitScaleKey)!;

    /// <summary>What is added to scaled cosines, a scalar; null where the model has none. With it the model is trained by <see cref="SigmoidLoss"/>.</summary>
    public Parameter? LogitBias => _tree.Find(LogitBiasKey) as Parameter;

    /// <summary>The model's preprocessing, for training pixels: the same as for inference.</summary>
    public IImagePreprocessor Preprocessor => Model.Preprocessor;

    /// <summary>The model's tokenizer, for training sentences.</summary>
    /// <exception cref="BadInputException">It needs one that is not built.</exception>
    public ITokenizer Tokenizer => Model.Tokenizer;

    /// <summary>What a user should know about this model, such as settings that its files leave open.</summary>
    public IReadOnlyList<string> Notices => Model.Notices;

    /// <summary>The length of a feature.</summary>
    public int EmbedDimension => Model.EmbedDimension;

    private ClipModel Model => _model ?? throw new ObjectDisposedException(nameof(ClipModules));

    /// <summary>Both towers, each feature scaled to length 1.</summary>
    /// <param name="input1"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <param name="input2"><c>[m, length]</c>, integers; padded as the tokenizer does.</param>
    /// <returns><c>[n, embed_dim]</c> and <c>[m, embed_dim]</c>.</returns>
    public override (TorchTensor Images, TorchTensor Texts) forward(TorchTensor input1, TorchTensor input2) =>
        (EncodeImages(input1, normalize: true), EncodeTexts(input2, normalize: true));

    /// <summary>The image tower.</summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed, on any device; gradients flow back to them too.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_image</c> returns it.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, tokens, embed_dim]</c> where the model pools nothing.</returns>
    /// <exception cref="ArgumentException">The pixels have another shape than the model's.</exception>
    public TorchTensor EncodeImages(TorchTensor pixels, bool normalize = false)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        _norms.UsesBatch = training;
        return TorchTowers.EncodeImages(_backend, Model.Encoder, pixels, normalize);
    }

    /// <summary>The text tower.</summary>
    /// <param name="ids"><c>[n, length]</c>, integers; padded as the tokenizer does.</param>
    /// <param name="normalize">Scale each feature to length 1; else as open_clip's <c>encode_text</c> returns it.</param>
    /// <returns><c>[n, embed_dim]</c>, or <c>[n, length, embed_dim]</c> where the model pools nothing.</returns>
    /// <exception cref="ArgumentException">The length is not right, or an id lies outside the vocabulary.</exception>
    public TorchTensor EncodeTexts(TorchTensor ids, bool normalize = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        return TorchTowers.EncodeTexts(_backend, Model.Encoder, ids, normalize);
    }

    /// <summary>
    /// The loss that the model was trained with, of a batch of pairs: <see cref="ContrastiveLoss"/>, or <see cref="SigmoidLoss"/> where it
    /// has a <see cref="LogitBias"/>. Batches that do not fit in memory: <see cref="ClipTrainer"/>.
    /// </summary>
    /// <param name="pixels"><c>[n, 3, height, width]</c>, preprocessed.</param>
    /// <param name="ids"><c>[n, length]</c>, row i belonging to image i.</param>
    /// <param name="weights"><c>[n]</c>, how often each pair counts; null for once.</param>
    /// <returns>A scalar in nats, to call <c>backward()</c> on.</returns>
    public TorchTensor Loss(TorchTensor pixels, TorchTensor ids, TorchTensor? weights = null)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        (TorchTensor images, TorchTensor texts) = call(pixels, ids);
        TorchTensor loss = LogitBias is { } bias
            ? SigmoidLoss.Compute(images, texts, LogitScale.exp(), bias, weights)
            : ContrastiveLoss.Compute(images, texts, LogitScale.exp(), weights);
        return loss.MoveToOuterDisposeScope();
    }

    /// <summary>Keeps <see cref="LogitScale"/> between 0 and ln 100, as CLIP and open_clip do after every step (arXiv:2103.00020, section 2.5).</summary>
    public void ClampLogitScale()
    {
        using (torch.no_grad())
        using (torch.NewDisposeScope())
            LogitScale.ClampInPlace(0, Math.Log(100));
    }

    /// <summary>Whether running statistics of batch norms follow the batches; off for a second pass over the same images.</summary>
    internal bool UpdatesStatistics
    {
        get => _norms.UpdatesStatistics;
        set => _norms.UpdatesStatistics = value;
    }

    /// <summary>The model on this backend, for its sizes.</summary>
    internal Models.IDualEncoder Encoder => Model.Encoder;

    /// <summary>The type that products are rounded to.</summary>
    internal ElementType ComputeType => _backend.ComputeType;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing)
            return;
        _model?.Dispose();
        _model = null;
        _backend?.Dispose();
    }
}
