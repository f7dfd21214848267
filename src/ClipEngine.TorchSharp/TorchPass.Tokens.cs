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
        Shape shape = OperationShapes.AssembleTokens(tokens, firstToken, positions);
        using Operation operation = Begin();
        TorchTensor y = Value(tokens, nameof(tokens));
        if (firstToken is not null)
            y = torch.cat([Value(firstToken).reshape(1, 1, shape[2]).expand(shape[0], 1, shape[2]), y], 1);
        if (positions is not null)
            y = y.Plus(Value(positions).reshape(shape[1], shape[2]));
        return Keep(y, shape);
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0)
    {
        Shape result = OperationShapes.TokenEmbedding(ids, table, appendedToken, positions, firstPosition), shape = ids.Shape;
        Indices indices = RequireIndices(ids, nameof(ids));
        long rows = table.Shape[0], width = table.Shape[1];
        for (int i = 0; i < indices.Host.Length; i++)
        {
            if (indices.Host[i] < 0 || indices.Host[i] >= rows)
                throw new ArgumentOutOfRangeException(nameof(ids), indices.Host[i], $"A token id at position {i % shape[1]} of sequence {i / shape[1]} lies outside the table of {rows} rows.");
        }

        using Operation operation = Begin();
        TorchTensor y = Value(table).index_select(0, indices.Value.reshape(-1)).reshape(shape[0], shape[1], width);
        if (appendedToken is not null)
            y = torch.cat([y, Value(appendedToken).reshape(1, 1, width).expand(shape[0], 1, width)], 1);
        if (positions is not null)
            y = y.Plus(Value(positions).reshape(-1, width).narrow(0, firstPosition, result[1]));
        return Keep(y, result);
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        Shape result = OperationShapes.SelectTokens(tokens, indices), shape = tokens.Shape;
        Indices chosen = RequireIndices(indices, nameof(indices));
        for (int i = 0; i < chosen.Host.Length; i++)
        {
            if (chosen.Host[i] < 0 || chosen.Host[i] >= shape[1])
                throw new ArgumentOutOfRangeException(nameof(indices), chosen.Host[i], $"Sequence {i} has {shape[1]} tokens.");
        }

        using Operation operation = Begin();
        TorchTensor index = chosen.Value.reshape(shape[0], 1, 1).expand(shape[0], 1, shape[2]);
        return Keep(Value(tokens, nameof(tokens)).gather(1, index).reshape(shape[0], shape[2]), result);
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        Shape result = OperationShapes.SliceTokens(tokens, start, count);
        using Operation operation = Begin();
        // A copy: a view would keep all the other tokens alive.
        return Keep(Value(tokens, nameof(tokens)).narrow(1, start, count).contiguous(), result);
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        Shape result = OperationShapes.MeanTokens(tokens);
        using Operation operation = Begin();
        return Keep(Value(tokens, nameof(tokens)).mean(new long[] { 1 }, true), result);
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        Shape result = OperationShapes.ConcatenateTokens(first, second);
        using Operation operation = Begin();
        return Keep(torch.cat([Value(first, nameof(first)), Value(second, nameof(second))], 1), result);
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        Shape result = OperationShapes.BroadcastTokens(tokens, batch);
        using Operation operation = Begin();
        return Keep(Value(tokens).unsqueeze(0).expand(batch, result[1], result[2]), result);
    }

    /// <inheritdoc/>
    public void Store(TokenStore store, in TokenView tokens, int position = 0)
    {
        OperationShapes.Store(store, tokens, position);
        using Operation operation = Begin();
        using CallCounter.Call hold = Own(store).Hold();
        Own(store).Value.narrow(1, position, tokens.Count).copy_(Value(tokens, nameof(tokens)).detach());
    }

    /// <inheritdoc/>
    public Tensor Load(TokenStore store)
    {
        ArgumentNullException.ThrowIfNull(store);
        using CallCounter.Call call = _operations.Enter(this);
        TorchTokenStore own = Own(store);
        // The tensor is the store's own: it stays for as long as the pass can use it.
        _stores.Add(own.Hold());
        return new Tensor(store.Shape, StreamType, 0, own.Value);
    }

    /// <inheritdoc/>
    public void Reorder(TokenStore store, ReadOnlySpan<int> sources)
    {
        OperationShapes.Reorder(store, sources);
        using Operation operation = Begin();
        using CallCounter.Call hold = Own(store).Hold();
        TorchTensor rows = torch.tensor(Array.ConvertAll(sources.ToArray(), static source => (long)source), torch.ScalarType.Int64, _backend.Device);
        Own(store).Value.copy_(Own(store).Value.index_select(0, rows));
    }

    private static TorchTokenStore Own(TokenStore store) => store as TorchTokenStore ?? throw new ArgumentException("The store was made by another backend.", nameof(store));
}
