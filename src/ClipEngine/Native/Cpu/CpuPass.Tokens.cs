using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <content>Operations that look up and move tokens.</content>
internal sealed unsafe partial class CpuPass
{
    /// <inheritdoc/>
    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.AssembleTokens(tokens, firstToken, positions));
        RequireFloat(tokens, nameof(tokens));
        Shape shape = tokens.Shape;
        NativeMethods.CpuAssembleTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], Native(firstToken), Native(positions), output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0)
    {
        using Operation operation = Enter();
        Shape result = OperationShapes.TokenEmbedding(ids, table, appendedToken, positions, firstPosition), shape = ids.Shape;
        long rows = table.Shape[0];
        var values = new ReadOnlySpan<int>((void*)ids.Address, (int)shape.ElementCount);
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] < 0 || values[i] >= rows)
                throw new ArgumentOutOfRangeException(nameof(ids), values[i], $"A token id at position {i % shape[1]} of sequence {i / shape[1]} lies outside the table of {rows} rows.");
        }

        Tensor output = New(result);
        nint places = positions is null ? 0 : NativeMethods.CpuWeightValues(Native(positions)) + (nint)(firstPosition * result[2] * sizeof(float));
        NativeMethods.CpuTokenEmbedding(_pass, ids.Address, shape[0], shape[1], rows, result[2], Native(table), Native(appendedToken), places, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.SelectTokens(tokens, indices));
        RequireFloat(tokens, nameof(tokens));
        Shape shape = tokens.Shape;
        NativeMethods.CpuSelectTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], indices.Address, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.SliceTokens(tokens, start, count));
        RequireFloat(tokens, nameof(tokens));
        Shape shape = tokens.Shape;
        Copy(tokens.Address + (nint)(start * shape[2] * sizeof(float)), shape[1] * shape[2], output.Address, count * shape[2], count * shape[2], shape[0]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.MeanTokens(tokens));
        RequireFloat(tokens, nameof(tokens));
        Shape shape = tokens.Shape;
        NativeMethods.CpuMeanTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.ConcatenateTokens(first, second));
        RequireFloat(first, nameof(first));
        RequireFloat(second, nameof(second));
        Shape a = first.Shape, b = second.Shape;
        long one = a[1] * a[2], two = b[1] * b[2];
        Copy(first.Address, one, output.Address, one + two, one, a[0]);
        Copy(second.Address, two, output.Address + (nint)(one * sizeof(float)), one + two, two, a[0]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.BroadcastTokens(tokens, batch));
        Copy(NativeMethods.CpuWeightValues(Native(tokens)), 0, output.Address, tokens.Shape.ElementCount, tokens.Shape.ElementCount, batch);
        return output;
    }

    /// <inheritdoc/>
    public void Store(TokenStore store, in TokenView tokens, int position = 0)
    {
        using Operation operation = Enter();
        OperationShapes.Store(store, tokens, position);
        nint source = Address(tokens, nameof(tokens)), target = Hold(store);
        long width = tokens.Width, capacity = store.Shape[1], stride = tokens.Tokens.Shape[2];
        for (long n = 0; n < tokens.Batch; n++)
        {
            nint from = source + (nint)(n * tokens.Count * stride * sizeof(float)), to = target + (nint)(((n * capacity) + position) * width * sizeof(float));
            Copy(from, stride, to, width, width, tokens.Count);
        }
    }

    /// <inheritdoc/>
    public Tensor Load(TokenStore store)
    {
        using Operation operation = Enter();
        ArgumentNullException.ThrowIfNull(store);
        return new Tensor(store.Shape, ElementType.Float32, Hold(store), store);
    }

    /// <inheritdoc/>
    public void Reorder(TokenStore store, ReadOnlySpan<int> sources)
    {
        using Operation operation = Enter();
        OperationShapes.Reorder(store, sources);
        long mark = NativeMethods.CpuMark(_pass), one = store.Shape[1] * store.Shape[2];
        nint address = Hold(store);
        Tensor old = New(store.Shape);
        Copy(address, one, old.Address, one, one, store.Shape[0]);
        for (int n = 0; n < sources.Length; n++)
            Copy(old.Address + (nint)(sources[n] * one * sizeof(float)), one, address + (nint)(n * one * sizeof(float)), one, one, 1);
        NativeMethods.CpuRelease(_pass, mark);
    }

    /// <summary>The store's first float; its memory stays until the pass ends whoever disposes it.</summary>
    private nint Hold(TokenStore store)
    {
        if (store is not CpuTokenStore own)
            throw new ArgumentException("The store was made by another backend.", nameof(store));
        ObjectDisposedException.ThrowIf(own.IsDisposed, own);
        bool isAdded = false;
        own.Memory.DangerousAddRef(ref isAdded);
        _stores.Add(own.Memory);
        return own.Memory.DangerousGetHandle();
    }

    private void Copy(nint input, long inputStride, nint output, long outputStride, long length, long batch) =>
        NativeMethods.CpuCopyRuns(_pass, input, inputStride, output, outputStride, length, batch).ThrowIfFailed();
}
