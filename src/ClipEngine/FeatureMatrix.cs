using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using ClipEngine.Tensors;

namespace ClipEngine;

/// <summary>Features of several images or sentences: row-major fp32, one row for each, in the order they were given.</summary>
public sealed class FeatureMatrix
{
    /// <summary>Features of a shape.</summary>
    /// <param name="values">As many as the shape has elements; not copied.</param>
    /// <param name="shape"><c>[n, EmbedDimension]</c>, or <c>[n, tokens, EmbedDimension]</c> of a model that pools nothing.</param>
    /// <param name="truncated">Rows whose sentence was cut to fit the model.</param>
    public FeatureMatrix(float[] values, Shape shape, IReadOnlyList<int>? truncated = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Length != shape.ElementCount || shape.Rank < 2)
            throw new ArgumentException($"{values.Length} values do not make features {shape}.", nameof(values));
        Values = values;
        Shape = shape;
        Truncated = truncated ?? [];
    }

    /// <summary>All of them, row-major.</summary>
    public float[] Values { get; }

    /// <summary><c>[n, EmbedDimension]</c>, or <c>[n, tokens, EmbedDimension]</c> of a model that pools nothing.</summary>
    public Shape Shape { get; }

    /// <summary>Rows whose sentence did not fit the model's context and lost its end.</summary>
    public IReadOnlyList<int> Truncated { get; }

    /// <summary>How many images or sentences.</summary>
    public int Count => (int)Shape[0];

    /// <summary>Floats of one of them.</summary>
    public int Length => (int)(Shape.ElementCount / Math.Max(1, Shape[0]));

    /// <summary>The features of one image or sentence.</summary>
    /// <param name="row">In <c>[0, Count)</c>.</param>
    public ReadOnlySpan<float> this[int row] => Values.AsSpan(row * Length, Length);

    /// <summary>The same features, each of length 1: x / max(||x||, 1e-12) over the last dimension, summed in double.</summary>
    public FeatureMatrix Normalized()
    {
        float[] normalized = new float[Values.Length];
        NormalizeRows(Values, (int)Shape[^1], normalized);
        return new FeatureMatrix(normalized, Shape, Truncated);
    }

    /// <summary>The same for features that are not kept: each row by its length.</summary>
    /// <param name="values">Whole rows.</param>
    /// <param name="width">Floats of a row.</param>
    /// <param name="normalized">As many as <paramref name="values"/>; may be the same memory.</param>
    public static void NormalizeRows(ReadOnlySpan<float> values, int width, Span<float> normalized)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (values.Length % width != 0 || values.Length != normalized.Length)
            throw new ArgumentException($"{values.Length} values do not make rows of {width} in room for {normalized.Length}.", nameof(values));
        for (int start = 0; start < values.Length; start += width)
            NormalizeRow(values.Slice(start, width), normalized.Slice(start, width));
    }

    /// <summary>
    /// Adds up in eight lanes of double and joins them in a fixed order: the same bits on every processor, since a product of two floats is exact in
    /// double and so does not depend on whether it is fused with the addition.
    /// </summary>
    private static void NormalizeRow(ReadOnlySpan<float> row, Span<float> normalized)
    {
        int whole = row.Length - (row.Length % Vector256<float>.Count);
        ref float from = ref MemoryMarshal.GetReference(row), to = ref MemoryMarshal.GetReference(normalized);
        Vector256<double> low = Vector256<double>.Zero, high = Vector256<double>.Zero;
        for (int i = 0; i < whole; i += Vector256<float>.Count)
        {
            (Vector256<double> left, Vector256<double> right) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
            low += left * left;
            high += right * right;
        }

        double rest = 0;
        for (int i = whole; i < row.Length; i++)
            rest += (double)row[i] * row[i];
        Vector256<double> sums = low + high;
        double length = Math.Max(Math.Sqrt(sums[0] + sums[1] + (sums[2] + sums[3]) + rest), 1e-12);
        Vector256<double> divisor = Vector256.Create(length);
        for (int i = 0; i < whole; i += Vector256<float>.Count)
        {
            (Vector256<double> left, Vector256<double> right) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
            Vector256.Narrow(left / divisor, right / divisor).StoreUnsafe(ref to, (nuint)i);
        }

        for (int i = whole; i < row.Length; i++)
            normalized[i] = (float)(row[i] / length);
    }
}
