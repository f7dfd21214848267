using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <content>The operations.</content>
internal sealed unsafe partial class CpuPass
{
    /// <inheritdoc/>
    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Linear(input, weight, bias, epilogue);
        RequireFloat(input, nameof(input));
        RequireOptional(epilogue.Multiplier, nameof(epilogue));
        RequireOptional(epilogue.Residual, nameof(epilogue));
        long depth = input.Shape[^1];
        Tensor output = New(shape);
        NativeMethods.CpuLinear(_pass, input.Address, input.Shape.ElementCount / depth, Native(weight), Native(bias), (int)epilogue.Activation,
            Native(epilogue.Scale), epilogue.Multiplier.Address, epilogue.Residual.Address, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        using Operation operation = Enter();
        OperationShapes.LayerNorm(input, weight, bias);
        RequireFloat(input, nameof(input));
        long width = input.Shape[^1];
        Tensor output = New(input.Shape);
        NativeMethods.CpuLayerNorm(_pass, input.Address, Rows(input.Shape), width, Native(weight), Native(bias), epsilon, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon)
    {
        using Operation operation = Enter();
        OperationShapes.RmsNorm(input, weight);
        RequireFloat(input, nameof(input));
        long width = input.Shape[^1];
        Tensor output = New(input.Shape);
        NativeMethods.CpuRmsNorm(_pass, input.Address, Rows(input.Shape), width, Native(weight), epsilon, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Attention(query, key, value, heads, mask);
        Tensor output = New(shape);
        var call = new NativeMethods.CpuAttention
        {
            Query = Address(query, nameof(query)),
            Key = Address(key, nameof(key)),
            Value = Address(value, nameof(value)),
            QueryStride = query.Tokens.Shape[2],
            KeyStride = key.Tokens.Shape[2],
            ValueStride = value.Tokens.Shape[2],
            Batch = shape[0],
            Queries = shape[1],
            Keys = key.Count,
            Width = shape[2],
            Heads = heads,
            SharedKeys = key.Batch == 1 ? 1 : 0,
            Causal = mask.Causal ? 1 : 0,
            Offset = mask.Offset,
            Mask = RequireOptional(mask.Additive, nameof(mask)),
            SharedMask = mask.Additive.Exists && mask.Additive.Shape[0] == 1 ? 1 : 0,
            MaskHeads = mask.IsPerHead ? 1 : 0,
            KeyLengths = mask.KeyLengths.Address,
            Output = output.Address,
        };
        NativeMethods.CpuAttend(_pass, call).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Rotary(input, cosines, sines, heads, firstPosition);
        Tensor output = New(shape);
        nint skipped = (nint)(firstPosition * cosines.Shape[1] * sizeof(float));
        NativeMethods.CpuRotate(_pass, Address(input, nameof(input)), input.Tokens.Shape[2], shape[0], shape[1], shape[2], heads,
            NativeMethods.CpuWeightValues(Native(cosines)) + skipped, NativeMethods.CpuWeightValues(Native(sines)) + skipped,
            pairing == RotaryPairing.HalfSplit ? 1 : 0, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor TransformerBlock(in Tensor input, TransformerBlock block, in AttentionMask mask = default)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.TransformerBlock(input, block, mask);
        if (block.NormPlacement != NormPlacement.Before || mask.Offset != 0 || mask.IsPerHead)
            return ComposedOperations.TransformerBlock(this, input, block, mask);
        RequireFloat(input, nameof(input));
        Tensor output = New(shape);
        var call = new NativeMethods.CpuBlock
        {
            Input = input.Address,
            Output = output.Address,
            Mask = RequireOptional(mask.Additive, nameof(mask)),
            SharedMask = mask.Additive.Exists && mask.Additive.Shape[0] == 1 ? 1 : 0,
            KeyLengths = mask.KeyLengths.Address,
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
            Width = shape[2],
            Heads = block.Heads,
            Causal = mask.Causal ? 1 : 0,
            Activation = (int)block.Activation,
            Epsilon = block.Epsilon,
        };
        NativeMethods.CpuTransformerBlock(_pass, call).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor PatchEmbedding(in Tensor pixels, Weight kernel, Weight? bias)
    {
        using Operation operation = Enter();
        Shape result = OperationShapes.PatchEmbedding(pixels, kernel, bias);
        RequireFloat(pixels, nameof(pixels));
        Shape shape = pixels.Shape;
        long patch = kernel.Shape[2];
        Tensor output = New(result);
        NativeMethods.CpuPatchEmbedding(_pass, pixels.Address, shape[0], shape[1], shape[2], shape[3], patch, Native(kernel), Native(bias), output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Convolution(in Tensor input, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        using Operation operation = Enter();
        Shape result = OperationShapes.Convolution(input, kernel, bias, options);
        RequireFloat(input, nameof(input));
        RequireOptional(options.Residual, nameof(options));
        Tensor output = New(result);
        NativeMethods.CpuConvolution call = Call(input, (int)input.Shape[2], (int)input.Shape[3], input.Shape[1], kernel, bias, options, output);
        NativeStatus status = OperationShapes.IsDepthwise(kernel.Role, kernel.Shape) ? NativeMethods.CpuConvolveDepthwise(_pass, call, kernel.Shape[0]) : NativeMethods.CpuConvolve(_pass, call);
        status.ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConvolveTokens(in Tensor tokens, int height, int width, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        using Operation operation = Enter();
        (int rows, int columns) = OperationShapes.ConvolveTokens(tokens, height, width, kernel, bias, options);
        bool isDepthwise = OperationShapes.IsDepthwise(kernel.Role, kernel.Shape);
        if (!isDepthwise && options.Groups != 1)
            return ComposedOperations.ConvolveTokens(this, tokens, height, width, kernel, bias, options);
        RequireFloat(tokens, nameof(tokens));
        RequireOptional(options.Residual, nameof(options));
        Tensor output = New(new Shape(tokens.Shape[0], (long)rows * columns, kernel.Shape[0]));
        NativeMethods.CpuConvolveTokens(_pass, Call(tokens, height, width, tokens.Shape[2], kernel, bias, options, output), isDepthwise ? kernel.Shape[0] : 0).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor ConvolutionStack(in Tensor tokens, int height, int width, ReadOnlySpan<ConvolutionBlock> blocks)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.ConvolutionStack(tokens, height, width, blocks));
        RequireFloat(tokens, nameof(tokens));
        var calls = new NativeMethods.CpuConvolutionBlock[blocks.Length];
        for (int i = 0; i < calls.Length; i++)
        {
            ConvolutionBlock block = blocks[i];
            calls[i] = new()
            {
                MixerKernel = Native(block.MixerKernel),
                MixerBias = Native(block.MixerBias),
                Kernel = Native(block.Kernel),
                Bias = Native(block.Bias),
                NormWeight = Native(block.NormWeight),
                NormBias = Native(block.NormBias),
                ExpandWeight = Native(block.ExpandWeight),
                ExpandBias = Native(block.ExpandBias),
                ContractWeight = Native(block.ContractWeight),
                ContractBias = Native(block.ContractBias),
                Scale = Native(block.LayerScale),
                MixerSide = block.MixerKernel?.Shape[3] ?? 0,
                Side = block.Kernel.Shape[3],
                Activation = (int)block.Activation,
                Epsilon = block.Epsilon,
            };
        }

        fixed (NativeMethods.CpuConvolutionBlock* first = calls)
        {
            NativeMethods.CpuConvolutionStack(_pass, tokens.Address, tokens.Shape[0], height, width, tokens.Shape[2], first, calls.Length, output.Address).ThrowIfFailed();
        }

        return output;
    }

    /// <inheritdoc/>
    public Tensor AveragePool(in Tensor input, int size, int stride, int padding = 0)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.AveragePool(input, size, stride, padding));
        RequireFloat(input, nameof(input));
        Shape shape = input.Shape;
        NativeMethods.CpuAveragePool(_pass, input.Address, shape[0] * shape[1], shape[2], shape[3], size, stride, padding, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor MapToTokens(in Tensor map)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.MapToTokens(map);
        RequireFloat(map, nameof(map));
        Tensor output = New(shape);
        NativeMethods.CpuTranspose(_pass, map.Address, shape[0], shape[2], shape[1], output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor TokensToMap(in Tensor tokens, int height, int width)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.TokensToMap(tokens, height, width);
        RequireFloat(tokens, nameof(tokens));
        Tensor output = New(shape);
        NativeMethods.CpuTranspose(_pass, tokens.Address, shape[0], tokens.Shape[1], shape[1], output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Activate(in Tensor input, Activation activation)
    {
        using Operation operation = Enter();
        RequireFloat(input, nameof(input));
        Tensor output = New(input.Shape);
        NativeMethods.CpuActivate(_pass, input.Address, input.Shape.ElementCount, (int)activation, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Add(in Tensor left, in Tensor right)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.Elementwise(left, right));
        RequireFloat(left, nameof(left));
        RequireFloat(right, nameof(right));
        NativeMethods.CpuAdd(_pass, left.Address, right.Address, left.Shape.ElementCount, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor Multiply(in Tensor left, in Tensor right)
    {
        using Operation operation = Enter();
        Tensor output = New(OperationShapes.Elementwise(left, right));
        RequireFloat(left, nameof(left));
        RequireFloat(right, nameof(right));
        NativeMethods.CpuMultiply(_pass, left.Address, right.Address, left.Shape.ElementCount, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor GateTokens(in Tensor tokens, in Tensor gates, Activation activation = Activation.None)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.GateTokens(tokens, gates);
        RequireFloat(tokens, nameof(tokens));
        RequireFloat(gates, nameof(gates));
        Tensor output = New(shape);
        NativeMethods.CpuGateTokens(_pass, tokens.Address, shape[0], shape[1], shape[2], gates.Address, (int)activation, output.Address).ThrowIfFailed();
        return output;
    }

    /// <inheritdoc/>
    public Tensor L2Normalize(in Tensor input)
    {
        using Operation operation = Enter();
        RequireFloat(input, nameof(input));
        Tensor output = New(input.Shape);
        NativeMethods.CpuL2Normalize(_pass, input.Address, Rows(input.Shape), input.Shape[^1], output.Address).ThrowIfFailed();
        return output;
    }

    private NativeMethods.CpuConvolution Call(in Tensor input, int height, int width, long channels, Weight kernel, Weight? bias, in ConvolutionOptions options, in Tensor output) => new()
    {
        Input = input.Address,
        Kernel = Native(kernel),
        Bias = Native(bias),
        Residual = options.Residual.Address,
        Output = output.Address,
        Batch = input.Shape[0],
        Channels = channels,
        Groups = options.Groups,
        Height = height,
        Width = width,
        KernelHeight = kernel.Shape[2],
        KernelWidth = kernel.Shape[3],
        Stride = options.Stride,
        Padding = options.Padding,
        Activation = (long)options.Activation,
    };

    private static long Rows(in Shape shape) => shape[^1] == 0 ? 0 : shape.ElementCount / shape[^1];

    /// <summary>Where a view begins.</summary>
    private static nint Address(in TokenView view, string name)
    {
        RequireFloat(view.Tokens, name);
        return view.Tokens.Address + (nint)(view.Start * sizeof(float));
    }

    private static nint RequireOptional(in Tensor tensor, string name)
    {
        if (tensor.Exists)
            RequireFloat(tensor, name);
        return tensor.Address;
    }
}
