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
        Shape shape = OperationShapes.Linear(input, weight, bias, epilogue);
        bool transposed = weight.Role == WeightRole.LinearTransposed;
        using Operation operation = Begin();
        TorchTensor x = Value(input, nameof(input));
        TorchTensor w = Value(weight);
        TorchTensor y = Product(x, transposed ? w.transpose(0, 1) : w, Flat(Optional(bias)));
        y = Activated(y, epilogue.Activation);
        if (epilogue.Scale is not null)
            y = y * Flat(Value(epilogue.Scale))!;
        if (epilogue.Multiplier.Exists)
            y = y * Value(epilogue.Multiplier, nameof(epilogue));
        if (epilogue.Residual.Exists)
            y = y.Plus(Value(epilogue.Residual, nameof(epilogue)));
        return Keep(y, shape);
    }

    /// <inheritdoc/>
    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        OperationShapes.LayerNorm(input, weight, bias);
        using Operation operation = Begin();
        TorchTensor x = Value(input, nameof(input));
        long width = input.Shape[^1];
        return Keep(torch.nn.functional.layer_norm(x, [width], Flat(Value(weight)), Flat(Value(bias)), epsilon), input.Shape);
    }

    /// <inheritdoc/>
    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon)
    {
        OperationShapes.RmsNorm(input, weight);
        using Operation operation = Begin();
        TorchTensor x = Value(input, nameof(input));
        return Keep(x * (x * x).mean([-1], true).Plus(epsilon).rsqrt() * Flat(Value(weight))!, input.Shape);
    }

    /// <inheritdoc/>
    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default)
    {
        Shape shape = OperationShapes.Attention(query, key, value, heads, mask);
        using Operation operation = Begin();
        return Keep(Attend(Value(query, nameof(query)), Value(key, nameof(key)), Value(value, nameof(value)), heads, mask), shape);
    }

    /// <inheritdoc/>
    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0)
    {
        Shape shape = OperationShapes.Rotary(input, cosines, sines, heads, firstPosition);
        long pairs = shape[2] / heads / 2, turned = pairing == RotaryPairing.Interleaved ? 4 : 3;
        using Operation operation = Begin();
        long[] sizes = pairing == RotaryPairing.Interleaved ? [shape[0], shape[1], heads, pairs, 2] : [shape[0], shape[1], heads, 2, pairs];
        TorchTensor x = Value(input, nameof(input)).reshape(sizes);
        TorchTensor a = x.select(turned, 0), b = x.select(turned, 1); // [n, t, heads, pairs]
        TorchTensor Angles(Weight table) => Value(table).reshape(-1, 1, pairs).narrow(0, firstPosition, shape[1]);
        TorchTensor cosine = Angles(cosines), sine = Angles(sines);
        return Keep(torch.stack([(a * cosine) - (b * sine), (b * cosine).Plus(a * sine)], turned).reshape(TorchTensors.Sizes(shape)), shape);
    }

    /// <inheritdoc/>
    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        Shape result = OperationShapes.PatchEmbedding(pixels, kernel, bias), shape = pixels.Shape, form = kernel.Shape;
        long patch = form[2], rows = shape[2] / patch, columns = shape[3] / patch;
        using Operation operation = Begin();
        // A product and not a convolution: the same arithmetic on every device.
        TorchTensor patches = Value(pixels, nameof(pixels)).narrow(2, 0, rows * patch).narrow(3, 0, columns * patch)
            .reshape(shape[0], shape[1], rows, patch, columns, patch)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(shape[0], rows * columns, shape[1] * patch * patch);
        TorchTensor y = Product(patches, Value(kernel).reshape(form[0], form[1] * patch * patch), Flat(Optional(bias)));
        return Keep(y, result);
    }

    /// <inheritdoc/>
    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        Shape result = OperationShapes.Convolution(input, kernel, bias, options);
        int groups = options.Groups, stride = options.Stride, padding = options.Padding;
        using Operation operation = Begin();
        TorchTensor y = torch.nn.functional.conv2d(Operand(Value(input, nameof(input))), Operand(Value(kernel)), null, [stride, stride], [padding, padding], [1, 1], groups);
        y = Cast(y, Stream);
        if (kernel is BatchNormKernel norm)
            y = norm.Normalize(y);
        else if (bias is not null)
            y = y.Plus(Value(bias).reshape(1, result[1], 1, 1));
        if (options.Residual.Exists)
            y = y.Plus(Value(options.Residual, nameof(options)));
        return Keep(Activated(y, options.Activation), result);
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0)
    {
        Shape result = OperationShapes.AveragePool(input, size, stride, padding);
        using Operation operation = Begin();
        TorchTensor y = result.ElementCount == 0
            ? torch.empty(TorchTensors.Sizes(result), Stream, _backend.Device)
            : torch.nn.functional.avg_pool2d(Value(input, nameof(input)), new long[] { size, size }, new long[] { stride, stride }, new long[] { padding, padding }, count_include_pad: false);
        return Keep(y, result);
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        Shape shape = OperationShapes.MapToTokens(map);
        using Operation operation = Begin();
        return Keep(Value(map, nameof(map)).flatten(2).transpose(1, 2).contiguous(), shape);
    }

    /// <inheritdoc/>
    public Tensor TokensToMap(in Tensor tokens, int height, int width)
    {
        Shape shape = OperationShapes.TokensToMap(tokens, height, width);
        using Operation operation = Begin();
        return Keep(Value(tokens, nameof(tokens)).transpose(1, 2).contiguous().reshape(TorchTensors.Sizes(shape)), shape);
    }

    /// <inheritdoc/>
    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None)
    {
        Shape shape = OperationShapes.GateTokens(tokens, gates);
        using Operation operation = Begin();
        return Keep(Activated(Value(tokens, nameof(tokens)) * Value(gates, nameof(gates)).sigmoid(), activation), shape);
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        using Operation operation = Begin();
        return Keep(Activated(Value(input, nameof(input)), activation), input.Shape);
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        Shape shape = OperationShapes.Elementwise(left, right);
        using Operation operation = Begin();
        return Keep(Value(left, nameof(left)).Plus(Value(right, nameof(right))), shape);
    }

    /// <inheritdoc/>
    public Tensor Multiply(in Tensor left, in Tensor right)
    {
        Shape shape = OperationShapes.Elementwise(left, right);
        using Operation operation = Begin();
        return Keep(Value(left, nameof(left)) * Value(right, nameof(right)), shape);
    }

    /// <inheritdoc/>
    public Tensor L2Normalize(in Tensor input)
    {
        using Operation operation = Begin();
        TorchTensor x = Value(input, nameof(input));
        return Keep(Normalized(x), input.Shape);
    }

    /// <summary>x / max(||x||, 1e-12) over the last dimension.</summary>
    internal static TorchTensor Normalized(TorchTensor x) => x / x.norm(-1, true, 2f).AtLeast(1e-12);

    /// <summary>x w^T + bias. Where the weight is kept in a lower type x is rounded to it too; everything else is the stream's.</summary>
    private TorchTensor Product(TorchTensor x, TorchTensor w, TorchTensor? bias)
    {
        if (w.dtype == Stream)
            return torch.nn.functional.linear(x, w, bias);
        TorchTensor y = Cast(torch.nn.functional.linear(Operand(x), Operand(w)), Stream);
        return bias is null ? y : y.Plus(bias);
    }

    /// <summary>Values rounded to the compute type, in the type that the device multiplies them in.</summary>
    private TorchTensor Operand(TorchTensor x) => Cast(Cast(x, _backend.Compute), _backend.Product);

    private TorchTensor Attend(TorchTensor query, TorchTensor key, TorchTensor value, int heads, in AttentionMask mask)
    {
        long batch = query.shape[0], queries = query.shape[1], keys = key.shape[1], width = query.shape[2], head = width / heads;
        TorchTensor Heads(TorchTensor x) => x.reshape(x.shape[0], x.shape[1], heads, head).transpose(1, 2); // [n, heads, count, head]
        TorchTensor scores = Heads(query).matmul(Heads(key).transpose(2, 3)).Times(1 / Math.Sqrt(head));
        if (mask.Causal)
            scores = scores.Plus(Arithmetic.Full([queries, keys], double.NegativeInfinity, Stream, _backend.Device).triu(mask.Offset + 1));
        if (mask.Additive.Exists)
            scores = scores.Plus(mask.IsPerHead ? Value(mask.Additive, nameof(mask)) : Value(mask.Additive, nameof(mask)).unsqueeze(1));
        if (mask.KeyLengths.Exists)
        {
            TorchTensor lengths = RequireIndices(mask.KeyLengths, nameof(mask)).Value.reshape(batch, 1, 1, 1);
            TorchTensor hidden = Arithmetic.Range(keys, _backend.Device).reshape(1, 1, 1, keys) >= lengths;
            scores = scores.FilledWhere(hidden, double.NegativeInfinity);
        }

        if (!mask.KeyLengths.Exists && !mask.Additive.Exists)
            return Joined(scores.softmax(-1));
        // A query that sees no key: zeros, and no NaN on the tape.
        TorchTensor sightless = scores.amax([-1], keepdim: true).EqualTo(double.NegativeInfinity);
        return Joined(scores.FilledWhere(sightless, 0).softmax(-1).FilledWhere(sightless, 0));

        TorchTensor Joined(TorchTensor weights) => weights.matmul(Heads(value)).transpose(1, 2).reshape(batch, queries, width); // [n, heads, queries, head] before
    }

    private static TorchTensor Activated(TorchTensor x, Activation activation) => activation switch
    {
        Activation.None => x,
        Activation.Gelu => torch.nn.functional.gelu(x),
        Activation.GeluTanh => x.Times(0.5) * x.Plus((x * x * x).Times(0.044715)).Times(Math.Sqrt(2 / Math.PI)).tanh().Plus(1),
        Activation.QuickGelu => x * x.Times(1.702).sigmoid(),
        Activation.Relu => x.relu(),
        Activation.Silu => x * x.sigmoid(),
        Activation.Tanh => x.tanh(),
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation."),
    };

    private static TorchTensor? Flat(TorchTensor? vector) => vector is null || vector.dim() == 1 ? vector : vector.reshape(-1);
}
