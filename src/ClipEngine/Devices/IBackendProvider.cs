using ClipEngine.Tensors;

namespace ClipEngine.Devices;

/// <summary>A kind of device that models run on. Registered with <see cref="Backends.Register"/>.</summary>
public interface IBackendProvider
{
    /// <summary>What the names of its devices are or begin with, up to a colon: <c>cuda</c>.</summary>
    string Name { get; }

    /// <summary>How its devices are written, for messages: <c>cuda, cuda:N</c>.</summary>
    string DeviceNames { get; }

    /// <summary>Opens a device.</summary>
    /// <param name="device">The whole name, as the user wrote it.</param>
    /// <param name="options">How it computes.</param>
    /// <exception cref="BadInputException">There is no such device.</exception>
    /// <exception cref="NotSupportedException">It cannot be used here, or not as the options say.</exception>
    IBackend Open(string device, BackendOptions options);

    /// <summary>What there is of this kind. Never throws: what fails on the way is the state.</summary>
    DeviceList Find();
}

/// <summary>What there is of one kind of device.</summary>
/// <param name="State">One line: how many there are, or why there is none.</param>
/// <param name="Devices">Those that open; their descriptions have lines <c>name: value</c>.</param>
public sealed record DeviceList(string State, IReadOnlyList<(string Name, string Description)> Devices);
