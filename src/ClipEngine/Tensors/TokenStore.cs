namespace ClipEngine.Tensors;

/// <summary>
/// Tokens that outlive a pass, in the backend's own memory: an image's keys and values that many sentences look at, or those of a
/// sentence that grows. Zeros at first. Not thread-safe: passes that use a store follow one another.
/// </summary>
/// <remarks>Filled with <see cref="IPass.Store"/>, read with <see cref="IPass.Load"/>; disposed by whoever made it.</remarks>
public abstract class TokenStore : IDisposable
{
    /// <summary>A store of a fixed size.</summary>
    /// <param name="shape"><c>[n, capacity, w]</c>.</param>
    protected TokenStore(in Shape shape)
    {
        if (shape.Rank != 3)
            throw new ArgumentException($"Expected [n, capacity, w]; found {shape}.", nameof(shape));
        Shape = shape;
    }

    /// <summary><c>[n, capacity, w]</c>.</summary>
    public Shape Shape { get; }

    /// <summary>Bytes that it occupies in the backend's memory.</summary>
    public abstract long ByteLength { get; }

    /// <summary>Releases the memory. No pass may use the store afterwards.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the memory.</summary>
    /// <param name="disposing">True when called from <see cref="Dispose()"/>.</param>
    protected abstract void Dispose(bool disposing);
}
