using System.Collections.Immutable;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>Owns a sweep or features on several devices, and keeps the devices open as long as it is there.</summary>
internal sealed unsafe class CudaDevicesObject : SafeHandleZeroOrMinusOneIsInvalid
{
    private readonly delegate* unmanaged<nint, void> _destroy;
    private readonly ImmutableArray<HandleReference> _devices;

    /// <summary>Takes over what was made.</summary>
    /// <param name="native">It.</param>
    /// <param name="destroy">Destroys it.</param>
    /// <param name="devices">References on what it lies on; they are given back behind it.</param>
    internal CudaDevicesObject(nint native, delegate* unmanaged<nint, void> destroy, ImmutableArray<HandleReference> devices)
        : base(ownsHandle: true)
    {
        _destroy = destroy;
        _devices = devices;
        SetHandle(native);
    }

    protected override bool ReleaseHandle()
    {
        _destroy(handle);
        foreach (HandleReference device in _devices)
            device.Dispose();
        return true;
    }
}
