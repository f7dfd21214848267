using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// A convolution that was trained as a sum of branches and is one convolution at inference (arXiv:2206.04040): the branches are added up at
/// load, or the checkpoint holds their sum as <c>reparam_conv</c>. Sums are in double precision.
/// </summary>
internal sealed class BranchedConvolution
{
    private readonly int _outputs, _groupInputs, _side, _stride, _groups;
    private readonly double[] _kernel, _bias;
    private readonly WeightReader _weights;

    /// <summary>A convolution of zeros, to which branches are added.</summary>
    /// <param name="weights">A reader below the block.</param>
    /// <param name="inputs">Channels of the input.</param>
    /// <param name="outputs">Channels of the result; a multiple of <paramref name="groups"/>.</param>
    /// <param name="side">Of the kernel, odd.</param>
    /// <param name="stride">In pixels.</param>
    /// <param name="groups">Channel groups.</param>
    public BranchedConvolution(WeightReader weights, int inputs, int outputs, int side, int stride = 1, int groups = 1)
    {
        (_weights, _outputs, _side, _stride, _groups) = (weights, outputs, side, stride, groups);
        _groupInputs = inputs / groups;
        // Where only shapes are checked or counted, nothing is added up.
        _kernel = weights.TakesValues ? new double[checked(outputs * _groupInputs * side * side)] : [];
        _bias = new double[outputs];
    }

    /// <summary>The kernel of the fused block and its bias as the checkpoint has them.</summary>
    /// <returns>False where the checkpoint has branches.</returns>
    public static bool IsFused(WeightReader weights) => weights.Contains(Fused + ".weight");

    private const string Fused = "reparam_conv";

    /// <summary>A MobileOne block: k x k and 1 x 1 convolutions with batch norms, and a lone batch norm where the input has the result's shape.</summary>
    /// <param name="weights">A reader below the block.</param>
    /// <param name="inputs">Channels of the input.</param>
    /// <param name="outputs">Channels of the result.</param>
    /// <param name="side">Of the kernel.</param>
    /// <param name="stride">In pixels.</param>
    /// <param name="groups">Channel groups.</param>
    /// <param name="hasScale">Whether there is a 1 x 1 branch beside a larger kernel.</param>
    public static FusedConvolution ReadMobileOne(WeightReader weights, int inputs, int outputs, int side, int stride = 1, int groups = 1, bool hasScale = true)
    {
        var sum = new BranchedConvolution(weights, inputs, outputs, side, stride, groups);
        if (IsFused(weights))
            return sum.ReadFused();
        sum.AddMobileOne("", 1, hasScale, hasIdentity: inputs == outputs && stride == 1);
        return sum.Create();
    }

    /// <summary>Two convolutions with batch norms, one with a large kernel and one of 3 x 3, every output looking at one input.</summary>
    public static FusedConvolution ReadLargeKernel(WeightReader weights, int inputs, int outputs, int side, int stride)
    {
        const int Small = 3;
        var sum = new BranchedConvolution(weights, inputs, outputs, side, stride, inputs);
        if (IsFused(weights))
            return sum.ReadFused();
        sum.AddConvolution("large_conv", side, 1);
        sum.AddConvolution("small_conv", Small, 1);
        return sum.Create();
    }

    /// <summary>RepMixer: x + scale (mixer(x) - norm(x)), a depthwise convolution as a whole (arXiv:2303.14189, equation 2).</summary>
    public static FusedConvolution ReadMixer(WeightReader weights, int width, int side)
    {
        var sum = new BranchedConvolution(weights, width, width, side, 1, width);
        if (IsFused(weights))
            return sum.ReadFused();
        sum.AddMobileOne("mixer.", 1, hasScale: true, hasIdentity: true);
        sum.AddNorm("norm.identity", -1);
        float[] gamma = weights.ReadValues("layer_scale.gamma", width, 1, 1);
        sum.Scale(gamma);
        sum.AddIdentity();
        return sum.Create();
    }

    /// <summary>Positions by convolution: x + convolution(x), depthwise with a bias (arXiv:2102.10882).</summary>
    public static FusedConvolution ReadPositions(WeightReader weights, int width, int side)
    {
        var sum = new BranchedConvolution(weights, width, width, side, 1, width);
        if (IsFused(weights))
            return sum.ReadFused();
        sum.Add("pos_enc.weight", side, null, 1);
        float[] bias = weights.ReadValues("pos_enc.bias", width);
        for (int c = 0; c < width; c++)
            sum._bias[c] += bias[c];
        sum.AddIdentity();
        return sum.Create();
    }

    private FusedConvolution ReadFused() => FusedConvolution.Read(_weights, Fused, _outputs, _groupInputs, _side, _stride, _groups);

    private void AddMobileOne(string prefix, double sign, bool hasScale, bool hasIdentity)
    {
        AddConvolution($"{prefix}conv_kxk.0", _side, sign);
        if (hasScale && _side > 1)
            AddConvolution($"{prefix}conv_scale", 1, sign);
        if (hasIdentity)
            AddNorm($"{prefix}identity", sign);
    }

    /// <summary>A convolution <c>conv</c> and a batch norm <c>bn</c>; a smaller kernel stands in the middle of the larger one.</summary>
    private void AddConvolution(string name, int side, double sign)
    {
        (double[] factors, double[] shifts) = BatchNormFolding.Read(_weights, $"{name}.bn", _outputs);
        Add($"{name}.conv.weight", side, factors, sign);
        for (int o = 0; o < _outputs; o++)
            _bias[o] += sign * shifts[o];
    }

    /// <summary>A lone batch norm: a 1 x 1 kernel that takes its own channel.</summary>
    private void AddNorm(string name, double sign)
    {
        (double[] factors, double[] shifts) = BatchNormFolding.Read(_weights, name, _outputs);
        for (int o = 0; o < _outputs && _kernel.Length > 0; o++)
        {
            _kernel[Middle(o, o % _groupInputs)] += sign * factors[o];
            _bias[o] += sign * shifts[o];
        }
    }

    private void AddIdentity()
    {
        for (int o = 0; o < _outputs && _kernel.Length > 0; o++)
            _kernel[Middle(o, o % _groupInputs)] += 1;
    }

    private void Add(string name, int side, double[]? factors, double sign)
    {
        if (_kernel.Length == 0)
        {
            _weights.Require(name, new Shape(_outputs, _groupInputs, side, side));
            return;
        }

        float[] kernel = _weights.ReadValues(name, _outputs, _groupInputs, side, side);
        int edge = (_side - side) / 2;
        for (int i = 0; i < kernel.Length; i++)
        {
            int column = i % side, row = i / side % side, filter = i / side / side;
            _kernel[(((filter * _side) + row + edge) * _side) + column + edge] += sign * (factors?[filter / _groupInputs] ?? 1) * kernel[i];
        }
    }

    private void Scale(float[] gamma)
    {
        int taps = _kernel.Length / _outputs;
        for (int i = 0; i < _kernel.Length; i++)
            _kernel[i] *= gamma[i / taps];
        for (int o = 0; o < _outputs; o++)
            _bias[o] *= gamma[o];
    }

    private int Middle(int output, int input) => (((((output * _groupInputs) + input) * _side) + (_side / 2)) * _side) + (_side / 2);

    private FusedConvolution Create() => FusedConvolution.Create(_weights, "sum of its branches", () => [.. _kernel.Select(static value => (float)value)], [.. _bias.Select(static value => (float)value)],
        _outputs, _groupInputs, _side, _stride, _groups);
}

/// <summary>A convolution with bias over a map that is kept as tokens, padded by half its side; one of 1 x 1 is a linear layer.</summary>
internal sealed class FusedConvolution
{
    private readonly int _side, _stride, _groups;

    private FusedConvolution(Weight kernel, Weight bias, int side, int stride, int groups) => (Kernel, Bias, _side, _stride, _groups) = (kernel, bias, side, stride, groups);

    /// <summary>Its kernel.</summary>
    public Weight Kernel { get; }

    /// <summary>Its bias.</summary>
    public Weight Bias { get; }

    /// <summary>Reads one that the checkpoint holds as it is.</summary>
    public static FusedConvolution Read(WeightReader weights, string name, int outputs, int groupInputs, int side, int stride, int groups)
    {
        Weight kernel = IsLinear(side, stride, groups)
            ? weights.ReadAs($"{name}.weight", WeightRole.Linear, new Shape(outputs, groupInputs), outputs, groupInputs, 1, 1)
            : weights.Read($"{name}.weight", WeightRole.Convolution, outputs, groupInputs, side, side);
        return new FusedConvolution(kernel, weights.Read($"{name}.bias", WeightRole.Vector, outputs), side, stride, groups);
    }

    /// <summary>Makes one of values.</summary>
    public static FusedConvolution Create(WeightReader weights, string name, Func<float[]> kernel, float[] bias, int outputs, int groupInputs, int side, int stride, int groups) => new(
        IsLinear(side, stride, groups)
            ? weights.Compute($"{name}, weight", WeightRole.Linear, kernel, [], outputs, groupInputs)
            : weights.Compute($"{name}, weight", WeightRole.Convolution, kernel, [], outputs, groupInputs, side, side),
        weights.CreateFromValues($"{name}, bias", WeightRole.Vector, bias, outputs), side, stride, groups);

    /// <summary>Enqueues it.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="x"><c>[n, h w, inputs]</c>.</param>
    /// <param name="height">Rows of the map; becomes the result's.</param>
    /// <param name="width">Columns of the map; becomes the result's.</param>
    /// <param name="activation">Behind it.</param>
    /// <returns><c>[n, h w, outputs]</c> of the result's map.</returns>
    public Tensor Forward(IPass pass, in Tensor x, ref int height, ref int width, Activation activation = Activation.None)
    {
        if (Kernel.Role == WeightRole.Linear)
            return pass.Linear(x, Kernel, Bias, new Epilogue { Activation = activation });
        Tensor y = pass.ConvolveTokens(x, height, width, Kernel, Bias, new() { Stride = _stride, Padding = _side / 2, Groups = _groups, Activation = activation });
        (height, width) = (Reduced(height), Reduced(width));
        return y;
    }

    private int Reduced(int pixels) => ((pixels + (_side / 2 * 2) - _side) / _stride) + 1;

    private static bool IsLinear(int side, int stride, int groups) => side == 1 && stride == 1 && groups == 1;
}
