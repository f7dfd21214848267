using System.Runtime.CompilerServices;
using System.Text;

namespace ClipEngine.Tensors;

/// <summary>The sizes of a tensor's dimensions, outermost first; a value type, so that a forward pass allocates nothing for it.</summary>
/// <remarks>At most <see cref="MaximumRank"/> dimensions: enough for every architecture here. Files may declare more; their reader checks that.</remarks>
public readonly struct Shape : IEquatable<Shape>
{
    /// <summary>The largest number of dimensions.</summary>
    public const int MaximumRank = 6;

    private readonly Dimensions _dimensions;
    private readonly long _elementCount;

    /// <summary>A shape of the given sizes.</summary>
    /// <param name="dimensions">Sizes, outermost first; none for a scalar. Zero is allowed, negative is not.</param>
    /// <exception cref="ArgumentException">More than <see cref="MaximumRank"/> dimensions, a negative one, or an element count beyond 2^63.</exception>
    public Shape(params ReadOnlySpan<long> dimensions)
    {
        if (dimensions.Length > MaximumRank)
            throw new ArgumentException($"A shape has at most {MaximumRank} dimensions; found {dimensions.Length}.", nameof(dimensions));
        long count = 1;
        for (int i = 0; i < dimensions.Length; i++)
        {
            if (dimensions[i] < 0)
                throw new ArgumentException($"A dimension cannot be negative; found {dimensions[i]}.", nameof(dimensions));
            _dimensions[i] = dimensions[i];
            count = checked(count * dimensions[i]);
        }

        Rank = dimensions.Length;
        _elementCount = count;
    }

    /// <summary>The number of dimensions; 0 for a scalar.</summary>
    public int Rank { get; }

    /// <summary>The product of all dimensions; 1 for a scalar.</summary>
    public long ElementCount => Rank == 0 ? 1 : _elementCount;

    /// <summary>The size of one dimension.</summary>
    /// <param name="dimension">Counted from the outermost; <c>^1</c> is the innermost.</param>
    public long this[Index dimension]
    {
        get
        {
            int offset = dimension.GetOffset(Rank);
            ArgumentOutOfRangeException.ThrowIfNegative(offset, nameof(dimension));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, Rank, nameof(dimension));
            return _dimensions[offset];
        }
    }

    /// <summary>The same dimensions with the innermost replaced.</summary>
    public Shape WithLast(long size)
    {
        Span<long> dimensions = stackalloc long[MaximumRank];
        for (int i = 0; i < Rank; i++)
            dimensions[i] = _dimensions[i];
        dimensions[Rank - 1] = size;
        return new Shape(dimensions[..Rank]);
    }

    /// <inheritdoc/>
    public bool Equals(Shape other)
    {
        if (Rank != other.Rank)
            return false;
        for (int i = 0; i < Rank; i++)
        {
            if (_dimensions[i] != other._dimensions[i])
                return false;
        }

        return true;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        for (int i = 0; i < Rank; i++)
            hash.Add(_dimensions[i]);
        return hash.ToHashCode();
    }

    /// <summary>Written as <c>[2, 50, 768]</c>.</summary>
    public override string ToString()
    {
        var builder = new StringBuilder("[");
        for (int i = 0; i < Rank; i++)
            builder.Append(i == 0 ? "" : ", ").Append(_dimensions[i]);
        return builder.Append(']').ToString();
    }

    /// <summary>Equal rank and equal sizes.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Different rank or different sizes.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    [InlineArray(MaximumRank)]
    private struct Dimensions
    {
        private long _first;
    }
}
