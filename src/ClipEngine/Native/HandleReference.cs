using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary>A reference on a handle for the length of a call: the handle may be disposed meanwhile and is released when the last reference is.</summary>
internal readonly struct HandleReference : IDisposable
{
    private readonly SafeHandle? _handle;

    /// <summary>Takes the reference.</summary>
    /// <param name="handle">Null for none: <see cref="Value"/> is then 0.</param>
    /// <exception cref="ObjectDisposedException">The handle is disposed.</exception>
    internal HandleReference(SafeHandle? handle)
    {
        bool isAdded = false;
        handle?.DangerousAddRef(ref isAdded);
        _handle = handle;
    }

    /// <summary>The native object.</summary>
    internal nint Value => _handle?.DangerousGetHandle() ?? 0;

    /// <summary>Gives the reference back; exactly once.</summary>
    public void Dispose() => _handle?.DangerousRelease();
}
