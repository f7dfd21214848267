namespace ClipEngine.Tensors;

/// <summary>Operations written in finer ones: what every backend has without writing anything, and falls back to where its own form does not reach.</summary>
internal static class ComposedOperations
{
    /// <summary><see cref="IPass.TransformerBlock"/> in either order of its norms.</summary>
    public static Tensor TransformerBlock(IPass pass, in Tensor input, TransformerBlock block, in AttentionMask mask)
    {
        OperationShapes.TransformerBlock(input, block, mask);
        long mark = pass.EnterScope();
        return pass.LeaveScope(mark, Finish(pass, Attend(pass, input, block, mask), input, block));
    }

    /// <summary><see cref="IPass.TransformerBlockToken"/> in either order of its norms.</summary>
    public static Tensor TransformerBlockToken(IPass pass, in Tensor input, in Tensor indices, TransformerBlock block, in AttentionMask mask)
    {
        OperationShapes.TransformerBlock(input, block, mask);
        long mark = pass.EnterScope();
        Tensor attended = pass.SelectTokens(Attend(pass, input, block, mask), indices);
        return pass.LeaveScope(mark, Finish(pass, attended, pass.SelectTokens(input, indices), block));
    }

    /// <summary><see cref="IPass.TransformerStack"/>.</summary>
    public static Tensor TransformerStack(IPass pass, in Tensor input, ReadOnlySpan<TransformerBlock> blocks, in AttentionMask mask, in Tensor select)
    {
        if (blocks.IsEmpty)
            throw new ArgumentException("A stack has at least one block.", nameof(blocks));
        long mark = pass.EnterScope();
        Tensor x = input;
        int whole = select.Exists ? blocks.Length - 1 : blocks.Length;
        foreach (TransformerBlock block in blocks[..whole])
            x = pass.ReleaseAllBut(mark, pass.TransformerBlock(x, block, mask));
        if (select.Exists)
            x = pass.TransformerBlockToken(x, select, blocks[^1], mask);
        return pass.LeaveScope(mark, x);
    }

    /// <summary><see cref="IPass.ConvolveTokens"/> by way of a map.</summary>
    public static Tensor ConvolveTokens(IPass pass, in Tensor tokens, int height, int width, Weight kernel, Weight? bias, in ConvolutionOptions options)
    {
        (int rows, int columns) = OperationShapes.ConvolveTokens(tokens, height, width, kernel, bias, options);
        long mark = pass.EnterScope();
        Tensor residual = options.Residual.Exists ? pass.TokensToMap(options.Residual, rows, columns) : default;
        Tensor map = pass.Convolution(pass.TokensToMap(tokens, height, width), kernel, bias, options with { Residual = residual });
        return pass.LeaveScope(mark, pass.MapToTokens(map));
    }

    /// <summary><see cref="IPass.ConvolutionStack"/>.</summary>
    public static Tensor ConvolutionStack(IPass pass, in Tensor tokens, int height, int width, ReadOnlySpan<ConvolutionBlock> blocks)
    {
        OperationShapes.ConvolutionStack(tokens, height, width, blocks);
        long mark = pass.EnterScope();
        Tensor x = tokens;
        foreach (ConvolutionBlock block in blocks)
        {
            Tensor mixed = block.MixerKernel is null ? x : pass.ConvolveTokens(x, height, width, block.MixerKernel, block.MixerBias, ConvolutionBlock.OptionsOf(block.MixerKernel));
            Tensor y = pass.ConvolveTokens(mixed, height, width, block.Kernel, block.Bias, ConvolutionBlock.OptionsOf(block.Kernel));
            if (block.NormWeight is not null)
                y = pass.LayerNorm(y, block.NormWeight, block.NormBias!, block.Epsilon);
            y = pass.Linear(y, block.ExpandWeight, block.ExpandBias, new Epilogue { Activation = block.Activation });
            x = pass.ReleaseAllBut(mark, pass.Linear(y, block.ContractWeight, block.ContractBias, new Epilogue { Scale = block.LayerScale, Residual = mixed }));
        }

        return pass.LeaveScope(mark, x);
    }

    private static Tensor Attend(IPass pass, in Tensor input, TransformerBlock block, in AttentionMask mask)
    {
        Tensor normed = block.NormPlacement == NormPlacement.Before ? pass.LayerNorm(input, block.Norm1Weight, block.Norm1Bias, block.Epsilon) : input;
        Tensor queryKeyValue = pass.Linear(normed, block.InProjectionWeight, block.InProjectionBias);
        return pass.SelfAttention(queryKeyValue, block.Heads, mask);
    }

    /// <summary>What follows attention in a block: its output projection, the sums, the MLP.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="attended"><c>[n, t, w]</c>.</param>
    /// <param name="input">What went into the block, the same shape.</param>
    /// <param name="block">The block.</param>
    internal static Tensor Finish(IPass pass, in Tensor attended, in Tensor input, TransformerBlock block)
    {
        bool isBefore = block.NormPlacement == NormPlacement.Before;
        Tensor x = pass.Linear(attended, block.OutProjectionWeight, block.OutProjectionBias, new Epilogue { Scale = block.LayerScale1, Residual = input });
        Tensor normed = pass.LayerNorm(x, isBefore ? block.Norm2Weight : block.Norm1Weight, isBefore ? block.Norm2Bias : block.Norm1Bias, block.Epsilon);
        Tensor hidden = pass.Linear(normed, block.ExpandWeight, block.ExpandBias, new Epilogue { Activation = block.Activation });
        x = pass.Linear(hidden, block.ContractWeight, block.ContractBias, new Epilogue { Scale = block.LayerScale2, Residual = isBefore ? x : normed });
        return isBefore ? x : pass.LayerNorm(x, block.Norm2Weight, block.Norm2Bias, block.Epsilon);
    }
}
