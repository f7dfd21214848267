namespace ClipEngine.Tensors;

/// <summary>What a weight is used for; it decides how a backend lays it out.</summary>
public enum WeightRole
{
    /// <summary>A matrix stored <c>[out, in]</c>, as <c>torch.nn.Linear</c> keeps it: y = x W^T.</summary>
    Linear,

    /// <summary>A matrix stored <c>[in, out]</c>, as CLIP keeps <c>proj</c> and <c>text_projection</c>: y = x W.</summary>
    LinearTransposed,

    /// <summary>A vector: a bias, a layer norm's weight, a layer scale's gamma.</summary>
    Vector,

    /// <summary>A convolution kernel <c>[out, in / groups, height, width]</c>.</summary>
    Convolution,

    /// <summary>The non-overlapping convolution that turns an image into patches, <c>[width, channels, patch, patch]</c>.</summary>
    PatchEmbedding,

    /// <summary>A table that rows are looked up in, <c>[rows, width]</c>.</summary>
    EmbeddingTable,

    /// <summary>Tokens that are added or prepended as they are: positions <c>[tokens, width]</c>, a class embedding <c>[width]</c>, learned queries.</summary>
    Tokens,
}

/// <summary>A tensor on its way from a checkpoint to a backend: where its bytes lie and what they mean. Little-endian, row-major, contiguous.</summary>
/// <param name="Name">The checkpoint's own key, verbatim.</param>
/// <param name="Shape">The sizes.</param>
/// <param name="Type">The type as stored.</param>
/// <param name="Address">The first byte, possibly in a mapped file and not aligned. Readable until the backend's <see cref="IBackend.CreateWeight"/> returns.</param>
public readonly record struct WeightData(string Name, Shape Shape, ElementType Type, nint Address)
{
    /// <summary>The length in bytes.</summary>
    public long ByteLength => checked(Shape.ElementCount * Type.SizeInBytes());
}

/// <summary>
/// A weight as a backend keeps it: repacked, converted or quantised as it likes. Immutable and shared by all passes;
/// disposed with the model that owns it.
/// </summary>
public abstract class Weight : IDisposable
{
    /// <summary>Keeps what is known of the weight; the backend adds its memory.</summary>
    /// <param name="name">The checkpoint's own key.</param>
    /// <param name="shape">The shape as in the checkpoint, whatever the backend made of it.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="storedType">The type in the checkpoint.</param>
    protected Weight(string name, Shape shape, WeightRole role, ElementType storedType)
    {
        Name = name;
        Shape = shape;
        Role = role;
        StoredType = storedType;
    }

    /// <summary>The checkpoint's own key, verbatim.</summary>
    public string Name { get; }

    /// <summary>The shape as in the checkpoint.</summary>
    public Shape Shape { get; }

    /// <summary>What it is used for.</summary>
    public WeightRole Role { get; }

    /// <summary>The type in the checkpoint.</summary>
    public ElementType StoredType { get; }

    /// <summary>Bytes that this weight occupies in the backend's memory.</summary>
    public abstract long ByteLength { get; }

    /// <summary>Releases the backend's memory. No pass may use the weight afterwards.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the backend's memory.</summary>
    /// <param name="disposing">True when called from <see cref="Dispose()"/>.</param>
    protected abstract void Dispose(bool disposing);
}
