namespace ClipEngine.Native;

/// <summary>What the CUDA driver sees, and why nothing where it sees nothing.</summary>
internal static class CudaInformation
{
    /// <summary>Every device that opens, with what <see cref="CudaBackend.Description"/> would say of it, and the memory that is free.</summary>
    /// <param name="state">One line: how many devices there are, or the step that failed on the way to them.</param>
    /// <returns>Name (<c>cuda:0</c>) and description; empty where there is none.</returns>
    public static IReadOnlyList<(string Name, string Description)> FindDevices(out string state)
    {
        var devices = new List<(string, string)>();
        try
        {
            CudaLibrary library = CudaLibrary.Open(path: null);
            int count = CudaDevice.Count(library);
            for (int ordinal = 0; ordinal < count; ordinal++)
            {
                using CudaBackend backend = CudaBackend.Create(new CudaBackendOptions { Device = ordinal });
                devices.Add((backend.Name, backend.Device.Describe()));
            }

            state = count == 1 ? "1 device" : $"{count} devices";
        }
        catch (Exception exception) when (exception is NotSupportedException or NativeLibraryException or InsufficientMemoryException or BadInputException)
        {
            state = $"not available: {exception.Message}";
        }

        return devices;
    }
}
