using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <content>Operations that look up and move tokens.</content>
internal sealed unsafe partial class CpuPass
{
    /// <inheritdoc/>
    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        long count = shape[1] + (firstToken is null ? 0 : 1);
        RequireVector(firstToken, shape[2]);
        RequireVector(positions, count * shape[2]);
        Tensor output = New(new Shape(shape[0], count, shape[2]));
        NativeMethods.CpuAssembleTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], Native(firstToken), Native(positions), output.Address).ThrowIfFailed();
        GC.KeepAlive(firstToken);
        GC.KeepAlive(positions);
        return output;
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight positions)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(positions);
        RequireIndices(ids, 2, nameof(ids));
        Shape shape = ids.Shape;
        long rows = table.Shape[0], width = table.Shape[^1], count = shape[1] + (appendedToken is null ? 0 : 1);
        if (table.Role != WeightRole.EmbeddingTable || table.Shape.Rank != 2)
            throw new ArgumentException($"{table.Name}: expected an embedding table [vocabulary, w]; found {table.Role} {table.Shape}.", nameof(table));
        RequireVector(appendedToken, width);
        if (positions.Shape[^1] != width || positions.Shape.ElementCount < count * width)
            throw new ArgumentException($"{positions.Name}: expected at least [{count}, {width}]; found {positions.Shape}.", nameof(positions));
        var values = new ReadOnlySpan<int>((void*)ids.Address, (int)shape.ElementCount);
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] < 0 || values[i] >= rows)
                throw new ArgumentOutOfRangeException(nameof(ids), values[i], $"A token id at position {i % shape[1]} of sequence {i / shape[1]} lies outside the table of {rows} rows.");
        }

        Tensor output = New(new Shape(shape[0], count, width));
        NativeMethods.CpuTokenEmbedding(_pass, ids.Address, shape[0], shape[1], rows, width, Native(table), Native(appendedToken), Native(positions), output.Address).ThrowIfFailed();
        GC.KeepAlive(table);
        GC.KeepAlive(appendedToken);
        GC.KeepAlive(positions);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        RequireRank(tokens, 3, nameof(tokens));
        RequireIndices(indices, 1, nameof(indices));
        Shape shape = tokens.Shape;
        if (indices.Shape[0] != shape[0])
            throw new ArgumentException($"Expected one index for each of {shape[0]} sequences; found {indices.Shape}.", nameof(indices));
        Tensor output = New(new Shape(shape[0], shape[2]));
        NativeMethods.CpuSelectTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], indices.Address, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        if (start < 0 || count < 0 || start + (long)count > shape[1])
            throw new ArgumentException($"Tokens {start} to {start + (long)count} lie outside {shape}.", nameof(start));
        Tensor output = New(new Shape(shape[0], count, shape[2]));
        Copy(tokens.Address + (nint)(start * shape[2] * sizeof(float)), shape[1] * shape[2], output.Address, count * shape[2], count * shape[2], shape[0]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        if (shape[1] < 1)
            throw new ArgumentException($"There is no mean over no tokens: {shape}.", nameof(tokens));
        Tensor output = New(new Shape(shape[0], 1, shape[2]));
        NativeMethods.CpuMeanTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        RequireRank(first, 3, nameof(first));
        RequireRank(second, 3, nameof(second));
        Shape a = first.Shape, b = second.Shape;
        if (a[0] != b[0] || a[2] != b[2])
            throw new ArgumentException($"{b} does not go behind {a}.", nameof(second));
        Tensor output = New(new Shape(a[0], a[1] + b[1], a[2]));
        long one = a[1] * a[2], two = b[1] * b[2];
        Copy(first.Address, one, output.Address, one + two, one, a[0]);
        Copy(second.Address, two, output.Address + (nint)(one * sizeof(float)), one + two, two, a[0]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (tokens.Role != WeightRole.Tokens || tokens.Shape.Rank != 2)
            throw new ArgumentException($"{tokens.Name}: expected tokens [t, w]; found {tokens.Role} {tokens.Shape}.", nameof(tokens));
        Tensor output = New(new Shape(batch, tokens.Shape[0], tokens.Shape[1]));
        Copy(NativeMethods.CpuWeightValues(Native(tokens)), 0, output.Address, tokens.Shape.ElementCount, tokens.Shape.ElementCount, batch);
        GC.KeepAlive(tokens);
        return output;
    }

    private void Copy(nint input, long inputStride, nint output, long outputStride, long length, long batch) =>
        NativeMethods.CpuCopyRuns(_pass, input, inputStride, output, outputStride, length, batch).ThrowIfFailed();

    private static void RequireIndices(in Tensor tensor, int rank, string name)
    {
        if (tensor.Address == 0 || tensor.Type != ElementType.Int32 || tensor.Shape.Rank != rank)
            throw new ArgumentException($"Expected {rank} dimensions of int32; found {tensor.Shape}.", name);
    }
}
