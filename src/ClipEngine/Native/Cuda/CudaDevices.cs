using System.Collections.Immutable;

namespace ClipEngine.Native;

/// <summary>GPUs that share the rows of a <see cref="Scoring.ProbeSweep"/>.</summary>
public sealed class CudaDevices : IDisposable
{
    private readonly ImmutableArray<CudaDevice> _devices;
    private volatile bool _isDisposed; // a device that something still lies on would let more lie on it

    private CudaDevices(CudaLibrary library, ImmutableArray<CudaDevice> devices, ImmutableArray<int> ordinals)
    {
        Library = library;
        _devices = devices;
        Ordinals = ordinals;
        Name = string.Join(',', ordinals.Select(static ordinal => $"cuda:{ordinal}"));
        Descriptions = [.. devices.Select(static device => device.Describe())];
    }

    /// <summary>As in <c>cuda:0,cuda:1</c>.</summary>
    public string Name { get; }

    /// <summary>The driver's numbers.</summary>
    public ImmutableArray<int> Ordinals { get; }

    /// <summary>How many.</summary>
    public int Count => _devices.Length;

    /// <summary>Of each: name, memory, driver, where the kernels came from, every step down; lines of <c>key: value</c>.</summary>
    public ImmutableArray<string> Descriptions { get; }

    internal CudaLibrary Library { get; }

    /// <summary>Opens devices. Nothing falls back to the processor.</summary>
    /// <param name="ordinals">The driver's numbers, each at most once; null for all devices.</param>
    /// <exception cref="NotSupportedException">There is no driver, no device, or no way to get kernels for one; says which step failed.</exception>
    /// <exception cref="BadInputException">There is no such device.</exception>
    /// <exception cref="ArgumentException">None, or the same one twice.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static CudaDevices Open(IReadOnlyCollection<int>? ordinals = null) => Open(ordinals, libraryPath: null);

    internal static CudaDevices Open(IReadOnlyCollection<int>? ordinals, string? libraryPath)
    {
        CudaLibrary library = CudaLibrary.Open(libraryPath);
        ImmutableArray<int> chosen = ordinals is null ? [.. Enumerable.Range(0, CudaDevice.Count(library))] : [.. ordinals];
        if (ordinals is null && chosen.IsEmpty)
            throw new NotSupportedException("The CUDA driver sees no device.");
        if (chosen.IsEmpty || chosen.Distinct().Count() != chosen.Length)
            throw new ArgumentException("Expected at least one device, and each only once.", nameof(ordinals));
        string? folder = libraryPath is null ? CudaDevice.KernelFolder(chosen: null) : null;
        var devices = new List<CudaDevice>();
        try
        {
            foreach (int ordinal in chosen)
                devices.Add(CudaDevice.Open(library, ordinal, folder));
            return new CudaDevices(library, [.. devices], chosen);
        }
        catch
        {
            devices.ForEach(static device => device.Dispose());
            throw;
        }
    }

    /// <summary>References on all devices, in their order.</summary>
    /// <exception cref="ObjectDisposedException">The devices are closed.</exception>
    internal ImmutableArray<HandleReference> Hold()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var held = ImmutableArray.CreateBuilder<HandleReference>(_devices.Length);
        try
        {
            foreach (CudaDevice device in _devices)
                held.Add(new HandleReference(device));

            return held.MoveToImmutable();
        }
        catch
        {
            Release(held.ToImmutable());
            throw;
        }
    }

    /// <summary>Gives references back.</summary>
    internal static void Release(ImmutableArray<HandleReference> held)
    {
        foreach (HandleReference device in held)
            device.Dispose();
    }

    /// <summary>Closes the devices. Each stays open as long as sweeps or features lie on it.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        foreach (CudaDevice device in _devices)
            device.Dispose();
    }
}
