namespace ClipEngine.Tensors;

/// <summary>What a backend promises about an image's features when batch size or thread count change.</summary>
public enum FeatureInvariance
{
    /// <summary>The same bits, whatever the batch and the number of threads.</summary>
    Bitwise,

    /// <summary>Within <see cref="IBackend.InvarianceBound"/> of each other.</summary>
    Bounded,
}

/// <summary>
/// One device that models run on. Models are written in the coarse operations of <see cref="IPass"/> and never ask which
/// backend they run on; a backend never knows which model calls it.
/// </summary>
/// <remarks>
/// Thread-safe: weights are immutable and every concurrent pass has its own <see cref="IPass"/>.
/// Algorithms are chosen by the shape of the weights, never by the batch, so that a feature does not depend on its neighbours.
/// </remarks>
public interface IBackend : IDisposable
{
    /// <summary>The device as the command line names it: <c>cpu</c>, <c>cuda:0</c>, <c>torch</c>.</summary>
    string Name { get; }

    /// <summary>What actually runs, for run records and benchmarks: instruction set, device name, library versions.</summary>
    string Description { get; }

    /// <summary>The type that matrix products are computed in.</summary>
    ElementType ComputeType { get; }

    /// <summary>The declared invariance of features.</summary>
    FeatureInvariance Invariance { get; }

    /// <summary>The largest absolute difference on normalised features where <see cref="Invariance"/> is <see cref="FeatureInvariance.Bounded"/>; else 0.</summary>
    double InvarianceBound { get; }

    /// <summary>Takes over a weight: copies, converts and packs it. Called once for each weight, at load.</summary>
    /// <param name="data">The weight's bytes; not read after the call returns.</param>
    /// <param name="role">What the weight is used for.</param>
    /// <exception cref="NotSupportedException">The stored type cannot be used for this role.</exception>
    Weight CreateWeight(in WeightData data, WeightRole role);

    /// <summary>Memory for tokens that outlive a pass, zeros at first.</summary>
    /// <param name="shape"><c>[n, capacity, w]</c>.</param>
    /// <exception cref="NotSupportedException">The backend keeps nothing beyond a pass.</exception>
    TokenStore CreateTokenStore(in Shape shape) => throw new NotSupportedException($"{Name} keeps no tokens beyond a pass.");

    /// <summary>Opens a pass. Disposing it returns its memory to the backend for the next one; a steady state allocates nothing.</summary>
    IPass BeginPass();
}
