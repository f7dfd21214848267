namespace ClipEngine.Tensors;

/// <summary>
/// A value inside one pass: shape, element type and the backend's own handle. Contiguous, row-major.
/// A value type: creating one allocates nothing and owns nothing. It is valid until the scope of the pass that made it ends.
/// </summary>
/// <remarks>Models only hand tensors from one operation to the next; what <see cref="Address"/> and <see cref="Storage"/> mean is the backend's business.</remarks>
public readonly struct Tensor
{
    /// <summary>Made by backends only.</summary>
    /// <param name="shape">The sizes, row-major.</param>
    /// <param name="type">The element type as computed with.</param>
    /// <param name="address">A host or device address, or whatever number the backend finds its memory by.</param>
    /// <param name="storage">A managed object that stands for the memory, where a backend needs one.</param>
    public Tensor(Shape shape, ElementType type, nint address, object? storage = null)
    {
        Shape = shape;
        Type = type;
        Address = address;
        Storage = storage;
    }

    /// <summary>The sizes, row-major.</summary>
    public Shape Shape { get; }

    /// <summary>The element type.</summary>
    public ElementType Type { get; }

    /// <summary>The backend's handle.</summary>
    public nint Address { get; }

    /// <summary>The backend's managed handle, or null.</summary>
    public object? Storage { get; }

    /// <summary>False for <c>default</c>, which stands for "no tensor" where an operand is optional.</summary>
    public bool Exists => Address != 0 || Storage is not null;

    /// <summary>The same elements under another shape.</summary>
    /// <exception cref="ArgumentException">The element counts differ.</exception>
    public Tensor Reshape(Shape shape) => shape.ElementCount == Shape.ElementCount
        ? new Tensor(shape, Type, Address, Storage)
        : throw new ArgumentException($"Cannot reshape {Shape} into {shape}: the element counts differ.", nameof(shape));
}
