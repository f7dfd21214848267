namespace ClipEngine.Tensors;

/// <summary>
/// What the operations of <see cref="IPass"/> ask of their arguments, in one place: each method checks one operation's shapes and
/// weights and returns the shape of the result. Backends call it first, and check only what is their own business.
/// </summary>
/// <remarks>All of them throw <see cref="ArgumentException"/> with what was expected and what was found: a wrong shape is a bug of the caller.</remarks>
public static class OperationShapes
{
    /// <summary>Checks <see cref="IPass.Linear"/>.</summary>
    public static Shape Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (weight.Role is not (WeightRole.Linear or WeightRole.LinearTransposed))
            throw new ArgumentException($"{weight.Name}: expected a matrix; its role is {weight.Role}.", nameof(weight));
        (long columns, long depth) = Sides(weight);
        if (input.Shape.Rank == 0 || input.Shape[^1] != depth)
            throw new ArgumentException($"{weight.Name} {weight.Shape} needs an input {depth} wide; found {input.Shape}.", nameof(input));
        Vector(bias, columns);
        Vector(epilogue.Scale, columns);
        Shape result = input.Shape.WithLast(columns);
        Same(epilogue.Multiplier, result, nameof(epilogue));
        Same(epilogue.Residual, result, nameof(epilogue));
        return result;
    }

    /// <summary>Columns and depth of a matrix, whichever way it is stored.</summary>
    public static (long Columns, long Depth) Sides(Weight weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        bool isTransposed = weight.Role == WeightRole.LinearTransposed;
        return (weight.Shape[isTransposed ? 1 : 0], weight.Shape[isTransposed ? 0 : 1]);
    }

    /// <summary>Checks <see cref="IPass.LayerNorm"/>.</summary>
    public static Shape LayerNorm(in Tensor input, Weight weight, Weight bias)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        if (input.Shape.Rank == 0)
            throw new ArgumentException("Expected at least one dimension; found a scalar.", nameof(input));
        Vector(weight, input.Shape[^1]);
        Vector(bias, input.Shape[^1]);
        return input.Shape;
    }

    /// <summary>Checks <see cref="IPass.RmsNorm"/>.</summary>
    public static Shape RmsNorm(in Tensor input, Weight weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (input.Shape.Rank == 0)
            throw new ArgumentException("Expected at least one dimension; found a scalar.", nameof(input));
        Vector(weight, input.Shape[^1]);
        return input.Shape;
    }

    /// <summary>Checks <see cref="IPass.Attention"/>.</summary>
    public static Shape Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask)
    {
        long batch = query.Batch;
        if (heads < 1 || query.Width % heads != 0)
            throw new ArgumentException($"{heads} heads do not divide a width of {query.Width}.", nameof(heads));
        if (key.Width != query.Width || (key.Batch != batch && key.Batch != 1))
            throw new ArgumentException($"Keys {key.Shape} do not fit queries {query.Shape}: expected [{batch} or 1, k, {query.Width}].", nameof(key));
        if (value.Shape != key.Shape)
            throw new ArgumentException($"Expected values {key.Shape}; found {value.Shape}.", nameof(value));
        Mask(mask, batch, query.Count, key.Count, heads);
        return query.Shape;
    }

    /// <summary>Checks <see cref="IPass.Rotary"/>.</summary>
    public static Shape Rotary(in TokenView input, Weight cosines, Weight sines, int heads, int firstPosition)
    {
        ArgumentNullException.ThrowIfNull(cosines);
        ArgumentNullException.ThrowIfNull(sines);
        if (heads < 1 || input.Width % heads != 0 || input.Width / heads % 2 != 0)
            throw new ArgumentException($"{heads} heads do not divide a width of {input.Width} into pairs.", nameof(heads));
        ArgumentOutOfRangeException.ThrowIfNegative(firstPosition);
        Angles(cosines, firstPosition + input.Count, input.Width / heads / 2);
        Angles(sines, firstPosition + input.Count, input.Width / heads / 2);
        return input.Shape;
    }

    /// <summary>Checks <see cref="IPass.PatchEmbedding"/>.</summary>
    public static Shape PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        Rank(pixels, 4, nameof(pixels));
        Shape shape = pixels.Shape, form = kernel.Shape;
        if (kernel.Role != WeightRole.PatchEmbedding || form[1] != shape[1] || form[2] != form[3] || form[2] < 1)
            throw new ArgumentException($"{kernel.Name} {form} does not cut {shape} into square patches.", nameof(kernel));
        Vector(bias, form[0]);
        return new Shape(shape[0], shape[2] / form[2] * (shape[3] / form[2]), form[0]);
    }

    /// <summary>Checks <see cref="IPass.Convolution"/>.</summary>
    public static Shape Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        Rank(input, 4, nameof(input));
        Shape result = Convolution(input.Shape, kernel, bias, options);
        Same(options.Residual, result, nameof(options));
        return result;
    }

    /// <summary>Checks <see cref="IPass.ConvolveTokens"/>.</summary>
    /// <returns>Rows and columns of the result's map.</returns>
    public static (int Rows, int Columns) ConvolveTokens(in Tensor tokens, int height, int width, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        Shape map = Convolution(TokensToMap(tokens, height, width), kernel, bias, options);
        Same(options.Residual, new Shape(map[0], map[2] * map[3], map[1]), nameof(options));
        return ((int)map[2], (int)map[3]);
    }

    /// <summary>Whether a weight is a convolution of which every output channel looks at one input channel: worth another layout than a product's.</summary>
    public static bool IsDepthwise(WeightRole role, in Shape shape) => role == WeightRole.Convolution && shape.Rank == 4 && shape[1] == 1;

    /// <summary>Checks <see cref="IPass.AveragePool"/>.</summary>
    public static Shape AveragePool(in Tensor input, int size, int stride, int padding)
    {
        Rank(input, 4, nameof(input));
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(padding);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(padding, size);
        return new Shape(input.Shape[0], input.Shape[1], Squares(input.Shape[2]), Squares(input.Shape[3]));

        long Squares(long pixels) => Math.Max(0, (pixels + (2L * padding) - size + stride) / stride);
    }

    /// <summary>Checks <see cref="IPass.GateTokens"/>.</summary>
    public static Shape GateTokens(in Tensor tokens, in Tensor gates)
    {
        Rank(tokens, 3, nameof(tokens));
        Same(gates, new Shape(tokens.Shape[0], 1, tokens.Shape[2]), nameof(gates));
        return tokens.Shape;
    }

    /// <summary>Checks <see cref="IPass.MapToTokens"/>.</summary>
    public static Shape MapToTokens(in Tensor map)
    {
        Rank(map, 4, nameof(map));
        return new Shape(map.Shape[0], map.Shape[2] * map.Shape[3], map.Shape[1]);
    }

    /// <summary>Checks <see cref="IPass.TokensToMap"/>.</summary>
    public static Shape TokensToMap(in Tensor tokens, int height, int width)
    {
        Rank(tokens, 3, nameof(tokens));
        if (height < 0 || width < 0 || (long)height * width != tokens.Shape[1])
            throw new ArgumentException($"{tokens.Shape} are not {height} x {width} tokens.", nameof(tokens));
        return new Shape(tokens.Shape[0], tokens.Shape[2], height, width);
    }

    /// <summary>Checks <see cref="IPass.AssembleTokens"/>.</summary>
    public static Shape AssembleTokens(in Tensor tokens, Weight? firstToken, Weight? positions)
    {
        Rank(tokens, 3, nameof(tokens));
        Shape shape = tokens.Shape;
        long count = shape[1] + (firstToken is null ? 0 : 1);
        Vector(firstToken, shape[2]);
        Vector(positions, count * shape[2]);
        return new Shape(shape[0], count, shape[2]);
    }

    /// <summary>Checks <see cref="IPass.TokenEmbedding"/>; whether an id lies inside the table is the backend's to see.</summary>
    public static Shape TokenEmbedding(in Tensor ids, Weight table, Weight? appendedToken, Weight? positions, int firstPosition)
    {
        ArgumentNullException.ThrowIfNull(table);
        Indices(ids, 2, nameof(ids));
        if (table.Role != WeightRole.EmbeddingTable || table.Shape.Rank != 2)
            throw new ArgumentException($"{table.Name}: expected an embedding table [vocabulary, w]; found {table.Role} {table.Shape}.", nameof(table));
        long width = table.Shape[1], count = ids.Shape[1] + (appendedToken is null ? 0 : 1);
        Vector(appendedToken, width);
        ArgumentOutOfRangeException.ThrowIfNegative(firstPosition);
        if (positions is not null && (positions.Shape.Rank == 0 || positions.Shape[^1] != width || positions.Shape.ElementCount < (firstPosition + count) * width))
            throw new ArgumentException($"{positions.Name}: expected at least [{firstPosition + count}, {width}]; found {positions.Shape}.", nameof(positions));
        return new Shape(ids.Shape[0], count, width);
    }

    /// <summary>Checks <see cref="IPass.SelectTokens"/>; whether an index lies inside the sequence is the backend's to see.</summary>
    public static Shape SelectTokens(in Tensor tokens, in Tensor indices)
    {
        Rank(tokens, 3, nameof(tokens));
        Indices(indices, 1, nameof(indices));
        if (indices.Shape[0] != tokens.Shape[0])
            throw new ArgumentException($"Expected one index for each of {tokens.Shape[0]} sequences; found {indices.Shape}.", nameof(indices));
        return new Shape(tokens.Shape[0], tokens.Shape[2]);
    }

    /// <summary>Checks <see cref="IPass.SliceTokens"/>.</summary>
    public static Shape SliceTokens(in Tensor tokens, int start, int count)
    {
        Rank(tokens, 3, nameof(tokens));
        if (start < 0 || count < 0 || start + (long)count > tokens.Shape[1])
            throw new ArgumentException($"Tokens {start} to {start + (long)count} lie outside {tokens.Shape}.", nameof(start));
        return new Shape(tokens.Shape[0], count, tokens.Shape[2]);
    }

    /// <summary>Checks <see cref="IPass.MeanTokens"/>.</summary>
    public static Shape MeanTokens(in Tensor tokens)
    {
        Rank(tokens, 3, nameof(tokens));
        if (tokens.Shape[1] < 1)
            throw new ArgumentException($"There is no mean over no tokens: {tokens.Shape}.", nameof(tokens));
        return new Shape(tokens.Shape[0], 1, tokens.Shape[2]);
    }

    /// <summary>Checks <see cref="IPass.ConcatenateTokens"/>.</summary>
    public static Shape ConcatenateTokens(in Tensor first, in Tensor second)
    {
        Rank(first, 3, nameof(first));
        Rank(second, 3, nameof(second));
        Shape a = first.Shape, b = second.Shape;
        if (a[0] != b[0] || a[2] != b[2])
            throw new ArgumentException($"{b} does not go behind {a}.", nameof(second));
        return new Shape(a[0], a[1] + b[1], a[2]);
    }

    /// <summary>Checks <see cref="IPass.BroadcastTokens"/>.</summary>
    public static Shape BroadcastTokens(Weight tokens, int batch)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (tokens.Role != WeightRole.Tokens || tokens.Shape.Rank != 2)
            throw new ArgumentException($"{tokens.Name}: expected tokens [t, w]; found {tokens.Role} {tokens.Shape}.", nameof(tokens));
        return new Shape(batch, tokens.Shape[0], tokens.Shape[1]);
    }

    /// <summary>Checks <see cref="IPass.Add"/> and <see cref="IPass.Multiply"/>.</summary>
    public static Shape Elementwise(in Tensor left, in Tensor right) => left.Shape == right.Shape
        ? left.Shape
        : throw new ArgumentException($"Expected {left.Shape}; found {right.Shape}.", nameof(right));

    /// <summary>Checks <see cref="IPass.Store"/>.</summary>
    public static void Store(TokenStore store, in TokenView tokens, int position)
    {
        ArgumentNullException.ThrowIfNull(store);
        if (tokens.Batch != store.Shape[0] || tokens.Width != store.Shape[2] || position < 0 || position + tokens.Count > store.Shape[1])
            throw new ArgumentException($"{tokens.Shape} from position {position} on does not fit a store of {store.Shape}.", nameof(tokens));
    }

    /// <summary>Checks <see cref="IPass.Reorder"/>.</summary>
    public static void Reorder(TokenStore store, ReadOnlySpan<int> sources)
    {
        ArgumentNullException.ThrowIfNull(store);
        if (sources.Length != store.Shape[0])
            throw new ArgumentException($"Expected one source for each of {store.Shape[0]} sequences; found {sources.Length}.", nameof(sources));
        foreach (int source in sources)
        {
            if (source < 0 || source >= store.Shape[0])
                throw new ArgumentException($"There is no sequence {source} in a store of {store.Shape}.", nameof(sources));
        }
    }

    /// <summary>Checks <see cref="IPass.TransformerBlock"/>.</summary>
    public static Shape TransformerBlock(in Tensor input, TransformerBlock block, in AttentionMask mask)
    {
        ArgumentNullException.ThrowIfNull(block);
        Rank(input, 3, nameof(input));
        long width = input.Shape[2], hidden = block.ExpandWeight.Shape[0];
        if (block.Heads < 1 || width % block.Heads != 0)
            throw new ArgumentException($"{block.Heads} heads do not divide a width of {width}.", nameof(block));
        Matrix(block.InProjectionWeight, 3 * width, width);
        Matrix(block.OutProjectionWeight, width, width);
        Matrix(block.ExpandWeight, hidden, width);
        Matrix(block.ContractWeight, width, hidden);
        Vector(block.Norm1Weight, width);
        Vector(block.Norm1Bias, width);
        Vector(block.InProjectionBias, 3 * width);
        Vector(block.OutProjectionBias, width);
        Vector(block.LayerScale1, width);
        Vector(block.Norm2Weight, width);
        Vector(block.Norm2Bias, width);
        Vector(block.ExpandBias, hidden);
        Vector(block.ContractBias, width);
        Vector(block.LayerScale2, width);
        Mask(mask, input.Shape[0], input.Shape[1], input.Shape[1], block.Heads);
        return input.Shape;
    }

    /// <summary>Checks <see cref="IPass.ConvolutionStack"/>.</summary>
    public static Shape ConvolutionStack(in Tensor tokens, int height, int width, ReadOnlySpan<ConvolutionBlock> blocks)
    {
        if (blocks.IsEmpty)
            throw new ArgumentException("A stack has at least one block.", nameof(blocks));
        Rank(tokens, 3, nameof(tokens));
        foreach (ConvolutionBlock block in blocks)
            ConvolutionBlock(tokens, height, width, block);
        return tokens.Shape;
    }

    private static void ConvolutionBlock(in Tensor tokens, int height, int width, ConvolutionBlock block)
    {
        ArgumentNullException.ThrowIfNull(block);
        long channels = tokens.Shape[2], hidden = block.ExpandWeight.Shape[0];
        SameSize(tokens, block.Kernel, block.Bias);
        if (block.MixerKernel is not null)
            SameSize(tokens, block.MixerKernel, block.MixerBias);
        if ((block.NormWeight is null) != (block.NormBias is null))
            throw new ArgumentException("A norm has a weight and a bias.", nameof(block));
        Matrix(block.ExpandWeight, hidden, channels);
        Matrix(block.ContractWeight, channels, hidden);
        Vector(block.NormWeight, channels);
        Vector(block.NormBias, channels);
        Vector(block.ExpandBias, hidden);
        Vector(block.ContractBias, channels);
        Vector(block.LayerScale, channels);

        void SameSize(in Tensor tokens, Weight kernel, Weight? bias)
        {
            if (ConvolveTokens(tokens, height, width, kernel, bias, Tensors.ConvolutionBlock.OptionsOf(kernel)) != (height, width) || kernel.Shape[0] != channels)
                throw new ArgumentException($"A block's convolutions have one output for every channel and an odd side; found {kernel.Shape}.", nameof(block));
        }
    }

    private static Shape Convolution(in Shape shape, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        Shape form = kernel.Shape;
        int groups = options.Groups, stride = options.Stride, padding = options.Padding;
        if (kernel.Role != WeightRole.Convolution || groups < 1 || stride < 1 || padding < 0 || form[1] * groups != shape[1] || form[0] % groups != 0
            || shape[2] + (2L * padding) < form[2] || shape[3] + (2L * padding) < form[3])
            throw new ArgumentException($"{kernel.Name} {form} with {groups} groups, stride {stride} and padding {padding} does not fit {shape}.", nameof(kernel));
        Vector(bias, form[0]);
        return new Shape(shape[0], form[0], ((shape[2] + (2L * padding) - form[2]) / stride) + 1, ((shape[3] + (2L * padding) - form[3]) / stride) + 1);
    }

    private static void Angles(Weight table, long tokens, long pairs)
    {
        if (table.Role != WeightRole.Tokens || table.Shape.Rank != 2 || table.Shape[1] != pairs || table.Shape[0] < tokens)
            throw new ArgumentException($"{table.Name}: expected at least [{tokens}, {pairs}] of angles; found {table.Role} {table.Shape}.", nameof(table));
    }

    private static void Mask(in AttentionMask mask, long batch, long queries, long keys, int heads)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(mask.Offset, nameof(mask));
        if (mask.Additive.Exists)
        {
            Shape found = mask.Additive.Shape;
            long masks = found.Rank > 0 && found[0] == 1 ? 1 : batch;
            if (found != new Shape(masks, queries, keys) && found != new Shape(masks, heads, queries, keys))
                throw new ArgumentException($"Expected a mask [{batch} or 1, {queries}, {keys}] or [{batch} or 1, {heads}, {queries}, {keys}]; found {found}.", nameof(mask));
        }

        if (!mask.KeyLengths.Exists)
            return;
        Indices(mask.KeyLengths, 1, nameof(mask));
        if (mask.KeyLengths.Shape[0] != batch)
            throw new ArgumentException($"Expected one length for each of {batch} sequences; found {mask.KeyLengths.Shape}.", nameof(mask));
    }

    private static void Rank(in Tensor tensor, int rank, string name)
    {
        if (tensor.Shape.Rank != rank)
            throw new ArgumentException($"Expected {rank} dimensions; found {tensor.Shape}.", name);
    }

    private static void Indices(in Tensor tensor, int rank, string name)
    {
        if (!tensor.Exists || tensor.Type != ElementType.Int32 || tensor.Shape.Rank != rank)
            throw new ArgumentException($"Expected {rank} dimensions of int32; found {tensor.Type} {tensor.Shape}.", name);
    }

    private static void Vector(Weight? weight, long length)
    {
        if (weight is not null && weight.Shape.ElementCount != length)
            throw new ArgumentException($"{weight.Name}: expected {length} values; found {weight.Shape}.", nameof(weight));
    }

    private static void Matrix(Weight weight, long columns, long depth)
    {
        if (weight.Role != WeightRole.Linear || weight.Shape[0] != columns || weight.Shape[1] != depth)
            throw new ArgumentException($"{weight.Name}: expected a matrix [{columns}, {depth}]; found {weight.Role} {weight.Shape}.", nameof(weight));
    }

    private static void Same(in Tensor tensor, in Shape shape, string name)
    {
        if (tensor.Exists && tensor.Shape != shape)
            throw new ArgumentException($"Expected {shape}; found {tensor.Shape}.", name);
    }
}
