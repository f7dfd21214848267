using ClipEngine.Tensors;
using static ClipEngine.Native.CudaDevice;

namespace ClipEngine.Native;

/// <content>Pixels, tokens and feature maps. Everything here comes out as fp32.</content>
internal sealed unsafe partial class CudaPass
{
    /// <inheritdoc/>
    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        RequireFloat(pixels, 4, nameof(pixels));
        Require(kernel.Role == WeightRole.PatchEmbedding, nameof(kernel), $"{kernel.Name}: expected a patch embedding; its role is {kernel.Role}.");
        Require(pixels.Shape[1] == kernel.Shape[1] && pixels.Shape[2] >= kernel.Shape[2] && pixels.Shape[3] >= kernel.Shape[3], nameof(pixels), $"{kernel.Name} {kernel.Shape} does not fit pixels {pixels.Shape}.");
        RequireVector(bias, kernel.Shape[0]);
        long rows = pixels.Shape[2] / kernel.Shape[2], columns = pixels.Shape[3] / kernel.Shape[3];
        Require(kernel.Shape[2] == kernel.Shape[3], nameof(kernel), $"{kernel.Name}: patches are square; found {kernel.Shape}.");
        Tensor output = New(new Shape(pixels.Shape[0], rows * columns, kernel.Shape[0]));
        Unfolded(pixels, kernel, (int)kernel.Shape[2], 0, rows, columns, output, bias);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        RequireFloat(input, 4, nameof(input));
        if (options.Groups != 1)
            throw new NotSupportedException($"{kernel.Name}: grouped convolutions are not built for CUDA; found {options.Groups} groups.");
        Require(kernel.Role == WeightRole.Convolution, nameof(kernel), $"{kernel.Name}: expected a convolution; its role is {kernel.Role}.");
        Require(input.Shape[1] == kernel.Shape[1], nameof(input), $"{kernel.Name} {kernel.Shape} does not fit an input {input.Shape}.");
        RequireVector(bias, kernel.Shape[0]);
        long rows = ((input.Shape[2] + (2 * options.Padding) - kernel.Shape[2]) / options.Stride) + 1;
        long columns = ((input.Shape[3] + (2 * options.Padding) - kernel.Shape[3]) / options.Stride) + 1;
        Require(rows > 0 && columns > 0, nameof(input), $"{kernel.Name} {kernel.Shape} is larger than its input {input.Shape}.");
        long batch = input.Shape[0], channels = kernel.Shape[0];
        var shape = new Shape(batch, channels, rows, columns);
        Tensor residual = default;
        if (options.Residual.Exists)
        {
            Require(options.Residual.Shape == shape, nameof(options), $"Expected a residual {shape}; found {options.Residual.Shape}.");
            residual = AsFloat32(options.Residual);
        }

        Tensor output = New(shape);
        Tensor product = New(new Shape(batch, rows * columns, channels));
        Unfolded(input, kernel, options.Stride, options.Padding, rows, columns, product, bias);
        Elements("fold_channels", shape.ElementCount,
            [Address(product), Address(output), Slot(shape.ElementCount), Slot((int)channels), Slot((int)(rows * columns)), Address(residual), Slot((int)options.Activation)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size)
    {
        RequireFloat(input, 4, nameof(input));
        Require(size > 0 && input.Shape[2] >= size && input.Shape[3] >= size, nameof(size), $"A square of {size} does not fit {input.Shape}.");
        var shape = new Shape(input.Shape[0], input.Shape[1], input.Shape[2] / size, input.Shape[3] / size);
        Tensor source = AsFloat32(input), output = New(shape);
        Elements("average_pool", shape.ElementCount, [Address(source), Address(output), Slot(shape.ElementCount), Slot((int)input.Shape[2]), Slot((int)input.Shape[3]), Slot(size)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        RequireFloat(map, 4, nameof(map));
        var shape = new Shape(map.Shape[0], map.Shape[2] * map.Shape[3], map.Shape[1]);
        Tensor source = AsFloat32(map), output = New(shape);
        Elements("map_to_tokens", shape.ElementCount, [Address(source), Address(output), Slot(shape.ElementCount), Slot((int)shape[2]), Slot((int)shape[1])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        RequireFloat(tokens, 3, nameof(tokens));
        long width = tokens.Shape[2], count = tokens.Shape[1] + (firstToken is null ? 0 : 1);
        RequireVector(firstToken, width);
        RequireVector(positions, count * width);
        var shape = new Shape(tokens.Shape[0], count, width);
        Tensor output = New(shape);
        Elements(ByType(tokens.Type, "assemble_tokens_fp32", "assemble_tokens_bf16", "assemble_tokens_fp16"), shape.ElementCount,
            [Address(tokens), Address(firstToken), Address(positions), Address(output), Slot(shape.ElementCount), Slot((int)tokens.Shape[1]), Slot((int)width)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight positions)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(positions);
        Require(ids.Exists && ids.Type == ElementType.Int32 && ids.Shape.Rank == 2, nameof(ids), $"Expected ids [n, t] as int32; found {ids.Type} {ids.Shape}.");
        if ((int)ids.Storage! >= table.Shape[0])
            throw new ArgumentOutOfRangeException(nameof(ids), (int)ids.Storage, $"{table.Name} has {table.Shape[0]} rows.");
        long width = table.Shape[1], count = ids.Shape[1] + (appendedToken is null ? 0 : 1);
        RequireVector(appendedToken, width);
        Require(positions.Shape.Rank == 2 && positions.Shape[0] >= count && positions.Shape[1] == width, nameof(positions), $"{positions.Name} {positions.Shape} does not hold {count} positions of {width}.");
        var shape = new Shape(ids.Shape[0], count, width);
        Tensor output = New(shape);
        Elements("token_embedding", shape.ElementCount,
            [Address(ids), Address(table), Address(appendedToken), Address(positions), Address(output), Slot(shape.ElementCount), Slot((int)ids.Shape[1]), Slot((int)width)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SelectTokens(in Tensor tokens, in Tensor indices)
    {
        RequireFloat(tokens, 3, nameof(tokens));
        Require(indices.Exists && indices.Type == ElementType.Int32 && indices.Shape == new Shape(tokens.Shape[0]), nameof(indices), $"Expected indices [{tokens.Shape[0]}] as int32; found {indices.Type} {indices.Shape}.");
        Require((int)indices.Storage! < tokens.Shape[1], nameof(indices), $"Index {indices.Storage} lies outside {tokens.Shape}.");
        var shape = new Shape(tokens.Shape[0], tokens.Shape[2]);
        Tensor output = New(shape);
        Take(tokens, Address(indices), output, 0, 1);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SliceTokens(in Tensor tokens, int start, int count)
    {
        RequireFloat(tokens, 3, nameof(tokens));
        Require(start >= 0 && count > 0 && start + count <= tokens.Shape[1], nameof(start), $"Tokens {start} to {start + count} are not all in {tokens.Shape}.");
        Tensor output = New(new Shape(tokens.Shape[0], count, tokens.Shape[2]));
        Take(tokens, 0, output, start, count);
        return output;
    }

    /// <inheritdoc/>
    public Tensor MeanTokens(in Tensor tokens)
    {
        RequireFloat(tokens, 3, nameof(tokens));
        var shape = new Shape(tokens.Shape[0], 1, tokens.Shape[2]);
        Tensor output = New(shape);
        Elements(ByType(tokens.Type, "mean_tokens_fp32", "mean_tokens_bf16", "mean_tokens_fp16"), shape.ElementCount,
            [Address(tokens), Address(output), Slot(shape.ElementCount), Slot((int)tokens.Shape[1]), Slot((int)tokens.Shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConcatenateTokens(in Tensor first, in Tensor second)
    {
        RequireFloat(first, 3, nameof(first));
        RequireFloat(second, 3, nameof(second));
        Require(first.Shape[0] == second.Shape[0] && first.Shape[2] == second.Shape[2], nameof(second), $"{first.Shape} and {second.Shape} cannot be joined.");
        var shape = new Shape(first.Shape[0], first.Shape[1] + second.Shape[1], first.Shape[2]);
        Tensor left = AsFloat32(first), right = AsFloat32(second), output = New(shape);
        Elements("concatenate_tokens_fp32", shape.ElementCount,
            [Address(left), Address(right), Address(output), Slot(shape.ElementCount), Slot((int)first.Shape[1]), Slot((int)second.Shape[1]), Slot((int)shape[2])]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor BroadcastTokens(Weight tokens, int batch)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        Require(tokens.Shape.Rank == 2, nameof(tokens), $"{tokens.Name}: expected [t, w]; found {tokens.Shape}.");
        var shape = new Shape(batch, tokens.Shape[0], tokens.Shape[1]);
        Tensor output = New(shape);
        Elements("broadcast", shape.ElementCount, [Address(tokens), Address(output), Slot(shape.ElementCount), Slot(tokens.Shape.ElementCount)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        Tensor source = AsFloat32(input), output = New(input.Shape);
        Elements("activate_fp32", input.Shape.ElementCount, [Address(source), Address(output), Slot(input.Shape.ElementCount), Slot((int)activation)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        RequireFloat(left, 0, nameof(left));
        Require(right.Exists && left.Shape == right.Shape, nameof(right), $"Expected {left.Shape}; found {right.Shape}.");
        Tensor first = AsFloat32(left), second = AsFloat32(right), output = New(left.Shape);
        Elements("add_fp32", left.Shape.ElementCount, [Address(first), Address(second), Address(output), Slot(left.Shape.ElementCount)]);
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
