using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A timm transformer with the projection that open_clip puts behind it.</summary>
internal sealed class TimmVision : IImageTower
{
    private readonly TimmTower _tower;
    private readonly Weight? _patchKernel, _patchBias, _classToken, _preNormWeight, _preNormBias, _headBias, _cosines, _sines;
    private readonly Weight _positions, _normWeight, _normBias, _head;
    private readonly TimmStem? _stem;
    private readonly TransformerBlock[]? _plainBlocks;
    private readonly EvaBlock[] _blocks = [];
    private readonly AttentionPoolLatent? _pool;

    /// <summary>Loads the tower.</summary>
    /// <param name="tower">Its sizes and options.</param>
    /// <param name="embedDimension">The length of a feature.</param>
    /// <param name="weights">A reader below <c>visual</c>.</param>
    public TimmVision(TimmTower tower, int embedDimension, WeightReader weights)
    {
        _tower = tower;
        int width = tower.Width;
        WeightReader trunk = weights.Scope("trunk");
        if (tower.HasConvolutionalStem)
        {
            _stem = new TimmStem(width, trunk.Scope("patch_embed.backbone"));
        }
        else
        {
            _patchKernel = trunk.Read("patch_embed.proj.weight", WeightRole.PatchEmbedding, width, 3, tower.PatchSize, tower.PatchSize);
            _patchBias = tower.HasPreNorm ? null : trunk.Read("patch_embed.proj.bias", WeightRole.Vector, width);
        }

        if (tower.HasClassToken)
            _classToken = trunk.CreateFromValues("cls_token", WeightRole.Tokens, trunk.ReadValues("cls_token", 1, 1, width), width);
        _positions = ReadPositions(trunk);
        if (tower.HasPreNorm)
        {
            _preNormWeight = trunk.Read("norm_pre.weight", WeightRole.Vector, width);
            _preNormBias = trunk.Read("norm_pre.bias", WeightRole.Vector, width);
        }

        if (tower.Rotary is { } rotary)
            (_cosines, _sines) = CreateAngles(rotary, trunk);
        if (tower is { HasFusedBias: true, Rotary: null, HasLayerScale: false })
        {
            _plainBlocks = new TransformerBlock[tower.Layers];
            for (int layer = 0; layer < _plainBlocks.Length; layer++)
                _plainBlocks[layer] = TimmBlock.Read(trunk.Scope($"blocks.{layer}"), width, tower.HiddenWidth, tower.Heads, Activation.Gelu, tower.Epsilon);
        }
        else
        {
            _blocks = new EvaBlock[tower.Layers];
            for (int layer = 0; layer < _blocks.Length; layer++)
                _blocks[layer] = new EvaBlock(tower, trunk.Scope($"blocks.{layer}"));
        }

        _normWeight = trunk.Read("norm.weight", WeightRole.Vector, width);
        _normBias = trunk.Read("norm.bias", WeightRole.Vector, width);
        // The Perception Encoder gives its pool 8 heads and an MLP four times as wide, whatever its blocks have.
        if (tower.Pooling == TimmPooling.Attention)
            _pool = new AttentionPoolLatent(trunk.Scope("attn_pool"), width, heads: 8, 4 * width, Activation.Gelu, tower.Epsilon);
        _head = tower.HasOwnHead ? trunk.Read("head.weight", WeightRole.Linear, embedDimension, width) : weights.Read("head.proj.weight", WeightRole.Linear, embedDimension, width);
        _headBias = tower.HasOwnHead ? trunk.Read("head.bias", WeightRole.Vector, embedDimension) : null;
    }

    /// <inheritdoc/>
    public int Tokens => _tower.Tokens;

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = _stem is null ? pass.PatchEmbedding(pixels, _patchKernel!, _patchBias) : _stem.Forward(pass, pixels);    // [n, grid, width]
        x = pass.AssembleTokens(x, _classToken, _positions);                                                                 // [n, t, width]
        if (_preNormWeight is not null)
            x = pass.LayerNorm(x, _preNormWeight, _preNormBias!, _tower.Epsilon);
        if (_plainBlocks is not null)
            x = pass.TransformerStack(x, _plainBlocks);
        foreach (EvaBlock block in _blocks)
            x = pass.ReleaseAllBut(mark, block.Forward(pass, x, _cosines, _sines));
        var one = new Shape(x.Shape[0], _tower.Width);
        x = _tower.Pooling switch
        {
            TimmPooling.ClassToken => Norm(pass, pass.SliceTokens(x, 0, 1).Reshape(one)),  // the norm looks at one token at a time
            TimmPooling.Average => pass.MeanTokens(Norm(pass, x)).Reshape(one),
            _ => _pool!.Forward(pass, Norm(pass, x)),
        };
        return pass.LeaveScope(mark, pass.Linear(x, _head, _headBias));                                                      // [n, embed_dim]
    }

    private Tensor Norm(IPass pass, in Tensor x) => pass.LayerNorm(x, _normWeight, _normBias, _tower.Epsilon);

    /// <summary><c>pos_embed [1, t, width]</c>; where the class token has no position, its row is zero.</summary>
    private Weight ReadPositions(WeightReader trunk)
    {
        const string Key = "pos_embed";
        bool isWhole = !_tower.HasClassToken || _tower.ClassTokenHasPosition;
        int width = _tower.Width, tokens = _tower.Tokens, stored = isWhole ? tokens : tokens - 1;
        return trunk.Compute(isWhole ? Key : $"{Key} behind a class token without one", WeightRole.Tokens, () =>
        {
            float[] values = trunk.ReadValues(Key, 1, stored, width);
            float[] positions = new float[tokens * width];
            values.CopyTo(positions, positions.Length - values.Length);
            return positions;
        }, [(Key, new Shape(1, stored, width))], tokens, width);
    }

    /// <summary>
    /// Angles of timm's <c>RotaryEmbeddingCat</c>: with n a quarter of a head's channels, pair i turns by coordinate * 10000^(-i / n), the
    /// first n pairs along one axis and the others along the other. A coordinate is (index + offset) / grid * reference. The class token is not turned.
    /// </summary>
    private (Weight Cosines, Weight Sines) CreateAngles(TimmRotary rotary, WeightReader trunk)
    {
        const double Base = 10000;
        int pairs = _tower.Width / _tower.Heads / 2, axis = pairs / 2, first = _tower.HasClassToken ? 1 : 0;
        return (trunk.Compute("rope cosines", WeightRole.Tokens, () => Of(Math.Cos), [], _tower.Tokens, pairs), trunk.Compute("rope sines", WeightRole.Tokens, () => Of(Math.Sin), [], _tower.Tokens, pairs));

        float[] Of(Func<double, double> function)
        {
            float[] values = new float[_tower.Tokens * pairs];
            values.AsSpan(0, first * pairs).Fill((float)function(0));
            for (int token = first; token < _tower.Tokens; token++)
            {
                (int row, int column) = Math.DivRem(token - first, _tower.GridWidth);
                double y = (row + rotary.Offset) / _tower.GridHeight * rotary.Reference.Height;
                double x = (column + rotary.Offset) / _tower.GridWidth * rotary.Reference.Width;
                for (int pair = 0; pair < pairs; pair++)
                {
                    bool isColumn = pair < axis == rotary.ColumnsFirst;
                    double angle = (isColumn ? x : y) * Math.Pow(Base, -(pair % axis) / (double)axis);
                    values[(token * pairs) + pair] = (float)function(angle);
                }
            }

            return values;
        }
    }
}
