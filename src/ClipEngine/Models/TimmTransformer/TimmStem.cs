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

    private static (Weight Kernel, Weight Bias, int Stride) ReadNormed(WeightReader weights, int inputs, int outputs, int side)
    {
        (Weight kernel, Weight bias) = BatchNormFolding.ReadConvolution(weights, "conv", "bn", outputs, inputs, side, side);
        return (kernel, bias, side);
    }
}
