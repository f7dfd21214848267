using ClipEngine.Models;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>How batch norms work in a forward pass of modules.</summary>
internal sealed class BatchNormMode
{
    /// <summary>Normalise by the batch's own statistics, as PyTorch's <c>train()</c>; else by the running ones.</summary>
    public bool UsesBatch { get; set; }

    /// <summary>Let the running statistics follow the batch's; off where the same images pass a second time.</summary>
    public bool UpdatesStatistics { get; set; } = true;
}

/// <summary>A convolution's kernel with the batch norm behind it kept, where models ask for the two folded into one.</summary>
internal sealed class BatchNormKernel(ParameterTree tree, string kernel, string norm, in WeightData data, WeightRole role, torch.Device device, BatchNormMode mode)
    : TorchWeight(data.Name, data.Shape, role, data.Type)
{
    /// <summary>torch.nn.BatchNorm2d's default: how much of a batch goes into the running statistics.</summary>
    private const double Momentum = 0.1;

    /// <summary>None of its own: the parameters belong to their modules.</summary>
    public override long ByteLength => 0;

    internal override TorchTensor Value => tree.Get(kernel, device);

    /// <summary>The batch norm of what the kernel made, <c>[n, channels, height, width]</c>.</summary>
    internal TorchTensor Normalize(TorchTensor x)
    {
        TorchTensor mean = tree.Get(norm + ".running_mean", device), variance = tree.Get(norm + ".running_var", device);
        bool updates = mode.UsesBatch && mode.UpdatesStatistics;
        if (updates)
        {
            using (torch.no_grad())
                tree.Find(norm + ".num_batches_tracked")?.AddInPlace(1L);
        }
        else if (mode.UsesBatch)
        {
            (mean, variance) = (mean.clone(), variance.clone());
        }

        return torch.nn.functional.batch_norm(x, mean, variance, tree.Get(norm + ".weight", device), tree.Get(norm + ".bias", device), mode.UsesBatch, Momentum, BatchNormFolding.Epsilon);
    }

    protected override void Dispose(bool disposing)
    {
        // It owns nothing.
    }
}

/// <summary>The folded bias beside a <see cref="BatchNormKernel"/>: what it would add is in the batch norm.</summary>
internal sealed class FoldedBias(in WeightData data, WeightRole role) : TorchWeight(data.Name, data.Shape, role, data.Type)
{
    public override long ByteLength => 0;

    internal override TorchTensor Value => throw new InvalidOperationException($"{Name} is part of its batch norm.");

    protected override void Dispose(bool disposing)
    {
        // It owns nothing.
    }
}
