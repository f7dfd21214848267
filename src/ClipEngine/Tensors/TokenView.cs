namespace ClipEngine.Tensors;

/// <summary>
/// A run of columns of a tensor of tokens, read where it lies: the queries of a fused projection, or a whole tensor.
/// A value type that owns nothing; it is valid as long as its tensor.
/// </summary>
public readonly struct TokenView
{
    /// <summary>Columns <paramref name="start"/> to <paramref name="start"/> + <paramref name="width"/> of every token.</summary>
    /// <param name="tokens"><c>[n, t, w]</c>.</param>
    /// <param name="start">The first column.</param>
    /// <param name="width">How many.</param>
    /// <exception cref="ArgumentException">The columns are not all there, or the tensor has not three dimensions.</exception>
    public TokenView(in Tensor tokens, long start, long width)
    {
        if (tokens.Shape.Rank != 3)
            throw new ArgumentException($"Expected tokens [n, t, w]; found {tokens.Shape}.", nameof(tokens));
        if (start < 0 || width < 0 || start + width > tokens.Shape[2])
            throw new ArgumentException($"Columns {start} to {start + width} are not all in {tokens.Shape}.", nameof(start));
        Tokens = tokens;
        Start = start;
        Width = width;
    }

    /// <summary>Where the columns lie, <c>[n, t, w]</c>.</summary>
    public Tensor Tokens { get; }

    /// <summary>The first column.</summary>
    public long Start { get; }

    /// <summary>How many columns.</summary>
    public long Width { get; }

    /// <summary>Sequences.</summary>
    public long Batch => Tokens.Shape[0];

    /// <summary>Tokens of a sequence.</summary>
    public long Count => Tokens.Shape[1];

    /// <summary><c>[n, t, width]</c>.</summary>
    public Shape Shape => new(Batch, Count, Width);

    /// <summary>All columns of a tensor.</summary>
    public static TokenView FromTensor(in Tensor tokens) => new(tokens, 0, tokens.Shape.Rank == 3 ? tokens.Shape[2] : 0);

    /// <summary>All columns of a tensor.</summary>
    public static implicit operator TokenView(in Tensor tokens) => FromTensor(tokens);
}
