using ClipEngine.Devices;
using ClipEngine.Tensors;
using TorchSharp;

namespace ClipEngine.TorchSharp;

/// <summary><c>torch:cpu</c> and <c>torch:cuda:N</c>: TorchSharp's devices for <see cref="Backends"/>.</summary>
public sealed class TorchBackendProvider : IBackendProvider
{
    /// <inheritdoc/>
    public string Name => "torch";

    /// <inheritdoc/>
    public string DeviceNames => "torch:cpu, torch:cuda:N";

    /// <inheritdoc/>
    public IBackend Open(string device, BackendOptions options)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(options);
        if (options.Tf32 || options.Fp8)
            throw new NotSupportedException($"TorchSharp's devices do not compute in {options.TypeName}");
        string own = device == Name ? "cpu" : device[(Name.Length + 1)..];
        return TorchBackend.Create(new TorchBackendOptions { Device = own, ComputeType = options.ComputeType, Threads = options.Threads });
    }

    /// <inheritdoc/>
    public DeviceList Find()
    {
        if (TorchLibraries.FindMissing() is { } missing)
            return new DeviceList($"not available: {missing}", []);
        var devices = new List<(string, string)> { ("torch:cpu", Describe("cpu")) };
        string? noGpu = TorchLibraries.FindMissingForCuda();
        for (int i = 0; noGpu is null && i < torch.cuda.device_count(); i++)
            devices.Add(($"torch:cuda:{i}", Describe($"cuda:{i}")));
        return new DeviceList($"{devices.Count} device{(devices.Count == 1 ? "" : "s")}{(noGpu is null ? "" : $"; no torch:cuda: {noGpu}")}", devices);
    }

    private static string Describe(string device)
    {
        try
        {
            using TorchBackend backend = TorchBackend.Create(new TorchBackendOptions { Device = device });
            return $"runs: {backend.Description}\ninvariance: features depend on the batch and on the threads by up to {backend.InvarianceBound:R} in fp32";
        }
        catch (Exception exception) when (exception is NotSupportedException or BadInputException)
        {
            return $"not available: {exception.Message}";
        }
    }
}
