using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>
/// What .NET does not pass on of files and memory and both systems have: <see cref="Linux"/> and <see cref="Windows"/> answer, each in its own way.
/// On another system the callers do without.
/// </summary>
internal static class Platform
{
    /// <summary>The status of a path, links followed, or null where there is nothing or it cannot be told.</summary>
    /// <exception cref="IOException">The disk failed: whether something is there is not known.</exception>
    public static FileStatus? GetStatus(string path) => OperatingSystem.IsWindows() ? Windows.GetStatus(path) : Linux.GetStatus(path);

    /// <summary>The status of an open file, or null where it cannot be told.</summary>
    public static FileStatus? GetStatus(SafeFileHandle handle) => OperatingSystem.IsWindows() ? Windows.GetStatus(handle) : Linux.GetStatus(handle);

    /// <summary>Takes the pages of a mapped range out of resident memory; they come back from the file when touched again.</summary>
    public static void ReleasePages(nint address, long length)
    {
        if (OperatingSystem.IsWindows())
            Windows.ReleasePages(address, length);
        else
            Linux.ReleasePages(address, length);
    }

    /// <summary>Memory of its own pages, which goes back to the system when it is freed; 0 where there is none.</summary>
    public static nint AllocatePages(long length) => OperatingSystem.IsWindows() ? Windows.AllocatePages(length) : Linux.AllocatePages(length);

    /// <summary>Gives back what <see cref="AllocatePages"/> gave.</summary>
    public static void FreePages(nint address, long length)
    {
        if (OperatingSystem.IsWindows())
            Windows.FreePages(address);
        else
            Linux.FreePages(address, length);
    }

    /// <summary>Whether an exception's result code says that a disk, a quota or the system's memory failed, and not that a name is wrong.</summary>
    public static bool IsDiskFailure(int result) => OperatingSystem.IsWindows() ? Windows.IsDiskFailure(result) : Linux.IsDiskFailure(result);

    /// <summary>Whether it says that there is no room: a full disk, or a quota that is used up.</summary>
    public static bool IsDiskFull(int result) => OperatingSystem.IsWindows() ? Windows.IsDiskFull(result) : Linux.IsDiskFull(result);

    /// <summary>Whether a file could not be opened because another process, or another part of this one, has it open for itself.</summary>
    public static bool IsHeldByAnother(IOException exception) => exception.HResult == (OperatingSystem.IsWindows() ? Windows.SharingViolation : Linux.WouldBlock);

    /// <summary>Ends the process at once: no destructor runs, no thread is waited for.</summary>
    public static void EndProcess(int code)
    {
        if (OperatingSystem.IsWindows())
            Windows.EndProcess(code);
        else if (OperatingSystem.IsLinux())
            Linux.EndProcess(code);
        else
            Environment.Exit(code);
    }
}
