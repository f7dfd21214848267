using Microsoft.Extensions.VectorData;

namespace VectorSearch;

/// <summary>A record of the store. The number of dimensions is the model's: 16 for the demo checkpoint, 512 for ViT-B-32.</summary>
internal sealed class Picture
{
    [VectorStoreKey]
    public required string Path { get; init; }

    [VectorStoreVector(16, DistanceFunction = DistanceFunction.CosineSimilarity)]
    public required ReadOnlyMemory<float> Embedding { get; init; }
}
