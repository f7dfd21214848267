using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// CoCa's caption decoder (arXiv:2205.01917, section 3.2; open_clip's <c>MultimodalTransformer</c>): in each layer a causal block over the
/// sentence's tokens, then a block that looks at the image's, each with an MLP of its own. An image's keys and values are projected once.
/// </summary>
internal sealed class CaptionDecoder
{
    private const float Epsilon = 1e-5f; // MultimodalCfg has no norm_kwargs

    private readonly CaptionDecoderConfig _config;
    private readonly ResidualBlocks _blocks;
    private readonly ImageBlock[] _imageBlocks;
    private readonly Weight _normWeight, _normBias, _projection;

    /// <summary>Loads the decoder.</summary>
    /// <param name="config">Its sizes; an image's tokens are as wide as a word's.</param>
    /// <param name="weights">A reader below <c>text_decoder</c>.</param>
    public CaptionDecoder(CaptionDecoderConfig config, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _blocks = new ResidualBlocks(weights, config.Layers, width, config.Heads, config.HiddenWidth, config.HasLayerScale, config.Activation, Epsilon);
        _imageBlocks = [.. Enumerable.Range(0, config.Layers).Select(layer => new ImageBlock(config, weights.Scope($"cross_attn.{layer}")))];
        _normWeight = weights.Read("ln_final.weight", WeightRole.Vector, width);
        _normBias = weights.Read("ln_final.bias", WeightRole.Vector, width);
        _projection = weights.Read("text_projection", WeightRole.LinearTransposed, width, config.VocabularySize);
        weights.AllowUnused("attn_mask"); // follows from the context length; old checkpoints carry it
    }

    /// <summary>Projects an image's tokens to the keys and values of every layer and keeps them.</summary>
    /// <param name="pass">A pass of <paramref name="backend"/>.</param>
    /// <param name="backend">Where the stores are made.</param>
    /// <param name="imageTokens"><c>[1, tokens, width]</c>.</param>
    public PreparedImage PrepareImage(IPass pass, IBackend backend, in Tensor imageTokens) =>
        ImageKeyValues.Prepare(pass, backend, imageTokens, _imageBlocks.Select(static block => block.KeyValues));

    /// <summary>Where the keys and values of sentences are kept while they are written.</summary>
    public List<TokenStore> CreatePast(IBackend backend, int count, int capacity) => _blocks.CreatePast(backend, count, capacity, _config.Width);

    /// <summary>Enqueues the decoder over new tokens.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="image">From <see cref="PrepareImage"/>.</param>
    /// <param name="tokens"><c>[n, count, width]</c>: the text tower's.</param>
    /// <param name="past">From <see cref="CreatePast"/>; the new keys and values are added.</param>
    /// <param name="position">How many tokens are stored.</param>
    /// <param name="wanted">Of how many tokens, the last ones, logits are wanted.</param>
    /// <returns><c>[n, wanted, vocabulary]</c> logits of the id behind each.</returns>
    public Tensor ForwardNext(IPass pass, PreparedImage image, in Tensor tokens, IReadOnlyList<TokenStore> past, int position, int wanted)
    {
        long mark = pass.EnterScope();
        var mask = new AttentionMask { Causal = true, Offset = position };
        Tensor x = tokens;
        long inner = pass.EnterScope();
        for (int layer = 0; layer < _imageBlocks.Length; layer++)
        {
            x = _blocks.ForwardNext(pass, layer, x, past, mask);                                                        // [n, count, width]
            x = pass.ReleaseAllBut(inner, _imageBlocks[layer].Forward(pass, x, image.Stores[2 * layer], image.Stores[(2 * layer) + 1]));
        }

        x = pass.LeaveScope(inner, x);
        x = wanted == x.Shape[1] ? x : pass.SliceTokens(x, (int)x.Shape[1] - wanted, wanted);                           // [n, wanted, width]
        x = pass.LayerNorm(x, _normWeight, _normBias, Epsilon);
        return pass.LeaveScope(mark, pass.Linear(x, _projection, bias: null));                                          // [n, wanted, vocabulary]
    }

    /// <summary>A block whose keys and values are an image's (open_clip's <c>ResidualAttentionBlock</c> with <c>is_cross_attention</c>).</summary>
    private sealed class ImageBlock
    {
        private readonly CaptionDecoderConfig _config;
        private readonly Weight _norm1Weight, _norm1Bias, _norm2Weight, _norm2Bias, _queryWeight, _queryBias, _outWeight, _outBias;
        private readonly Weight _expandWeight, _expandBias, _contractWeight, _contractBias;
        private readonly Weight? _scale1, _scale2;

        public ImageBlock(CaptionDecoderConfig config, WeightReader weights)
        {
            _config = config;
            int width = config.Width, hidden = config.HiddenWidth;
            _norm1Weight = weights.Read("ln_1.weight", WeightRole.Vector, width);
            _norm1Bias = weights.Read("ln_1.bias", WeightRole.Vector, width);
            _queryWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, 0, width, 3 * width, width);
            _queryBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, 0, width, 3 * width);
            KeyValues = new ImageKeyValues
            {
                Norm = (weights.Read("ln_1_kv.weight", WeightRole.Vector, width), weights.Read("ln_1_kv.bias", WeightRole.Vector, width), Epsilon),
                KeyWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, width, width, 3 * width, width),
                KeyBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, width, width, 3 * width),
                ValueWeight = weights.ReadRows("attn.in_proj_weight", WeightRole.Linear, 2 * width, width, 3 * width, width),
                ValueBias = weights.ReadRows("attn.in_proj_bias", WeightRole.Vector, 2 * width, width, 3 * width),
            };
            _outWeight = weights.Read("attn.out_proj.weight", WeightRole.Linear, width, width);
            _outBias = weights.Read("attn.out_proj.bias", WeightRole.Vector, width);
            _norm2Weight = weights.Read("ln_2.weight", WeightRole.Vector, width);
            _norm2Bias = weights.Read("ln_2.bias", WeightRole.Vector, width);
            _expandWeight = weights.Read("mlp.c_fc.weight", WeightRole.Linear, hidden, width);
            _expandBias = weights.Read("mlp.c_fc.bias", WeightRole.Vector, hidden);
            _contractWeight = weights.Read("mlp.c_proj.weight", WeightRole.Linear, width, hidden);
            _contractBias = weights.Read("mlp.c_proj.bias", WeightRole.Vector, width);
            if (!config.HasLayerScale)
                return;
            _scale1 = weights.Read("ls_1.gamma", WeightRole.Vector, width);
            _scale2 = weights.Read("ls_2.gamma", WeightRole.Vector, width);
        }

        /// <summary>What the block keeps of an image.</summary>
        public ImageKeyValues KeyValues { get; }

        /// <summary>Enqueues the block.</summary>
        /// <param name="pass">The pass.</param>
        /// <param name="input"><c>[n, count, width]</c>.</param>
        /// <param name="keys"><c>[1, tokens, width]</c>: one image for all sentences.</param>
        /// <param name="values">The shape of <paramref name="keys"/>.</param>
        /// <returns>The shape of <paramref name="input"/>.</returns>
        public Tensor Forward(IPass pass, in Tensor input, TokenStore keys, TokenStore values)
        {
            Tensor query = pass.Linear(pass.LayerNorm(input, _norm1Weight, _norm1Bias, Epsilon), _queryWeight, _queryBias);
            Tensor seen = pass.Attention(query, pass.Load(keys), pass.Load(values), _config.Heads);
            Tensor x = pass.Linear(seen, _outWeight, _outBias, new Epilogue { Scale = _scale1, Residual = input });
            Tensor hidden = pass.Linear(pass.LayerNorm(x, _norm2Weight, _norm2Bias, Epsilon), _expandWeight, _expandBias, new Epilogue { Activation = _config.Activation });
            return pass.Linear(hidden, _contractWeight, _contractBias, new Epilogue { Scale = _scale2, Residual = x });
        }
    }
}
