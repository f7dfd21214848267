using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Models;

/// <summary>
/// How the weights are called that a convolution and the batch norm behind it are folded into at load. A backend that trains finds by
/// these names what they were folded from.
/// </summary>
internal static class BatchNormFolding
{
    /// <summary>torch.nn.BatchNorm2d's default, which no open model overrides.</summary>
    public const double Epsilon = 1e-5;

    /// <summary>Reads a batch norm as what it is at inference, y = factor x + shift for each channel: gamma / sqrt(variance + epsilon), and beta - mean factor.</summary>
    /// <param name="weights">A reader above <paramref name="norm"/>.</param>
    /// <param name="norm">The batch norm's key.</param>
    /// <param name="channels">How many.</param>
    public static (double[] Factors, double[] Shifts) Read(WeightReader weights, string norm, int channels)
    {
        ArgumentNullException.ThrowIfNull(weights);
        float[] gamma = weights.ReadValues($"{norm}.weight", channels), beta = weights.ReadValues($"{norm}.bias", channels);
        float[] mean = weights.ReadValues($"{norm}.running_mean", channels), variance = weights.ReadValues($"{norm}.running_var", channels);
        weights.AllowUnused($"{norm}.num_batches_tracked"); // counts training steps
        double[] factors = new double[channels], shifts = new double[channels];
        for (int c = 0; c < channels; c++)
        {
            factors[c] = gamma[c] / Math.Sqrt(variance[c] + Epsilon);
            shifts[c] = beta[c] - (mean[c] * factors[c]);
        }

        return (factors, shifts);
    }

    /// <summary>Reads a convolution without bias and the batch norm behind it as one convolution with bias.</summary>
    /// <param name="weights">A reader above both.</param>
    /// <param name="convolution">The convolution's key.</param>
    /// <param name="norm">The batch norm's key.</param>
    /// <param name="dimensions">The kernel's sizes, outputs first.</param>
    public static (Weight Kernel, Weight Bias) ReadConvolution(WeightReader weights, string convolution, string norm, params ReadOnlySpan<long> dimensions)
    {
        ArgumentNullException.ThrowIfNull(weights);
        int outputs = (int)dimensions[0];
        if (!weights.TakesValues)
        {
            (double[] _, double[] absent) = Read(weights, norm, outputs);
            return (weights.Read($"{convolution}.weight", WeightRole.Convolution, dimensions), weights.CreateFromValues(BiasName(norm), WeightRole.Vector, new float[absent.Length], outputs));
        }

        float[] kernel = weights.ReadValues($"{convolution}.weight", dimensions);
        (double[] factors, double[] shifts) = Read(weights, norm, outputs);
        int taps = kernel.Length / outputs;
        for (int i = 0; i < kernel.Length; i++)
            kernel[i] = (float)(kernel[i] * factors[i / taps]);
        return (weights.CreateFromValues(KernelName($"{convolution}.weight", weights.Prefix + norm), WeightRole.Convolution, kernel, dimensions),
            weights.CreateFromValues(BiasName(norm), WeightRole.Vector, [.. shifts.Select(static shift => (float)shift)], outputs));
    }

    private const string KernelMiddle = ", folded with ";
    private const string BiasEnd = ".bias, folded";

    /// <summary>The folded kernel's name.</summary>
    /// <param name="kernel">The convolution's key.</param>
    /// <param name="norm">The batch norm's whole path; its tensors are <c>norm.weight</c>, <c>.bias</c>, <c>.running_mean</c>, <c>.running_var</c> and <c>.num_batches_tracked</c>.</param>
    public static string KernelName(string kernel, string norm) => kernel + KernelMiddle + norm;

    /// <summary>The folded bias' name.</summary>
    /// <param name="norm">The batch norm's path.</param>
    public static string BiasName(string norm) => norm + BiasEnd;

    /// <summary>Takes a folded kernel's name apart.</summary>
    /// <returns>False where it is another weight's.</returns>
    public static bool TryParseKernel(string name, out string kernel, out string norm)
    {
        ArgumentNullException.ThrowIfNull(name);
        int middle = name.IndexOf(KernelMiddle, StringComparison.Ordinal);
        (kernel, norm) = middle < 0 ? ("", "") : (name[..middle], name[(middle + KernelMiddle.Length)..]);
        return middle >= 0;
    }

    /// <summary>Whether a weight is a folded bias.</summary>
    public static bool IsBias(string name) => name is not null && name.EndsWith(BiasEnd, StringComparison.Ordinal);
}
