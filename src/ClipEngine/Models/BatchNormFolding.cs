namespace ClipEngine.Models;

/// <summary>
/// How the weights are called that a convolution and the batch norm behind it are folded into at load. A backend that trains finds by
/// these names what they were folded from.
/// </summary>
internal static class BatchNormFolding
{
    /// <summary>torch.nn.BatchNorm2d's default, which no open model overrides.</summary>
    public const double Epsilon = 1e-5;

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
