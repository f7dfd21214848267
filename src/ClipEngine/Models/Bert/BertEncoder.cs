using ClipEngine.Checkpoints;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>BERT's encoder (arXiv:1810.04805), which RoBERTa (arXiv:1907.11692) and XLM-RoBERTa share: embeddings and blocks whose norms stand behind the sums.</summary>
internal sealed class BertEncoder : ITextEncoder
{
    private readonly BertEmbeddings _embeddings;
    private readonly TransformerBlock[] _blocks;

    /// <summary>Loads the encoder.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader above <c>embeddings</c> and <c>encoder</c>, behind <see cref="Fused"/>.</param>
    public BertEncoder(BertConfig config, WeightReader weights)
    {
        _embeddings = new BertEmbeddings(config, weights.Scope("embeddings"));
        _blocks = new TransformerBlock[config.Layers];
        for (int layer = 0; layer < _blocks.Length; layer++)
            _blocks[layer] = ReadBlock(config, weights.Scope($"encoder.layer.{layer}"));
    }

    /// <summary>Self-attention's three matrices become one: an entry of a <see cref="KeyTable"/>.</summary>
    /// <param name="prefix">What stands before <c>encoder</c>, with its dot.</param>
    public static (string From, string To) Fused(string prefix) => ($"{prefix}encoder.layer.#.attention.self.?.", $"{prefix}encoder.layer.#.attention.self.qkv.");

    /// <inheritdoc/>
    public Tensor Forward(IPass pass, PaddedSentences sentences, bool onlyFirst)
    {
        long mark = pass.EnterScope();
        Tensor x = _embeddings.Forward(pass, sentences.Ids, sentences.Length);
        AttentionMask mask = sentences.Mask(pass, sentences.Length);
        return pass.LeaveScope(mark, pass.TransformerStack(x, _blocks, mask, onlyFirst ? sentences.First(pass) : default));
    }

    /// <summary>Reads one layer.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="weights">A reader below <c>encoder.layer.N</c>.</param>
    public static TransformerBlock ReadBlock(BertConfig config, WeightReader weights)
    {
        int width = config.Width, hidden = config.HiddenWidth;
        return new TransformerBlock
        {
            InProjectionWeight = weights.Read("attention.self.qkv.weight", WeightRole.Linear, 3 * width, width),
            InProjectionBias = weights.Read("attention.self.qkv.bias", WeightRole.Vector, 3 * width),
            OutProjectionWeight = weights.Read("attention.output.dense.weight", WeightRole.Linear, width, width),
            OutProjectionBias = weights.Read("attention.output.dense.bias", WeightRole.Vector, width),
            Norm1Weight = weights.Read("attention.output.LayerNorm.weight", WeightRole.Vector, width),
            Norm1Bias = weights.Read("attention.output.LayerNorm.bias", WeightRole.Vector, width),
            ExpandWeight = weights.Read("intermediate.dense.weight", WeightRole.Linear, hidden, width),
            ExpandBias = weights.Read("intermediate.dense.bias", WeightRole.Vector, hidden),
            ContractWeight = weights.Read("output.dense.weight", WeightRole.Linear, width, hidden),
            ContractBias = weights.Read("output.dense.bias", WeightRole.Vector, width),
            Norm2Weight = weights.Read("output.LayerNorm.weight", WeightRole.Vector, width),
            Norm2Bias = weights.Read("output.LayerNorm.bias", WeightRole.Vector, width),
            NormPlacement = NormPlacement.Behind,
            Heads = config.Heads,
            Activation = config.Activation,
            Epsilon = config.Epsilon,
        };
    }

    /// <summary>What follows self-attention in a layer that is run step by step: its output, the sum and its norm.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="block">From <see cref="ReadBlock"/>.</param>
    /// <param name="attended">What attention gave, <c>[n, count, width]</c>.</param>
    /// <param name="input">What went into the layer; of the same shape.</param>
    public static Tensor AddAttended(IPass pass, TransformerBlock block, in Tensor attended, in Tensor input) => pass.LayerNorm(
        pass.Linear(attended, block.OutProjectionWeight, block.OutProjectionBias, new Epilogue { Residual = input }), block.Norm1Weight, block.Norm1Bias, block.Epsilon);
}
