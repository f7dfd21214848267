using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <content>Products, norms, attention and what works element by element.</content>
internal sealed partial class TorchPass
{
    /// <inheritdoc/>
    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (weight.Role is not (WeightRole.Linear or WeightRole.LinearTransposed))
            throw new ArgumentException($"{weight.Name}: expected a matrix; its role is {weight.Role}.", nameof(weight));
        bool transposed = weight.Role == WeightRole.LinearTransposed;
        long depth = weight.Shape[transposed ? 0 : 1], columns = weight.Shape[transposed ? 1 : 0];
        using DisposeScope scope = Begin();
        TorchTensor x = Value(input, nameof(input));
        if (input.Shape[^1] != depth)
            throw new ArgumentException($"{weight.Name} {weight.Shape} needs an input {depth} wide; found {input.Shape}.", nameof(input));
        RequireVector(bias, columns);
        RequireVector(epilogue.Scale, columns);
        Shape shape = input.Shape.WithLast(columns);
        if (epilogue.Residual.Exists)
            RequireSame(epilogue.Residual, shape, nameof(epilogue));
        TorchTensor w = Value(weight);
        TorchTensor y = Product(x, transposed ? w.transpose(0, 1) : w, Flat(Optional(bias)));
        y = Activated(y, epilogue.Activation);
        if (epilogue.Scale is not null)
            y = y * Flat(Value(epilogue.Scale))!;
        if (epilogue.Residual.Exists)
            y = y + Value(epilogue.Residual, nameof(epilogue));
        return Keep(y, shape);
    }

    /// <inheritdoc/>
    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        using DisposeScope scope = Begin();
        TorchTensor x = Value(input, nameof(input));
        long width = input.Shape[^1];
        RequireVector(weight, width);
        RequireVector(bias, width);
        return Keep(torch.nn.functional.layer_norm(x, [width], Flat(Value(weight)), Flat(Value(bias)), epsilon), input.Shape);
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
        RequireMask(mask, shape[0], shape[1], shape[1]);
        using DisposeScope scope = Begin();
        TorchTensor x = Value(queryKeyValue, nameof(queryKeyValue));
        TorchTensor attended = Attend(x.narrow(2, 0, width), x.narrow(2, width, width), x.narrow(2, 2 * width, width), heads, mask);
        return Keep(attended, new Shape(shape[0], shape[1], width));
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
        RequireMask(mask, query.Shape[0], query.Shape[1], key.Shape[1]);
        using DisposeScope scope = Begin();
        return Keep(Attend(Value(query, nameof(query)), Value(key, nameof(key)), Value(value, nameof(value)), heads, mask), query.Shape);
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
        long patch = form[2], rows = shape[2] / patch, columns = shape[3] / patch;
        using DisposeScope scope = Begin();
        // A product and not a convolution: the same arithmetic on every device.
        TorchTensor patches = Value(pixels, nameof(pixels)).narrow(2, 0, rows * patch).narrow(3, 0, columns * patch)
            .reshape(shape[0], shape[1], rows, patch, columns, patch)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(shape[0], rows * columns, shape[1] * patch * patch);
        TorchTensor y = Product(patches, Value(kernel).reshape(form[0], form[1] * patch * patch), Flat(Optional(bias)));
        return Keep(y, new Shape(shape[0], rows * columns, form[0]));
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
        using DisposeScope scope = Begin();
        TorchTensor y = torch.nn.functional.conv2d(Operand(Value(input, nameof(input))), Operand(Value(kernel)), null, [stride, stride], [padding, padding], [1, 1], groups);
        y = Cast(y, Stream);
        if (bias is not null)
            y = y + Value(bias).reshape(1, form[0], 1, 1);
        if (options.Residual.Exists)
            y = y + Value(options.Residual, nameof(options));
        return Keep(Activated(y, options.Activation), result);
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size)
    {
        RequireRank(input, 4, nameof(input));
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        Shape shape = input.Shape;
        var result = new Shape(shape[0], shape[1], shape[2] / size, shape[3] / size);
        using DisposeScope scope = Begin();
        TorchTensor y = result.ElementCount == 0
            ? torch.empty(TorchTensors.Sizes(result), Stream, _backend.Device)
            : torch.nn.functional.avg_pool2d(Value(input, nameof(input)), new long[] { size, size }, new long[] { size, size });
        return Keep(y, result);
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        RequireRank(map, 4, nameof(map));
        Shape shape = map.Shape;
        using DisposeScope scope = Begin();
        return Keep(Value(map, nameof(map)).flatten(2).transpose(1, 2).contiguous(), new Shape(shape[0], shape[2] * shape[3], shape[1]));
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        using DisposeScope scope = Begin();
        return Keep(Activated(Value(input, nameof(input)), activation), input.Shape);
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        RequireSame(right, left.Shape, nameof(right));
        using DisposeScope scope = Begin();
        return Keep(Value(left, nameof(left)) + Value(right, nameof(right)), left.Shape);
    }

    /// <inheritdoc/>
    public Tensor L2Normalize(in Tensor input)
    {
        using DisposeScope scope = Begin();
        TorchTensor x = Value(input, nameof(input));
        return Keep(Normalized(x), input.Shape);
    }

    /// <summary>x / max(||x||, 1e-12) over the last dimension.</summary>
    internal static TorchTensor Normalized(TorchTensor x) => x / x.norm(-1, true, 2f).clamp_min(1e-12);

    /// <summary>x w^T + bias. Where the weight is kept in a lower type x is rounded to it too; everything else is the stream's.</summary>
    private TorchTensor Product(TorchTensor x, TorchTensor w, TorchTensor? bias)
    {
        if (w.dtype == Stream)
            return torch.nn.functional.linear(x, w, bias);
        TorchTensor y = Cast(torch.nn.functional.linear(Operand(x), Operand(w)), Stream);
        return bias is null ? y : y + bias;
    }

    /// <summary>Values rounded to the compute type, in the type that the device multiplies them in.</summary>
    private TorchTensor Operand(TorchTensor x) => Cast(Cast(x, _backend.Compute), _backend.Product);

    private TorchTensor Attend(TorchTensor query, TorchTensor key, TorchTensor value, int heads, in AttentionMask mask)
    {
        long batch = query.shape[0], queries = query.shape[1], keys = key.shape[1], width = query.shape[2], head = width / heads;
        TorchTensor Heads(TorchTensor x, long count) => x.reshape(batch, count, heads, head).transpose(1, 2); // [n, heads, count, head]
        TorchTensor scores = Heads(query, queries).matmul(Heads(key, keys).transpose(2, 3)) * (1 / Math.Sqrt(head));
        if (mask.Causal)
            scores = scores + torch.full([queries, keys], float.NegativeInfinity, Stream, _backend.Device).triu(1);
        if (mask.Additive.Exists)
            scores = scores + Value(mask.Additive, nameof(mask)).unsqueeze(1);
        TorchTensor attended = scores.softmax(-1).matmul(Heads(value, keys)); // [n, heads, queries, head]
        return attended.transpose(1, 2).reshape(batch, queries, width);
    }

    private static TorchTensor Activated(TorchTensor x, Activation activation) => activation switch
    {
        Activation.None => x,
        Activation.Gelu => torch.nn.functional.gelu(x),
        Activation.GeluTanh => 0.5 * x * (1 + (Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))).tanh()),
        Activation.QuickGelu => x * (1.702 * x).sigmoid(),
        Activation.Relu => x.relu(),
        Activation.Silu => x * x.sigmoid(),
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation."),
    };

    private static TorchTensor? Flat(TorchTensor? vector) => vector is null || vector.dim() == 1 ? vector : vector.reshape(-1);

    private void RequireMask(in AttentionMask mask, long batch, long queries, long keys)
    {
        if (mask.Additive.Exists)
            RequireSame(mask.Additive, new Shape(batch, queries, keys), nameof(mask));
    }

    private static void RequireHeads(long width, int heads)
    {
        if (heads < 1 || width % heads != 0)
            throw new ArgumentException($"{heads} heads do not divide a width of {width}.", nameof(heads));
    }
}
