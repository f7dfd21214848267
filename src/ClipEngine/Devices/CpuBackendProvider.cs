using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary><c>cpu</c>: the native kernels on this processor.</summary>
internal sealed class CpuBackendProvider : IBackendProvider
{
    public string Name => "cpu";

    public string DeviceNames => "cpu";

    public IBackend Open(string device, BackendOptions options)
    {
        if (device != Name)
            throw Backends.UnknownDevice(device);
        if (options.Tf32 || options.Fp8)
            throw new NotSupportedException($"{options.TypeName} is computed by GPUs only");
        return CpuBackend.Create(new CpuBackendOptions { ComputeType = options.ComputeType, Threads = options.Threads, InstructionSet = options.InstructionSet });
    }

    public DeviceList Find() => new("1 device", [(Name, $"name: {CpuInformation.ModelName}\ninstruction set: {CpuInformation.InstructionSet}")]);
}
