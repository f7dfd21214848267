using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary>Every device that models run on, by its name: <c>cpu</c>, <c>cuda:0</c>, <c>torch:cpu</c>, <c>torch:cuda:0</c>. Thread-safe.</summary>
/// <example>
/// <code>
/// Backends.Register(new TorchBackendProvider()); // where ClipEngine.TorchSharp is referenced
/// using IBackend backend = Backends.Open("torch:cuda:0", new BackendOptions { ComputeType = ElementType.BFloat16 });
/// using ClipModel model = ClipModel.Load("ViT-B-32/laion2b_s34b_b79k", new ClipModelOptions { Backend = backend });
/// </code>
/// </example>
public static class Backends
{
    private static readonly Lock s_lock = new();
    private static IBackendProvider[] s_providers = [new CpuBackendProvider(), new CudaBackendProvider(), new AbsentTorchSharp()];

    /// <summary>The kinds of devices that are known, the default first.</summary>
    public static IReadOnlyList<IBackendProvider> Providers => Volatile.Read(ref s_providers);

    /// <summary>How devices are written, for help and messages: <c>cpu, cuda, cuda:N, torch ...</c>.</summary>
    public static string DeviceNames => string.Join(", ", Providers.Select(static provider => provider.DeviceNames));

    /// <summary>Adds a kind of device for the rest of the process; one of the same name is replaced.</summary>
    /// <param name="provider">The kind of device.</param>
    public static void Register(IBackendProvider provider)
    {
        ArgumentNullException.ThrowIfNull(provider);
        lock (s_lock)
        {
            int known = Array.FindIndex(s_providers, other => other.Name == provider.Name);
            IBackendProvider[] providers = known < 0 ? [.. s_providers, provider] : [.. s_providers];
            if (known >= 0)
                providers[known] = provider;
            Volatile.Write(ref s_providers, providers);
        }
    }

    /// <summary>Opens the device that is named; another one is never taken instead.</summary>
    /// <param name="device">A name as <see cref="DeviceNames"/> shows them.</param>
    /// <param name="options">Compute type and threads; null for fp32.</param>
    /// <returns>The backend, owned by the caller.</returns>
    /// <exception cref="BadInputException">There is no such device, it cannot be used here, or it does not compute in the type; the message says why and names what there is.</exception>
    public static IBackend Open(string device, BackendOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        options ??= new BackendOptions();
        IBackendProvider provider = Providers.FirstOrDefault(known => device == known.Name || device.StartsWith(known.Name + ":", StringComparison.Ordinal))
            ?? throw UnknownDevice(device);
        try
        {
            return provider.Open(device, options);
        }
        catch (NotSupportedException exception)
        {
            throw new BadInputException(device, $"cannot be used in {options.TypeName}: {exception.Message.TrimEnd('.')}.", "'clipengine devices' shows what there is; nothing falls back to another device.", exception);
        }
    }

    /// <summary>The refusal of a name that is no device's.</summary>
    internal static BadInputException UnknownDevice(string device) =>
        new(device, $"is not the name of a device; expected one of {DeviceNames}.", "'clipengine devices' shows what there is.");
}
