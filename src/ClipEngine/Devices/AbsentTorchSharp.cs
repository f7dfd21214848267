using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary>Stands in the place of TorchSharp's devices in a program without ClipEngine.TorchSharp, and says how to get them.</summary>
internal sealed class AbsentTorchSharp : IBackendProvider
{
    public string Name => "torch";

    public string DeviceNames => "torch:cpu, torch:cuda:N";

    public IBackend Open(string device, BackendOptions options) => throw new NotSupportedException(State());

    public DeviceList Find() => new($"not available: {State()}", []);

    private static string State() => TorchSharpRequirements.FindMissing()
        ?? "this program comes without TorchSharp; './clipengine VERB --device torch:cpu ...' in a checkout builds and starts one that has it, and a program of your own references ClipEngine.TorchSharp and registers its TorchBackendProvider";
}
