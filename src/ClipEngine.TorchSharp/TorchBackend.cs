using System.Globalization;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>
/// The models on TorchSharp tensors: libtorch's processor or one of its GPUs. For people who live in TorchSharp; the native backends
/// are faster and give the same bits for any batch, which this one does not.
/// </summary>
/// <remarks>
/// TorchSharp has a managed object for every tensor, so a pass allocates; it gives all of them back when it is disposed, and
/// <c>torch.Tensor.TotalCount</c> is then what it was before. On CUDA in fp32 the backend switches TensorFloat-32 off for the
/// process (<c>allow_tf32</c>): fp32 is the reference.
/// </remarks>
public sealed class TorchBackend : IBackend
{
    private readonly torch.Device _device;
    private bool _disposed;

    private TorchBackend(torch.Device device, ElementType computeType)
    {
        _device = device;
        ComputeType = computeType;
        Compute = TorchTensors.ScalarTypeOf(computeType);
        Stream = computeType == ElementType.Float64 ? torch.ScalarType.Float64 : torch.ScalarType.Float32;
        // libtorch's processor rounds the result of a lower product too, and has none at all for some types; a GPU's is what one asks for.
        Product = device.type == DeviceType.CPU ? Stream : Compute;
        Name = $"torch:{device}";
        Description = device.type == DeviceType.CPU
            ? $"TorchSharp {TorchLibraries.Version}, libtorch on {CpuInformation.ModelName}, {torch.get_num_threads()} threads"
            : $"TorchSharp {TorchLibraries.Version}, libtorch on {device}";
    }

    /// <summary><c>torch:cpu</c>, <c>torch:cuda:0</c>.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public ElementType ComputeType { get; }

    /// <inheritdoc/>
    public FeatureInvariance Invariance => FeatureInvariance.Bounded;

    /// <summary>libtorch chooses its algorithms by the batch, so that the order of summation changes with it: some units in the last place of the compute type.</summary>
    public double InvarianceBound => ComputeType switch
    {
        ElementType.Float64 => 2e-7, // features are read as fp32
        ElementType.Float32 => 1e-5,
        ElementType.Float16 => 4e-3,
        _ => 3e-2,
    };

    /// <summary>Where tensors live.</summary>
    internal torch.Device Device => _device;

    /// <summary>What the operands of products are rounded to.</summary>
    internal torch.ScalarType Compute { get; }

    /// <summary>What rounded operands are multiplied in.</summary>
    internal torch.ScalarType Product { get; }

    /// <summary>The type of everything between products.</summary>
    internal torch.ScalarType Stream { get; }

    /// <summary>Opens a device. Nothing falls back to another one.</summary>
    /// <param name="options">Device and compute type; null for the processor in fp32.</param>
    /// <exception cref="BadInputException">The device's name is none, or there is no such device.</exception>
    /// <exception cref="NotSupportedException">Libtorch cannot be loaded here, the message says why; the compute type is none of fp32, bf16, fp16 and fp64; or this libtorch cannot multiply in it on the device.</exception>
    public static TorchBackend Create(TorchBackendOptions? options = null)
    {
        options ??= new TorchBackendOptions();
        if (options.ComputeType is not (ElementType.Float32 or ElementType.BFloat16 or ElementType.Float16 or ElementType.Float64))
            throw new NotSupportedException($"TorchSharp computes in Float32, BFloat16, Float16 or Float64; asked for {options.ComputeType}.");
        if (options.Threads is { } threads)
            ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1, nameof(options));
        (DeviceType type, int index) = Parse(options.Device);
        torch.Device device = Open(type, index);
        if (options.Threads is { } count)
            torch.set_num_threads(count);
        if (type == DeviceType.CUDA && options.ComputeType == ElementType.Float32)
        {
            torch.backends.cuda.matmul.allow_tf32 = false;
            torch.backends.cudnn.allow_tf32 = false;
        }

        if (type != DeviceType.CPU)
            Probe(device, options.ComputeType);
        return new TorchBackend(device, options.ComputeType);
    }

    /// <inheritdoc/>
    public Weight CreateWeight(in WeightData data, WeightRole role)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!data.Type.IsFloatingPoint())
            throw new NotSupportedException($"{data.Name}: a weight's elements must be fp16, bf16, fp32 or fp64; found {data.Type}.");
        int? rank = role switch
        {
            WeightRole.Linear or WeightRole.LinearTransposed => 2,
            WeightRole.PatchEmbedding or WeightRole.Convolution => 4,
            _ => null,
        };
        if (rank is { } expected && data.Shape.Rank != expected)
            throw new ArgumentException($"{data.Name}: a {role} weight has {expected} dimensions; found {data.Shape}.", nameof(data));
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor stored = TorchTensors.FromMemory(data.Address, TorchTensors.Sizes(data.Shape), data.Type, _device);
        return new StoredTorchWeight(data, role, stored.to(TypeFor(role)).DetachFromDisposeScope());
    }

    /// <inheritdoc/>
    public TokenStore CreateTokenStore(in Shape shape)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new TorchTokenStore(shape, Stream, _device);
    }

    /// <inheritdoc/>
    public IPass BeginPass() => BeginTorchPass();

    /// <summary>Ends the use of the backend; weights belong to their models, and libtorch keeps its memory for the process.</summary>
    public void Dispose() => _disposed = true;

    /// <summary>The same pass as what it is, for modules.</summary>
    internal TorchPass BeginTorchPass()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new TorchPass(this);
    }

    /// <summary>The type that a weight of this role is computed with.</summary>
    internal torch.ScalarType TypeFor(WeightRole role) =>
        // The last projections are a thousandth of the work and their rounding goes straight into the features.
        role is WeightRole.Linear or WeightRole.Convolution or WeightRole.PatchEmbedding ? Compute : Stream;

    private static (DeviceType Type, int Index) Parse(string device)
    {
        switch (device)
        {
            case "cpu":
                return (DeviceType.CPU, -1);
            case "cuda":
                return (DeviceType.CUDA, 0);
            case not null when device.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(device.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out int index):
                return (DeviceType.CUDA, index);
            default:
                throw new BadInputException($"torch:{device}", "is not the name of a device; expected torch:cpu, torch:cuda or torch:cuda:N.");
        }
    }

    private static torch.Device Open(DeviceType type, int index)
    {
        if (TorchLibraries.FindMissing() is { } missing)
            throw new NotSupportedException(missing);
        if (type == DeviceType.CPU)
            return torch.TryInitializeDeviceType(type) ? new torch.Device(type, index) : throw new NotSupportedException("libtorch was loaded and refuses to start on this processor");
        if (TorchLibraries.FindMissingForCuda() is { } missingForCuda)
            throw new BadInputException($"torch:cuda:{index}", $"is not there: {missingForCuda}.");
        if (index >= torch.cuda.device_count())
            throw new BadInputException($"torch:cuda:{index}", $"there are {torch.cuda.device_count()} CUDA devices, counted from 0.");
        return new torch.Device(type, index);
    }

    /// <summary>Not every GPU multiplies every type: better said now than in the middle of a pass.</summary>
    private static void Probe(torch.Device device, ElementType type)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        try
        {
            TorchTensor one = torch.ones(new long[] { 2, 2 }, TorchTensors.ScalarTypeOf(type), device);
            torch.nn.functional.linear(one, one);
            one.reshape(1, 2, 2).matmul(one.reshape(1, 2, 2));
            torch.nn.functional.conv2d(one.reshape(1, 1, 2, 2), one.reshape(1, 1, 2, 2));
        }
        catch (ExternalException exception)
        {
            throw new NotSupportedException($"this libtorch cannot compute in {type} on {device}: {exception.Message.Split('\n')[0]}", exception);
        }
    }
}
