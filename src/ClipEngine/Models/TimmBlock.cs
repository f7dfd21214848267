using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>A pre-norm block under the keys of timm's <c>Block</c>, which BLIP's image tower shares.</summary>
internal static class TimmBlock
{
    /// <summary>Reads one block.</summary>
    /// <param name="weights">A reader below <c>blocks.N</c>.</param>
    /// <param name="width">Of a token.</param>
    /// <param name="hidden">Of the MLP.</param>
    /// <param name="heads">Divides <paramref name="width"/>.</param>
    /// <param name="activation">The MLP's.</param>
    /// <param name="epsilon">The layer norms'.</param>
    public static TransformerBlock Read(WeightReader weights, int width, int hidden, int heads, Activation activation, float epsilon) => new()
    {
        Norm1Weight = weights.Read("norm1.weight", WeightRole.Vector, width),
        Norm1Bias = weights.Read("norm1.bias", WeightRole.Vector, width),
        InProjectionWeight = weights.Read("attn.qkv.weight", WeightRole.Linear, 3 * width, width),
        InProjectionBias = weights.Read("attn.qkv.bias", WeightRole.Vector, 3 * width),
        OutProjectionWeight = weights.Read("attn.proj.weight", WeightRole.Linear, width, width),
        OutProjectionBias = weights.Read("attn.proj.bias", WeightRole.Vector, width),
        Norm2Weight = weights.Read("norm2.weight", WeightRole.Vector, width),
        Norm2Bias = weights.Read("norm2.bias", WeightRole.Vector, width),
        ExpandWeight = weights.Read("mlp.fc1.weight", WeightRole.Linear, hidden, width),
        ExpandBias = weights.Read("mlp.fc1.bias", WeightRole.Vector, hidden),
        ContractWeight = weights.Read("mlp.fc2.weight", WeightRole.Linear, width, hidden),
        ContractBias = weights.Read("mlp.fc2.bias", WeightRole.Vector, width),
        Heads = heads,
        Activation = activation,
        Epsilon = epsilon,
    };
}
