using ClipEngine.Tensors;
using static ClipEngine.Native.CudaDevice;

namespace ClipEngine.Native;

/// <content>Pixels, tokens and feature maps. Everything here comes out as fp32.</content>
internal sealed unsafe partial class CudaPass
{
    /// <inheritdoc/>
    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.PatchEmbedding(pixels, kernel, bias);
        RequireFloat(pixels, 4, nameof(pixels));
        long rows = pixels.Shape[2] / kernel.Shape[2], columns = pixels.Shape[3] / kernel.Shape[3];
        Tensor output = New(shape);
        Unfolded(pixels, kernel, (int)kernel.Shape[2], 0, rows, columns, output, bias);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Convolution(input, kernel, bias, options);
        RequireFloat(input, 4, nameof(input));
        long batch = shape[0], channels = shape[1], rows = shape[2], columns = shape[3];
        Tensor residual = options.Residual.Exists ? AsFloat32(options.Residual) : default;
        if (OperationShapes.IsDepthwise(kernel.Role, kernel.Shape))
            return Depthwise(input, kernel, bias, residual, shape, options);
        if (options.Groups != 1)
            throw new NotSupportedException($"{kernel.Name}: CUDA convolves in one group or in groups of one channel; found {options.Groups} groups of {kernel.Shape[1]}.");
        Tensor output = New(shape);
        Tensor product = New(new Shape(batch, rows * columns, channels));
        Unfolded(input, kernel, options.Stride, options.Padding, rows, columns, product, bias);
        Elements("fold_channels", shape.ElementCount,
            [Address(product), Address(output), Slot(shape.ElementCount), Slot((int)channels), Slot((int)(rows * columns)), Address(residual), Slot((int)options.Activation)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.AveragePool(input, size, stride, padding);
        Tensor source = AsFloat32(input), output = New(shape);
        Elements("average_pool", shape.ElementCount,
        [
            Address(source), Address(output), Slot(shape.ElementCount), Slot((int)input.Shape[2]), Slot((int)input.Shape[3]), Slot(size), Slot(stride), Slot(padding),
            Slot((int)shape[2]), Slot((int)shape[3]),
        ]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.MapToTokens(map);
        Tensor source = AsFloat32(map), output = New(shape);
        Elements("map_to_tokens", shape.ElementCount, [Address(source), Address(output), Slot(shape.ElementCount), Slot((int)shape[2]), Slot((int)shape[1])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.GateTokens(tokens, gates);
        Tensor source = AsFloat32(tokens), factors = AsFloat32(gates), output = New(shape);
        Elements("gate_tokens", shape.ElementCount,
            [Address(source), Address(factors), Address(output), Slot(shape.ElementCount), Slot((int)shape[1]), Slot((int)shape[2]), Slot((int)activation)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.AssembleTokens(tokens, firstToken, positions);
        RequireFloat(tokens, 3, nameof(tokens));
        Tensor output = New(shape);
        Elements(ByType(tokens.Type, "assemble_tokens_fp32", "assemble_tokens_bf16", "assemble_tokens_fp16"), shape.ElementCount,
            [Address(tokens), Address(firstToken), Address(positions), Address(output), Slot(shape.ElementCount), Slot((int)tokens.Shape[1]), Slot((int)shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition = 0)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.TokenEmbedding(ids, table, appendedToken, positions, firstPosition);
        if ((int)ids.Storage! >= table.Shape[0])
            throw new ArgumentOutOfRangeException(nameof(ids), (int)ids.Storage, $"{table.Name} has {table.Shape[0]} rows.");
        ulong places = positions is null ? 0 : Address(positions) + (ulong)(firstPosition * shape[2] * sizeof(float));
        Tensor output = New(shape);
        Elements("token_embedding", shape.ElementCount,
            [Address(ids), Address(table), Address(appendedToken), places, Address(output), Slot(shape.ElementCount), Slot((int)ids.Shape[1]), Slot((int)shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.SelectTokens(tokens, indices);
        RequireFloat(tokens, 3, nameof(tokens));
        Require((int)indices.Storage! < tokens.Shape[1], nameof(indices), $"Index {indices.Storage} lies outside {tokens.Shape}.");
        Tensor output = New(shape);
        Take(tokens, Address(indices), output, 0, 1);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.SliceTokens(tokens, start, count));
        RequireFloat(tokens, 3, nameof(tokens));
        Take(tokens, 0, output, start, count);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.MeanTokens(tokens);
        RequireFloat(tokens, 3, nameof(tokens));
        Tensor output = New(shape);
        Elements(ByType(tokens.Type, "mean_tokens_fp32", "mean_tokens_bf16", "mean_tokens_fp16"), shape.ElementCount,
            [Address(tokens), Address(output), Slot(shape.ElementCount), Slot((int)tokens.Shape[1]), Slot((int)tokens.Shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.ConcatenateTokens(first, second);
        Tensor left = AsFloat32(first), right = AsFloat32(second), output = New(shape);
        Elements("concatenate_tokens_fp32", shape.ElementCount,
            [Address(left), Address(right), Address(output), Slot(shape.ElementCount), Slot((int)first.Shape[1]), Slot((int)second.Shape[1]), Slot((int)shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.BroadcastTokens(tokens, batch);
        Tensor output = New(shape);
        Elements("broadcast", shape.ElementCount, [Address(tokens), Address(output), Slot(shape.ElementCount), Slot(tokens.Shape.ElementCount)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        using Operation operation = Enter();
        Tensor source = AsFloat32(input), output = New(input.Shape);
        Elements("activate_fp32", input.Shape.ElementCount, [Address(source), Address(output), Slot(input.Shape.ElementCount), Slot((int)activation)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        using Operation operation = Enter();
        OperationShapes.Elementwise(left, right);
        Tensor first = AsFloat32(left), second = AsFloat32(right), output = New(left.Shape);
        Elements("add_fp32", left.Shape.ElementCount, [Address(first), Address(second), Address(output), Slot(left.Shape.ElementCount)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Multiply(in Tensor left, in Tensor right)
    {
        using Operation operation = Enter();
        OperationShapes.Elementwise(left, right);
        return MultiplyAdd(left, right, default);
    }

    /// <inheritdoc/>
    public Tensor TokensToMap(in Tensor tokens, int height, int width)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.TokensToMap(tokens, height, width);
        Tensor source = AsFloat32(tokens), output = New(shape);
        Elements("fold_channels", shape.ElementCount,
            [Address(source), Address(output), Slot(shape.ElementCount), Slot((int)shape[1]), Slot((int)tokens.Shape[1]), 0, Slot((int)Activation.None)]);
        return output;
    }

    /// <inheritdoc/>
    public void Store(TokenStore store, in TokenView tokens, int position = 0)
    {
        using Operation operation = Enter();
        OperationShapes.Store(store, tokens, position);
        RequireFloat(tokens.Tokens, 3, nameof(tokens));
        Tensor source = AsComputeType(tokens.Tokens);
        CopyTokens(Address(source), 0, Address(store), tokens.Shape, source.Shape[2], tokens.Start, store.Shape[1], position);
    }

    /// <inheritdoc/>
    public Tensor Load(TokenStore store)
    {
        using Operation operation = Enter();
        ArgumentNullException.ThrowIfNull(store);
        return new Tensor(store.Shape, _computeType, unchecked((nint)Address(store)));
    }

    /// <inheritdoc/>
    public void Reorder(TokenStore store, ReadOnlySpan<int> sources)
    {
        using Operation operation = Enter();
        OperationShapes.Reorder(store, sources);
        Shape shape = store.Shape;
        long mark = _arena.Mark;
        Tensor indices = SendIndices(sources, new Shape(sources.Length)), moved = New(shape, _computeType);
        CopyTokens(Address(store), Address(indices), Address(moved), shape, shape[2], 0, shape[1], 0);
        CopyTokens(Address(moved), 0, Address(store), shape, shape[2], 0, shape[1], 0);
        _arena.Release((int)mark, kept: 0);
    }

    private void CopyTokens(ulong source, ulong sequences, ulong target, in Shape shape, long row, long start, long capacity, int position) =>
        Elements(ByType(_computeType, "store_tokens_fp32", "store_tokens_bf16", "store_tokens_fp16"), shape.ElementCount,
            [source, sequences, target, Slot(shape.ElementCount), Slot((int)shape[1]), Slot((int)row), Slot((int)start), Slot((int)shape[2]), Slot((int)capacity), Slot(position)]);

    private Tensor Depthwise(in Tensor input, Weight kernel, Weight? bias, in Tensor residual, in Shape shape, in ConvolutionOptions options)
    {
        Tensor source = AsFloat32(input), output = New(shape);
        Elements("depthwise_convolution", shape.ElementCount,
        [
            Address(source), Address(kernel), Address(bias), Address(residual), Address(output), Slot(shape.ElementCount), Slot((int)input.Shape[1]), Slot((int)shape[1]),
            Slot((int)input.Shape[2]), Slot((int)input.Shape[3]), Slot((int)kernel.Shape[2]), Slot((int)kernel.Shape[3]), Slot(options.Stride), Slot(options.Padding),
            Slot((int)shape[2]), Slot((int)shape[3]), Slot((int)options.Activation),
        ]);
        return output;
    }

    private void Take(in Tensor tokens, ulong indices, in Tensor output, int start, int count) =>
        Elements(ByType(tokens.Type, "take_tokens_fp32", "take_tokens_bf16", "take_tokens_fp16"), output.Shape.ElementCount,
            [Address(tokens), indices, Address(output), Slot(output.Shape.ElementCount), Slot((int)tokens.Shape[1]), Slot(start), Slot(count), Slot((int)tokens.Shape[2])]);

    /// <summary>Windows of an image as rows, times the kernel.</summary>
    private void Unfolded(in Tensor image, Weight kernel, int stride, int padding, long rows, long columns, in Tensor product, Weight? bias)
    {
        Tensor source = AsFloat32(image);
        long depth = kernel.Shape[1] * kernel.Shape[2] * kernel.Shape[3], padded = Padded(depth), windows = image.Shape[0] * rows * columns;
        Tensor operand = New(new Shape(windows, padded), _computeType);
        Elements(ByType(_computeType, "unfold_fp32", "unfold_bf16", "unfold_fp16"), operand.Shape.ElementCount,
        [
            Address(source), Address(operand), Slot(operand.Shape.ElementCount), Slot((int)image.Shape[1]), Slot((int)image.Shape[2]), Slot((int)image.Shape[3]),
            Slot((int)kernel.Shape[2]), Slot((int)kernel.Shape[3]), Slot(stride), Slot(padding), Slot((int)rows), Slot((int)columns), Slot((int)padded),
        ]);
        Product(operand, windows, kernel, kernel.Shape[0], padded, product, bias, null, default, Activation.None);
    }

    private static string ByType(ElementType type, string fp32, string bf16, string fp16) => type switch
    {
        ElementType.BFloat16 => bf16,
        ElementType.Float16 => fp16,
        _ => fp32,
    };
}
