using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>A backend that reads weights out of a file by itself, on all its threads and straight into its own layout.</summary>
internal interface IReadsTensors
{
    /// <summary>Reads a weight.</summary>
    /// <param name="place">Where it lies.</param>
    /// <param name="data">Its name, shape and type; without an address.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="largest">The largest magnitude among its elements: the bits without the sign.</param>
    /// <returns>The weight, or null where it has to be borrowed and handed over.</returns>
    /// <exception cref="CheckpointException">The file was written to since it was opened.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    Weight? ReadWeight(in TensorPlace place, in WeightData data, WeightRole role, out uint largest);
}
