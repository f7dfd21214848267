using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BERT's cross-attention to an image's tokens, its norm behind the sum: BLIP's text transformer and BLIP-2's Q-Former have it between self-attention and MLP.</summary>
internal sealed class BertCrossAttention
{
    private readonly BertConfig _config;
    private readonly Weight _queryWeight, _queryBias, _outWeight, _outBias, _normWeight, _normBias;

    /// <summary>Loads one layer's.</summary>
    /// <param name="config">The transformer's sizes.</param>
    /// <param name="imageWidth">Of an image's token.</param>
    /// <param name="weights">A reader below <c>crossattention</c>.</param>
    public BertCrossAttention(BertConfig config, int imageWidth, WeightReader weights)
    {
        _config = config;
        int width = config.Width;
        _queryWeight = weights.Read("self.query.weight", WeightRole.Linear, width, width);
        _queryBias = weights.Read("self.query.bias", WeightRole.Vector, width);
        KeyValues = new ImageKeyValues
        {
            KeyWeight = weights.Read("self.key.weight", WeightRole.Linear, width, imageWidth),
            KeyBias = weights.Read("self.key.bias", WeightRole.Vector, width),
            ValueWeight = weights.Read("self.value.weight", WeightRole.Linear, width, imageWidth),
            ValueBias = weights.Read("self.value.bias", WeightRole.Vector, width),
        };
        _outWeight = weights.Read("output.dense.weight", WeightRole.Linear, width, width);
        _outBias = weights.Read("output.dense.bias", WeightRole.Vector, width);
        _normWeight = weights.Read("output.LayerNorm.weight", WeightRole.Vector, width);
        _normBias = weights.Read("output.LayerNorm.bias", WeightRole.Vector, width);
    }

    /// <summary>What the layer keeps of an image.</summary>
    public ImageKeyValues KeyValues { get; }

    /// <summary>Enqueues the attention.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="input"><c>[n, count, width]</c>.</param>
    /// <param name="keys"><c>[1 or n, tokens, width]</c> of <see cref="KeyValues"/>; one image serves all sequences.</param>
    /// <param name="values">The shape of <paramref name="keys"/>.</param>
    /// <returns>The shape of <paramref name="input"/>.</returns>
    public Tensor Forward(IPass pass, in Tensor input, in Tensor keys, in Tensor values)
    {
        Tensor query = pass.Linear(input, _queryWeight, _queryBias);
        Tensor seen = pass.Attention(query, keys, values, _config.Heads);
        Tensor x = pass.Linear(seen, _outWeight, _outBias, new Epilogue { Residual = input });
        return pass.LayerNorm(x, _normWeight, _normBias, _config.Epsilon);
    }
}
