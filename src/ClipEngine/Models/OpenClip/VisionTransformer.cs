using System.Buffers;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// The vision transformer of CLIP (arXiv:2103.00020, after arXiv:2010.11929) with the options of open_clip's <c>VisionTransformer</c>.
/// </summary>
internal sealed class VisionTransformer : IImageTower
{
    private readonly VisionConfig _config;
    private readonly Weight _patchKernel, _classEmbedding, _positions, _postNormWeight, _postNormBias, _projection;
    private readonly Weight? _preNormWeight, _preNormBias;
    private readonly ResidualBlocks _blocks;
    private readonly AttentionalPooler? _pooler, _contrastivePooler;

    /// <summary>Loads the tower.</summary>
    /// <param name="config">Its sizes and options.</param>
    /// <param name="trainedGrid">The grid of patches that the checkpoint's positions belong to; another than the configuration's has them resized.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public VisionTransformer(VisionConfig config, (int Height, int Width) trainedGrid, int embedDimension, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _patchKernel = weights.Read("conv1.weight", WeightRole.PatchEmbedding, width, 3, config.PatchSize, config.PatchSize);
        _classEmbedding = weights.Read("class_embedding", WeightRole.Tokens, width);
        _positions = PositionGrid.Read(weights, trainedGrid, (config.GridHeight, config.GridWidth), width, config.PatchSize);
        if (config.HasPreNorm)
        {
            _preNormWeight = weights.Read("ln_pre.weight", WeightRole.Vector, width);
            _preNormBias = weights.Read("ln_pre.bias", WeightRole.Vector, width);
        }

        _blocks = new ResidualBlocks(weights.Scope("transformer"), config.Layers[0], width, config.Heads, config.HiddenWidth, config.HasLayerScale, config.Activation, config.Epsilon);

        bool hasPooler = config.AttentionalPool != AttentionalPooling.None;
        if (hasPooler)
            _pooler = new AttentionalPooler(weights.Scope("attn_pool"), config.PoolerQueries, embedDimension, width, config.PoolerHeads, config.Epsilon);
        if (config.AttentionalPool is AttentionalPooling.Parallel or AttentionalPooling.Cascade)
            _contrastivePooler = new AttentionalPooler(weights.Scope("attn_pool_contrastive"), 1, embedDimension, width, config.PoolerHeads, config.Epsilon);

        int pooledWidth = hasPooler ? embedDimension : width;
        _postNormWeight = weights.Read("ln_post.weight", WeightRole.Vector, pooledWidth);
        _postNormBias = weights.Read("ln_post.bias", WeightRole.Vector, pooledWidth);
        _projection = weights.Read("proj", WeightRole.LinearTransposed, pooledWidth, embedDimension);
    }

    /// <inheritdoc/>
    public int Tokens => (_config.GridHeight * _config.GridWidth) + 1;

    /// <inheritdoc/>
    public int? FeatureTokens => _config switch
    {
        { AttentionalPool: AttentionalPooling.Parallel or AttentionalPooling.Cascade } => 1,
        { Pooling: ImagePooling.None, AttentionalPool: AttentionalPooling.Single } => _config.PoolerQueries,
        { Pooling: ImagePooling.None } => Tokens,
        _ => null,
    };

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = Embed(pass, pixels);                                         // [n, grid + 1, width]
        x = _config is { AttentionalPool: AttentionalPooling.None, Pooling: ImagePooling.ClassToken }
            ? PostNorm(pass, ForwardClassToken(pass, x))                        // [n, width]; the norm looks at one token at a time
            : Pool(pass, _blocks.Forward(pass, x));                             // from [n, grid + 1, width]
        x = pass.LeaveScope(mark, x);                                           // [n, pooled] or [n, tokens, pooled]
        return pass.Linear(x, _projection, bias: null);                         // [n, embed_dim] or [n, tokens, embed_dim]
    }

    /// <summary>Enqueues the tower for CoCa's decoder: the tokens behind the one that becomes the feature (open_clip's <c>output_tokens</c>).</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="pixels"><c>[n, 3, height, width]</c>.</param>
    /// <returns><c>[n, tokens, width]</c>, or <c>[n, queries, embed_dim]</c> behind an attentional pooler; without the last projection.</returns>
    public Tensor ForwardTokens(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = _blocks.Forward(pass, Embed(pass, pixels));
        x = _config.AttentionalPool switch
        {
            AttentionalPooling.None => _config.FinalNormAfterPool ? x : PostNorm(pass, x),
            AttentionalPooling.Single => PostNorm(pass, _pooler!.Forward(pass, x)),
            _ => _pooler!.Forward(pass, PostNorm(pass, x)),
        };
        bool isPooledApart = _config.Pooling == ImagePooling.None || _contrastivePooler is not null;
        return pass.LeaveScope(mark, isPooledApart ? x : pass.SliceTokens(x, 1, (int)x.Shape[1] - 1));
    }

    private Tensor Embed(IPass pass, in Tensor pixels)
    {
        Tensor x = pass.PatchEmbedding(pixels, _patchKernel, bias: null);       // [n, grid, width]
        x = pass.AssembleTokens(x, _classEmbedding, _positions);                // [n, grid + 1, width]
        return _preNormWeight is null ? x : pass.LayerNorm(x, _preNormWeight, _preNormBias!, _config.Epsilon);
    }

    private Tensor ForwardClassToken(IPass pass, in Tensor x)
    {
        int batch = (int)x.Shape[0];
        int[] rented = ArrayPool<int>.Shared.Rent(batch);
        Span<int> first = rented.AsSpan(0, batch);
        first.Clear();
        Tensor indices = pass.Upload(first, new Shape(batch));
        ArrayPool<int>.Shared.Return(rented);
        return _blocks.Forward(pass, x, select: indices);
    }

    private Tensor Pool(IPass pass, in Tensor x)
    {
        switch (_config.AttentionalPool)
        {
            case AttentionalPooling.None when _config.FinalNormAfterPool:
                return PostNorm(pass, GlobalPool(pass, x));
            case AttentionalPooling.None:
                return GlobalPool(pass, PostNorm(pass, x));
            case AttentionalPooling.Single:
                return GlobalPool(pass, PostNorm(pass, _pooler!.Forward(pass, x)));
            case AttentionalPooling.Parallel:
                return _contrastivePooler!.Forward(pass, PostNorm(pass, x));    // [n, 1, embed_dim]
            default:
                return _contrastivePooler!.Forward(pass, _pooler!.Forward(pass, PostNorm(pass, x)));
        }
    }

    private Tensor PostNorm(IPass pass, in Tensor x) => pass.LayerNorm(x, _postNormWeight, _postNormBias, _config.Epsilon);

    /// <summary><c>[n, t, w]</c> to <c>[n, w]</c>; unchanged without pooling.</summary>
    private Tensor GlobalPool(IPass pass, in Tensor x)
    {
        switch (_config.Pooling)
        {
            case ImagePooling.ClassToken:
                return pass.SliceTokens(x, 0, 1).Reshape(new Shape(x.Shape[0], x.Shape[2]));
            case ImagePooling.Average:
                Tensor patches = pass.SliceTokens(x, 1, (int)x.Shape[1] - 1);
                return pass.MeanTokens(patches).Reshape(new Shape(x.Shape[0], x.Shape[2]));
            default:
                return x;
        }
    }
}
