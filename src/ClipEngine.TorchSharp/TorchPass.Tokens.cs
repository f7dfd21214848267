using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <content>Operations that look up and move tokens.</content>
internal sealed partial class TorchPass
{
    /// <inheritdoc/>
    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        long count = shape[1] + (firstToken is null ? 0 : 1);
        RequireVector(firstToken, shape[2]);
        RequireVector(positions, count * shape[2]);
        using DisposeScope scope = Begin();
        TorchTensor y = Value(tokens, nameof(tokens));
        if (firstToken is not null)
            y = torch.cat([Value(firstToken).reshape(1, 1, shape[2]).expand(shape[0], 1, shape[2]), y], 1);
        if (positions is not null)
            y = y + Value(positions).reshape(count, shape[2]);
        return Keep(y, new Shape(shape[0], count, shape[2]));
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight positions)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(positions);
        Indices indices = RequireIndices(ids, 2, nameof(ids));
        Shape shape = ids.Shape;
        long rows = table.Shape[0], width = table.Shape[^1], count = shape[1] + (appendedToken is null ? 0 : 1);
        if (table.Role != WeightRole.EmbeddingTable || table.Shape.Rank != 2)
            throw new ArgumentException($"{table.Name}: expected an embedding table [vocabulary, w]; found {table.Role} {table.Shape}.", nameof(table));
        RequireVector(appendedToken, width);
        if (positions.Shape[^1] != width || positions.Shape.ElementCount < count * width)
            throw new ArgumentException($"{positions.Name}: expected at least [{count}, {width}]; found {positions.Shape}.", nameof(positions));
        for (int i = 0; i < indices.Host.Length; i++)
        {
            if (indices.Host[i] < 0 || indices.Host[i] >= rows)
                throw new ArgumentOutOfRangeException(nameof(ids), indices.Host[i], $"A token id at position {i % shape[1]} of sequence {i / shape[1]} lies outside the table of {rows} rows.");
        }

        using DisposeScope scope = Begin();
        TorchTensor y = Value(table).index_select(0, indices.Value.reshape(-1)).reshape(shape[0], shape[1], width);
        if (appendedToken is not null)
            y = torch.cat([y, Value(appendedToken).reshape(1, 1, width).expand(shape[0], 1, width)], 1);
        return Keep(y + Value(positions).reshape(-1, width).narrow(0, 0, count), new Shape(shape[0], count, width));
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Indices chosen = RequireIndices(indices, 1, nameof(indices));
        Shape shape = tokens.Shape;
        if (indices.Shape[0] != shape[0])
            throw new ArgumentException($"Expected one index for each of {shape[0]} sequences; found {indices.Shape}.", nameof(indices));
        for (int i = 0; i < chosen.Host.Length; i++)
        {
            if (chosen.Host[i] < 0 || chosen.Host[i] >= shape[1])
                throw new ArgumentOutOfRangeException(nameof(indices), chosen.Host[i], $"Sequence {i} has {shape[1]} tokens.");
        }

        using DisposeScope scope = Begin();
        TorchTensor index = chosen.Value.reshape(shape[0], 1, 1).expand(shape[0], 1, shape[2]);
        return Keep(Value(tokens, nameof(tokens)).gather(1, index).reshape(shape[0], shape[2]), new Shape(shape[0], shape[2]));
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        if (start < 0 || count < 0 || start + (long)count > shape[1])
            throw new ArgumentException($"Tokens {start} to {start + (long)count} lie outside {shape}.", nameof(start));
        using DisposeScope scope = Begin();
        // A copy: a view would keep all the other tokens alive.
        return Keep(Value(tokens, nameof(tokens)).narrow(1, start, count).contiguous(), new Shape(shape[0], count, shape[2]));
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        RequireRank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        if (shape[1] < 1)
            throw new ArgumentException($"There is no mean over no tokens: {shape}.", nameof(tokens));
        using DisposeScope scope = Begin();
        return Keep(Value(tokens, nameof(tokens)).mean(new long[] { 1 }, true), new Shape(shape[0], 1, shape[2]));
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        RequireRank(first, 3, nameof(first));
        RequireRank(second, 3, nameof(second));
        Shape a = first.Shape, b = second.Shape;
        if (a[0] != b[0] || a[2] != b[2])
            throw new ArgumentException($"{b} does not go behind {a}.", nameof(second));
        using DisposeScope scope = Begin();
        return Keep(torch.cat([Value(first, nameof(first)), Value(second, nameof(second))], 1), new Shape(a[0], a[1] + b[1], a[2]));
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (tokens.Role != WeightRole.Tokens || tokens.Shape.Rank != 2)
            throw new ArgumentException($"{tokens.Name}: expected tokens [t, w]; found {tokens.Role} {tokens.Shape}.", nameof(tokens));
        using DisposeScope scope = Begin();
        Shape shape = tokens.Shape;
        return Keep(Value(tokens).unsqueeze(0).expand(batch, shape[0], shape[1]), new Shape(batch, shape[0], shape[1]));
    }
}
