using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <content>The operations.</content>
internal sealed unsafe partial class CpuPass
{
    /// <inheritdoc/>
    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default)
    {
        ArgumentNullException.ThrowIfNull(weight);
        RequireFloat(input, nameof(input));
        if (weight.Role is not (WeightRole.Linear or WeightRole.LinearTransposed))
            throw new ArgumentException($"{weight.Name}: expected a matrix; its role is {weight.Role}.", nameof(weight));
        bool transposed = weight.Role == WeightRole.LinearTransposed;
        long depth = weight.Shape[transposed ? 0 : 1], columns = weight.Shape[transposed ? 1 : 0];
        if (input.Shape[^1] != depth)
            throw new ArgumentException($"{weight.Name} {weight.Shape} needs an input {depth} wide; found {input.Shape}.", nameof(input));
        RequireVector(bias, columns);
        RequireVector(epilogue.Scale, columns);
        Shape shape = input.Shape.WithLast(columns);
        if (epilogue.Residual.Exists)
            RequireSame(epilogue.Residual, shape, nameof(epilogue));
        Tensor output = New(shape);
        NativeMethods.CpuLinear(_pass, input.Address, input.Shape.ElementCount / depth, Native(weight), Native(bias), (int)epilogue.Activation,
            Native(epilogue.Scale), epilogue.Residual.Address, output.Address).ThrowIfFailed();
        GC.KeepAlive(weight);
        GC.KeepAlive(bias);
        GC.KeepAlive(epilogue.Scale);
        return output;
    }

    /// <inheritdoc/>
    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        RequireFloat(input, nameof(input));
        long width = input.Shape[^1];
        RequireVector(weight, width);
        RequireVector(bias, width);
        Tensor output = New(input.Shape);
        NativeMethods.CpuLayerNorm(_pass, input.Address, Rows(input.Shape), width, Native(weight), Native(bias), epsilon, output.Address).ThrowIfFailed();
        GC.KeepAlive(weight);
        GC.KeepAlive(bias);
        return output;
    }

    /// <inheritdoc/>
    public Tensor SelfAttention(in Tensor queryKeyValue, int heads, in AttentionMask mask = default)
    {
        RequireRank(queryKeyValue, 3, nameof(queryKeyValue));
        Shape shape = queryKeyValue.Shape;
        long width = shape[2] / 3;
        if (shape[2] % 3 != 0)
            throw new ArgumentException($"Expected [n, t, 3 w]; found {shape}.", nameof(queryKeyValue));
        RequireHeads(width, heads);
        Tensor output = New(new Shape(shape[0], shape[1], width));
        nint query = queryKeyValue.Address;
        Attend(new NativeMethods.CpuAttention
        {
            Query = query,
            Key = query + (nint)(width * sizeof(float)),
            Value = query + (nint)(2 * width * sizeof(float)),
            QueryStride = shape[2],
            KeyStride = shape[2],
            ValueStride = shape[2],
            Batch = shape[0],
            Queries = shape[1],
            Keys = shape[1],
            Width = width,
            Heads = heads,
            Output = output.Address,
        }, mask);
        return output;
    }

    /// <inheritdoc/>
    public Tensor CrossAttention(in Tensor query, in Tensor key, in Tensor value, int heads, in AttentionMask mask = default)
    {
        RequireRank(query, 3, nameof(query));
        RequireRank(key, 3, nameof(key));
        RequireSame(value, key.Shape, nameof(value));
        long width = query.Shape[2];
        if (key.Shape[0] != query.Shape[0] || key.Shape[2] != width)
            throw new ArgumentException($"Keys {key.Shape} do not fit queries {query.Shape}.", nameof(key));
        RequireHeads(width, heads);
        Tensor output = New(query.Shape);
        Attend(new NativeMethods.CpuAttention
        {
            Query = query.Address,
            Key = key.Address,
            Value = value.Address,
            QueryStride = width,
            KeyStride = width,
            ValueStride = width,
            Batch = query.Shape[0],
            Queries = query.Shape[1],
            Keys = key.Shape[1],
            Width = width,
            Heads = heads,
            Output = output.Address,
        }, mask);
        return output;
    }

    /// <inheritdoc/>
    public Tensor TransformerBlock(in Tensor input, TransformerBlock block, in AttentionMask mask = default)
    {
        ArgumentNullException.ThrowIfNull(block);
        RequireRank(input, 3, nameof(input));
        Shape shape = input.Shape;
        long width = shape[2], hidden = block.ExpandWeight.Shape[0];
        RequireHeads(width, block.Heads);
        RequireMatrix(block.InProjectionWeight, 3 * width, width);
        RequireMatrix(block.OutProjectionWeight, width, width);
        RequireMatrix(block.ExpandWeight, hidden, width);
        RequireMatrix(block.ContractWeight, width, hidden);
        RequireVector(block.Norm1Weight, width);
        RequireVector(block.Norm1Bias, width);
        RequireVector(block.InProjectionBias, 3 * width);
        RequireVector(block.OutProjectionBias, width);
        RequireVector(block.LayerScale1, width);
        RequireVector(block.Norm2Weight, width);
        RequireVector(block.Norm2Bias, width);
        RequireVector(block.ExpandBias, hidden);
        RequireVector(block.ContractBias, width);
        RequireVector(block.LayerScale2, width);
        Tensor output = New(shape);
        var call = new NativeMethods.CpuBlock
        {
            Input = input.Address,
            Output = output.Address,
            Mask = Mask(mask, shape[0], shape[1], shape[1]),
            Norm1Weight = Native(block.Norm1Weight),
            Norm1Bias = Native(block.Norm1Bias),
            InWeight = Native(block.InProjectionWeight),
            InBias = Native(block.InProjectionBias),
            OutWeight = Native(block.OutProjectionWeight),
            OutBias = Native(block.OutProjectionBias),
            Scale1 = Native(block.LayerScale1),
            Norm2Weight = Native(block.Norm2Weight),
            Norm2Bias = Native(block.Norm2Bias),
            ExpandWeight = Native(block.ExpandWeight),
            ExpandBias = Native(block.ExpandBias),
            ContractWeight = Native(block.ContractWeight),
            ContractBias = Native(block.ContractBias),
            Scale2 = Native(block.LayerScale2),
            Batch = shape[0],
            Tokens = shape[1],
            Width = width,
            Heads = block.Heads,
            Causal = mask.Causal ? 1 : 0,
            Activation = (int)block.Activation,
            Epsilon = block.Epsilon,
        };
        NativeMethods.CpuTransformerBlock(_pass, call).ThrowIfFailed();
        GC.KeepAlive(block);
        return output;
    }

    /// <inheritdoc/>
    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        RequireRank(pixels, 4, nameof(pixels));
        Shape shape = pixels.Shape, form = kernel.Shape;
        if (kernel.Role != WeightRole.PatchEmbedding || form[1] != shape[1] || form[2] != form[3] || form[2] < 1)
            throw new ArgumentException($"{kernel.Name} {form} does not cut {shape} into square patches.", nameof(kernel));
        RequireVector(bias, form[0]);
        long patch = form[2];
        Tensor output = New(new Shape(shape[0], shape[2] / patch * (shape[3] / patch), form[0]));
        NativeMethods.CpuPatchEmbedding(_pass, pixels.Address, shape[0], shape[1], shape[2], shape[3], patch, Native(kernel), Native(bias), output.Address).ThrowIfFailed();
        GC.KeepAlive(kernel);
        GC.KeepAlive(bias);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        RequireRank(input, 4, nameof(input));
        Shape shape = input.Shape, form = kernel.Shape;
        int groups = options.Groups, stride = options.Stride, padding = options.Padding;
        if (kernel.Role != WeightRole.Convolution || groups < 1 || stride < 1 || padding < 0 || form[1] * groups != shape[1] || form[0] % groups != 0
            || shape[2] + (2 * padding) < form[2] || shape[3] + (2 * padding) < form[3])
            throw new ArgumentException($"{kernel.Name} {form} with {groups} groups, stride {stride} and padding {padding} does not fit {shape}.", nameof(kernel));
        RequireVector(bias, form[0]);
        var result = new Shape(shape[0], form[0], ((shape[2] + (2 * padding) - form[2]) / stride) + 1, ((shape[3] + (2 * padding) - form[3]) / stride) + 1);
        if (options.Residual.Exists)
            RequireSame(options.Residual, result, nameof(options));
        Tensor output = New(result);
        var call = new NativeMethods.CpuConvolution
        {
            Input = input.Address,
            Kernel = Native(kernel),
            Bias = Native(bias),
            Residual = options.Residual.Address,
            Output = output.Address,
            Batch = shape[0],
            Channels = shape[1],
            Groups = groups,
            Height = shape[2],
            Width = shape[3],
            KernelHeight = form[2],
            KernelWidth = form[3],
            Stride = stride,
            Padding = padding,
            Activation = (long)options.Activation,
        };
        NativeMethods.CpuConvolve(_pass, call).ThrowIfFailed();
        GC.KeepAlive(kernel);
        GC.KeepAlive(bias);
        return output;
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size)
    {
        RequireRank(input, 4, nameof(input));
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        Shape shape = input.Shape;
        Tensor output = New(new Shape(shape[0], shape[1], shape[2] / size, shape[3] / size));
        NativeMethods.CpuAveragePool(_pass, input.Address, shape[0] * shape[1], shape[2], shape[3], size, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        RequireRank(map, 4, nameof(map));
        Shape shape = map.Shape;
        long pixels = shape[2] * shape[3];
        Tensor output = New(new Shape(shape[0], pixels, shape[1]));
        NativeMethods.CpuTranspose(_pass, map.Address, shape[0], shape[1], pixels, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        RequireFloat(input, nameof(input));
        Tensor output = New(input.Shape);
        NativeMethods.CpuActivate(_pass, input.Address, input.Shape.ElementCount, (int)activation, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        RequireFloat(left, nameof(left));
        RequireSame(right, left.Shape, nameof(right));
        Tensor output = New(left.Shape);
        NativeMethods.CpuAdd(_pass, left.Address, right.Address, left.Shape.ElementCount, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor L2Normalize(in Tensor input)
    {
        RequireFloat(input, nameof(input));
        Tensor output = New(input.Shape);
        NativeMethods.CpuL2Normalize(_pass, input.Address, Rows(input.Shape), input.Shape[^1], output.Address).ThrowIfFailed();
        return output;
    }

    private void Attend(NativeMethods.CpuAttention call, in AttentionMask mask)
    {
        call.Causal = mask.Causal ? 1 : 0;
        call.Mask = Mask(mask, call.Batch, call.Queries, call.Keys);
        NativeMethods.CpuAttend(Live, call).ThrowIfFailed();
    }

    private static nint Mask(in AttentionMask mask, long batch, long queries, long keys)
    {
        if (!mask.Additive.Exists)
            return 0;
        RequireSame(mask.Additive, new Shape(batch, queries, keys), nameof(mask));
        return mask.Additive.Address;
    }

    private static long Rows(in Shape shape) => shape[^1] == 0 ? 0 : shape.ElementCount / shape[^1];

    private static void RequireHeads(long width, int heads)
    {
        if (heads < 1 || width % heads != 0)
            throw new ArgumentException($"{heads} heads do not divide a width of {width}.", nameof(heads));
    }

    private static void RequireMatrix(Weight weight, long columns, long depth)
    {
        if (weight.Role != WeightRole.Linear || weight.Shape[0] != columns || weight.Shape[1] != depth)
            throw new ArgumentException($"{weight.Name}: expected a matrix [{columns}, {depth}]; found {weight.Role} {weight.Shape}.", nameof(weight));
    }

    private static void RequireSame(in Tensor tensor, in Shape shape, string name)
    {
        RequireFloat(tensor, name);
        if (tensor.Shape != shape)
            throw new ArgumentException($"Expected {shape}; found {tensor.Shape}.", name);
    }
}
