namespace ClipEngine;

/// <summary>The features of one image of a stream.</summary>
/// <param name="Index">Its number in the stream, from 0.</param>
/// <param name="Name">What it is called: its path, or the name given.</param>
/// <param name="Values">The features; <see cref="ClipModel.EmbedDimension"/> of them for a model that pools.</param>
public sealed record ImageFeatures(long Index, string Name, float[] Values);
