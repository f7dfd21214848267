using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>MobileCLIP-B's patch embedding (timm's <c>ConvStem</c>): 4 x 4, 2 x 2 and 2 x 2 convolutions whose strides are their sides; batch norm and GELU behind the first two.</summary>
internal sealed class TimmStem
{
    private readonly (Weight Kernel, Weight Bias, int Stride)[] _layers = new (Weight, Weight, int)[3];

    /// <summary>Loads the stem.</summary>
    /// <param name="width">Of a token; the first two layers have a quarter of it.</param>
    /// <param name="weights">A reader below <c>patch_embed.backbone</c>.</param>
    public TimmStem(int width, WeightReader weights)
    {
        int quarter = width / 4;
        _layers[0] = ReadNormed(weights.Scope("0"), 3, quarter, 4);
        _layers[1] = ReadNormed(weights.Scope("1"), quarter, quarter, 2);
        _layers[2] = (weights.Read("2.conv.weight", WeightRole.Convolution, width, quarter, 2, 2), weights.Read("2.conv.bias", WeightRole.Vector, width), 2);
    }

    /// <summary>Enqueues the stem.</summary>
    /// <returns><c>[n, grid, width]</c>.</returns>
    public Tensor Forward(IPass pass, in Tensor pixels)
    {
        long mark = pass.EnterScope();
        Tensor x = pixels;
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            (Weight kernel, Weight bias, int stride) = _layers[layer];
            x = pass.Convolution(x, kernel, bias, new ConvolutionOptions { Stride = stride, Activation = layer < 2 ? Activation.Gelu : Activation.None });
        }

        return pass.LeaveScope(mark, pass.MapToTokens(x));
    }

    /// <summary>A convolution without bias and the batch norm behind it, folded: W' = W gamma / sqrt(var + eps), b' = beta - mean gamma / sqrt(var + eps).</summary>
    private static (Weight Kernel, Weight Bias, int Stride) ReadNormed(WeightReader weights, int inputs, int outputs, int side)
    {
        float[] kernel = weights.ReadValues("conv.weight", outputs, inputs, side, side);
        float[] gamma = weights.ReadValues("bn.weight", outputs), beta = weights.ReadValues("bn.bias", outputs);
        float[] mean = weights.ReadValues("bn.running_mean", outputs), variance = weights.ReadValues("bn.running_var", outputs);
        weights.AllowUnused("bn.num_batches_tracked"); // counts training steps
        float[] bias = new float[outputs];
        int taps = inputs * side * side;
        for (int o = 0; o < outputs; o++)
        {
            double factor = gamma[o] / Math.Sqrt(variance[o] + BatchNormFolding.Epsilon);
            bias[o] = (float)(beta[o] - (mean[o] * factor));
            foreach (ref float tap in kernel.AsSpan(o * taps, taps))
                tap = (float)(tap * factor);
        }

        return (weights.CreateFromValues(BatchNormFolding.KernelName("conv.weight", weights.Prefix + "bn"), WeightRole.Convolution, kernel, outputs, inputs, side, side),
            weights.CreateFromValues(BatchNormFolding.BiasName("bn"), WeightRole.Vector, bias, outputs), side);
    }
}
