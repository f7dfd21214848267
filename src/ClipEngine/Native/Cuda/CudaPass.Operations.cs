using ClipEngine.Tensors;
using static ClipEngine.Native.CudaDevice;

namespace ClipEngine.Native;

/// <content>Products, norms and attention. Tile sizes and thread counts are those of the kernels in native/src/cuda/kernels.</content>
internal sealed unsafe partial class CudaPass
{
    private const int NormRows = 8, NormThreads = 256;
    private const int QueryTile = 64, AttentionThreads = 128;
    private const int LargestHead = 128;

    /// <inheritdoc/>
    public Tensor Linear(in Tensor input, Weight weight, Weight? bias, in Epilogue epilogue = default)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Linear(input, weight, bias, epilogue);
        RequireFloat(input, 0, nameof(input));
        if (epilogue.Multiplier.Exists)
            return MultiplyAdd(Linear(input, weight, bias, epilogue with { Multiplier = default, Residual = default }), epilogue.Multiplier, epilogue.Residual);
        bool isTransposed = weight.Role == WeightRole.LinearTransposed;
        (long columns, long depth) = OperationShapes.Sides(weight);
        Tensor residual = epilogue.Residual.Exists ? AsFloat32(epilogue.Residual) : default;

        // What is added to the residual stream, or leaves the tower through a projection, stays fp32.
        ElementType outputType = epilogue.Residual.Exists || isTransposed ? ElementType.Float32 : _computeType;
        Tensor output = New(shape, outputType);
        if (weight is CudaWeight { Scales: not null } quantized)
        {
            ProductFp8(input, input.Shape.ElementCount / Math.Max(1, depth), quantized, columns, depth, output, bias, epilogue.Scale, residual, epilogue.Activation);
            return output;
        }

        Product(AsOperand(input, depth), input.Shape.ElementCount / Math.Max(1, depth), weight, columns, Padded(depth), output, bias, epilogue.Scale, residual, epilogue.Activation);
        return output;
    }

    /// <inheritdoc/>
    public Tensor LayerNorm(in Tensor input, Weight weight, Weight bias, float epsilon)
    {
        using Operation operation = Enter();
        OperationShapes.LayerNorm(input, weight, bias);
        RequireFloat(input, 0, nameof(input));
        long width = input.Shape[^1];
        Tensor output = New(input.Shape, _computeType);
        string kernel = (input.Type, _computeType) switch
        {
            (ElementType.Float32, ElementType.Float32) => "layer_norm_fp32",
            (ElementType.Float32, ElementType.BFloat16) => "layer_norm_fp32_bf16",
            (ElementType.Float32, _) => "layer_norm_fp32_fp16",
            (ElementType.BFloat16, _) => "layer_norm_bf16",
            _ => "layer_norm_fp16",
        };
        long rows = input.Shape.ElementCount / width;
        _plan.Add(new CudaStage("layer norm"), _device.Kernel(kernel, 0), (Blocks(rows, NormRows), 1, 1), NormThreads, 0,
            [Address(input), Address(weight), Address(bias), Address(output), Slot(rows), Slot((int)width), Slot(epsilon)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor RmsNorm(in Tensor input, Weight weight, float epsilon)
    {
        using Operation operation = Enter();
        OperationShapes.RmsNorm(input, weight);
        RequireFloat(input, 0, nameof(input));
        long width = input.Shape[^1], rows = input.Shape.ElementCount / width;
        Tensor output = New(input.Shape, _computeType);
        string kernel = (input.Type, _computeType) switch
        {
            (ElementType.Float32, ElementType.Float32) => "rms_norm_fp32",
            (ElementType.Float32, ElementType.BFloat16) => "rms_norm_fp32_bf16",
            (ElementType.Float32, _) => "rms_norm_fp32_fp16",
            (ElementType.BFloat16, _) => "rms_norm_bf16",
            _ => "rms_norm_fp16",
        };
        _plan.Add(new CudaStage("RMS norm"), _device.Kernel(kernel, 0), (Blocks(rows, NormRows), 1, 1), NormThreads, 0,
            [Address(input), Address(weight), Address(output), Slot(rows), Slot((int)width), Slot(epsilon)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor L2Normalize(in Tensor input)
    {
        using Operation operation = Enter();
        RequireFloat(input, 0, nameof(input));
        long width = input.Shape[^1], rows = input.Shape.ElementCount / width;
        Tensor output = New(input.Shape);
        string kernel = input.Type switch { ElementType.BFloat16 => "l2_normalize_bf16", ElementType.Float16 => "l2_normalize_fp16", _ => "l2_normalize_fp32" };
        _plan.Add(new CudaStage("L2 norm"), _device.Kernel(kernel, 0), (Blocks(rows, NormRows), 1, 1), NormThreads, 0, [Address(input), Address(output), Slot(rows), Slot((int)width)]);
        return output;
    }

    /// <inheritdoc/>
    public Tensor Attention(in TokenView query, in TokenView key, in TokenView value, int heads, in AttentionMask mask = default)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Attention(query, key, value, heads, mask);
        long batch = shape[0], queries = shape[1], keys = key.Count, width = shape[2], headWidth = width / heads;
        if (headWidth > LargestHead)
            throw new NotSupportedException($"CUDA attention takes heads up to {LargestHead} wide; found {headWidth}.");
        (ulong Address, long Row, long Batch) q = Operand(query, nameof(query)), k = Operand(key, nameof(key)), v = Operand(value, nameof(value));
        if (key.Batch == 1)
            (k.Batch, v.Batch) = (0, 0);
        ulong additive = mask.Additive.Exists ? Address(AsFloat32(mask.Additive)) : 0;
        long maskHead = mask.IsPerHead ? queries * keys : 0, maskBatch = mask.Additive.Exists && mask.Additive.Shape[0] == 1 ? 0 : queries * keys * (mask.IsPerHead ? heads : 1);
        Tensor output = New(new Shape(batch, queries, width), _computeType);
        bool isPlain = _computeType == ElementType.Float32;
        int padded = headWidth <= 32 ? 32 : headWidth <= 64 ? 64 : (int)((headWidth + 15) / 16 * 16);
        int shared = isPlain ? 0 : 3 * QueryTile * (padded + 8) * 2;
        string kernel = isPlain ? "attention_fp32" : AttentionKernel(padded);
        _plan.Add(new CudaStage("attention", Operations: 4.0 * batch * queries * keys * width), _device.Kernel(kernel, shared), (Blocks(queries, isPlain ? 4 : QueryTile), heads, batch), AttentionThreads, shared,
        [
            q.Address, k.Address, v.Address, Address(output), Slot(q.Row), Slot(q.Batch), Slot(k.Row), Slot(k.Batch), Slot(v.Row), Slot(v.Batch),
            Slot(heads), Slot((int)headWidth), Slot((int)queries), Slot((int)keys), Slot(mask.Causal ? 1 : 0), additive, Slot(maskBatch), Slot(maskHead), Address(mask.KeyLengths), Slot(mask.Offset),
        ]);
        return output;
    }

    /// <summary>Where a view begins, in the compute type, and the elements from row to row and from sequence to sequence.</summary>
    private (ulong Address, long Row, long Batch) Operand(in TokenView view, string name)
    {
        RequireFloat(view.Tokens, 3, name);
        Tensor tokens = AsComputeType(view.Tokens);
        long row = tokens.Shape[2];
        return (Address(tokens) + (ulong)(view.Start * _computeType.SizeInBytes()), row, row * tokens.Shape[1]);
    }

    /// <inheritdoc/>
    public Tensor Rotary(in TokenView input, Weight cosines, Weight sines, int heads, RotaryPairing pairing, int firstPosition = 0)
    {
        using Operation operation = Enter();
        Shape shape = OperationShapes.Rotary(input, cosines, sines, heads, firstPosition);
        RequireFloat(input.Tokens, 3, nameof(input));
        Tensor output = New(shape);
        long headWidth = shape[2] / heads, pairs = shape.ElementCount / 2;
        ulong skipped = (ulong)(firstPosition * (headWidth / 2) * sizeof(float));
        Elements(ByType(input.Tokens.Type, "rotate_fp32", "rotate_bf16", "rotate_fp16"), pairs,
        [
            Address(input.Tokens), Address(cosines) + skipped, Address(sines) + skipped, Address(output), Slot(pairs), Slot((int)shape[1]), Slot((int)input.Tokens.Shape[2]),
            Slot((int)input.Start), Slot((int)shape[2]), Slot((int)headWidth), Slot(pairing == RotaryPairing.HalfSplit ? 1 : 0),
        ]);
        return output;
    }

    /// <summary>left * right, then + residual where there is one.</summary>
    private Tensor MultiplyAdd(in Tensor left, in Tensor right, in Tensor residual)
    {
        Tensor first = AsFloat32(left), second = AsFloat32(right), added = residual.Exists ? AsFloat32(residual) : default, output = New(left.Shape);
        Elements("multiply_fp32", left.Shape.ElementCount, [Address(first), Address(second), Address(added), Address(output), Slot(left.Shape.ElementCount)]);
        return output;
    }

    private string AttentionKernel(int padded) => (_computeType, padded) switch
    {
        (ElementType.BFloat16, 32) => "attention_bf16_32",
        (ElementType.BFloat16, 64) => "attention_bf16_64",
        (ElementType.BFloat16, 80) => "attention_bf16_80",
        (ElementType.BFloat16, 96) => "attention_bf16_96",
        (ElementType.BFloat16, 112) => "attention_bf16_112",
        (ElementType.BFloat16, _) => "attention_bf16_128",
        (_, 32) => "attention_fp16_32",
        (_, 64) => "attention_fp16_64",
        (_, 80) => "attention_fp16_80",
        (_, 96) => "attention_fp16_96",
        (_, 112) => "attention_fp16_112",
        _ => "attention_fp16_128",
    };

    /// <summary>One product: y [rows, columns] from an operand whose rows are <paramref name="padded"/> elements of the compute type.</summary>
    private void Product(in Tensor operand, long rows, Weight weight, long columns, long padded, in Tensor output, Weight? bias, Weight? scale, in Tensor residual, Activation activation)
    {
        long product = _device.Product(_backend.Operand, output.Type == ElementType.Float32, checked((int)columns), checked((int)padded));
        _plan.Add(CudaStage.Product(rows, padded, columns), product, default, 0, 0,
        [
            Address(operand), Address(weight), Address(output), Slot(checked((int)rows)), Slot(checked((int)columns)), Slot(checked((int)padded)), Address(bias), Address(scale),
            Address(residual), Slot((int)activation),
        ]);
    }

    /// <summary>The same with a weight in fp8: the input's rows are quantised first, each with a scale of its own.</summary>
    private void ProductFp8(in Tensor input, long rows, CudaWeight weight, long columns, long depth, in Tensor output, Weight? bias, Weight? scale, in Tensor residual, Activation activation)
    {
        long padded = PaddedFp8(depth);
        Tensor source = input.Type == ElementType.BFloat16 ? input : AsFloat32(input);
        Tensor operand = New(new Shape(rows, padded), ElementType.UInt8), scales = New(new Shape(rows));
        _plan.Add(new CudaStage("quantise"), _device.Kernel(source.Type == ElementType.BFloat16 ? "quantize_rows_bf16" : "quantize_rows_fp32", 0), (Blocks(rows, NormRows), 1, 1), NormThreads, 0,
            [Address(source), Address(operand), Address(scales), Slot(rows), Slot((int)depth), Slot((int)padded)]);
        long product = _device.Product(CudaOperand.Float8, output.Type == ElementType.Float32, checked((int)columns), checked((int)padded));
        _plan.Add(CudaStage.Product(rows, padded, columns), product, default, 0, 0,
        [
            Address(operand), Address(weight), Address(output), Slot(checked((int)rows)), Slot(checked((int)columns)), Slot(checked((int)padded)), Address(bias), Address(scale),
            Address(residual), Slot((int)activation), Address(scales), Hold(weight.Scales!),
        ]);
    }

    /// <summary>A product's operand: the compute type, rows of whole 16-byte pieces.</summary>
    private Tensor AsOperand(in Tensor tensor, long depth)
    {
        long padded = Padded(depth);
        if (padded == depth)
            return AsComputeType(tensor);
        Tensor values = AsFloat32(tensor);
        long rows = tensor.Shape.ElementCount / depth;
        return ConvertRows(values, "convert_rows_fp32", _computeType, new Shape(rows, padded), depth, padded);
    }

    private Tensor AsComputeType(in Tensor tensor) => tensor.Type == _computeType
        ? tensor
        : ConvertRows(AsFloat32(tensor), "convert_rows_fp32", _computeType, tensor.Shape, tensor.Shape[^1], tensor.Shape[^1]);

    private Tensor AsFloat32(in Tensor tensor)
    {
        RequireFloat(tensor, 0, nameof(tensor));
        if (tensor.Type == ElementType.Float32)
            return tensor;
        long width = tensor.Shape.Rank == 0 ? 1 : tensor.Shape[^1];
        return ConvertRows(tensor, tensor.Type == ElementType.BFloat16 ? "convert_rows_bf16" : "convert_rows_fp16", ElementType.Float32, tensor.Shape, width, width);
    }

    private Tensor ConvertRows(in Tensor tensor, string from, ElementType type, in Shape shape, long width, long padded)
    {
        Tensor output = New(shape, type);
        string kernel = (from, type) switch
        {
            ("convert_rows_fp32", ElementType.BFloat16) => "convert_rows_fp32_bf16",
            ("convert_rows_fp32", ElementType.Float16) => "convert_rows_fp32_fp16",
            ("convert_rows_fp32", _) => "convert_rows_fp32",
            ("convert_rows_bf16", _) => "convert_rows_bf16_fp32",
            _ => "convert_rows_fp16_fp32",
        };
        Elements(kernel, shape.ElementCount, [Address(tensor), Address(output), Slot(shape.ElementCount), Slot((int)width), Slot((int)padded)]);
        return output;
    }

    /// <summary>A kernel with one thread an element.</summary>
    private void Elements(string kernel, long count, ReadOnlySpan<ulong> arguments)
    {
        const int threads = 256;
        if (count > 0)
            _plan.Add(new CudaStage(kernel), _device.Kernel(kernel, 0), (Blocks(count, threads), 1, 1), threads, 0, arguments);
    }

    private static long Blocks(long total, int size) => Math.Max(1, (total + size - 1) / size);
}
