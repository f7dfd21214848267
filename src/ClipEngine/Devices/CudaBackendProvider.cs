using ClipEngine.Files;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary><c>cuda:N</c>: the native kernels on a GPU of NVIDIA's.</summary>
internal sealed class CudaBackendProvider : IBackendProvider
{
    public string Name => "cuda";

    public string DeviceNames => "cuda, cuda:N";

    public IBackend Open(string device, BackendOptions options)
    {
        int ordinal = 0;
        if (device != Name && !NumberText.TryParse(device.AsSpan(Name.Length + 1), out ordinal))
            throw Backends.UnknownDevice(device);
        if (options.Threads is { } threads)
            NativeThreads.Count = threads; // decoding and tokenising are the processor's work all the same
        return CudaBackend.Create(new CudaBackendOptions { ComputeType = options.ComputeType, Device = ordinal, Tf32 = options.Tf32, Fp8 = options.Fp8 });
    }

    public DeviceList Find()
    {
        IReadOnlyList<(string Name, string Description)> devices = CudaInformation.FindDevices(out string state);
        return new DeviceList(state, devices);
    }
}
