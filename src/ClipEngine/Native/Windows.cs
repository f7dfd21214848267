using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>What Windows knows about files and memory and .NET does not pass on.</summary>
/// <remarks>
/// What <see cref="Linux"/> has beyond this is not needed here: NTFS writes its folders by a journal, closing a file that was flushed has nothing
/// to report, a process that has ended leaves nothing behind, and none is started to ignore a signal.
/// </remarks>
[SupportedOSPlatform("windows")]
internal static unsafe partial class Windows
{
    /// <summary>ERROR_SHARING_VIOLATION as an exception's result code: another one has the file open.</summary>
    public const int SharingViolation = unchecked((int)0x80070020);

    private const uint ShareAll = 7; // FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE
    private const uint OpenExisting = 3; // OPEN_EXISTING
    private const uint FoldersToo = 0x02000000; // FILE_FLAG_BACKUP_SEMANTICS
    private const uint Folder = 0x10; // FILE_ATTRIBUTE_DIRECTORY
    private const int DiskType = 1, CharacterType = 2, PipeType = 3; // FILE_TYPE_...
    private const int BasicInformation = 0; // FileBasicInfo
    private const uint ReserveAndCommit = 0x3000; // MEM_RESERVE | MEM_COMMIT
    private const uint ReadAndWrite = 4; // PAGE_READWRITE
    private const uint Release = 0x8000; // MEM_RELEASE
    private const long UnixEpoch = 116444736000000000; // 1970 in units of 100 ns since 1601
    private const string PipePrefix = @"\\.\pipe\";

    /// <summary>The status of a path, links followed, or null where there is nothing or it cannot be told.</summary>
    /// <exception cref="IOException">The disk failed: whether something is there is not known.</exception>
    public static FileStatus? GetStatus(string path)
    {
        string full;
        try
        {
            full = Path.GetFullPath(path);
        }
        catch (ArgumentException)
        {
            return null; // no name at all
        }

        // Opening a pipe, even for nothing but its status, is a client's connection to it.
        if (full.StartsWith(PipePrefix, StringComparison.OrdinalIgnoreCase))
            return new FileStatus(FileKind.NamedPipe, 0, 0, 0, 0, 0);
        using SafeFileHandle handle = CreateFile(Extended(full), access: 0, ShareAll, 0, OpenExisting, FoldersToo, 0);
        if (!handle.IsInvalid)
            return GetStatus(handle);
        int error = Marshal.GetLastPInvokeError();
        return IsDiskFailure(ToResult(error)) ? throw new IOException($"{path}: its status could not be read: {Marshal.GetPInvokeErrorMessage(error)}.", ToResult(error)) : null;
    }

    /// <summary>The status of an open file, or null where it cannot be told.</summary>
    public static FileStatus? GetStatus(SafeFileHandle handle)
    {
        switch (GetFileType(handle))
        {
            case CharacterType: return new FileStatus(FileKind.Device, 0, 0, 0, 0, 0);
            case PipeType: return new FileStatus(FileKind.NamedPipe, 0, 0, 0, 0, 0);
            case DiskType: break;
            default: return null;
        }

        FileInformation file;
        BasicTimes times;
        if (GetFileInformation(handle, &file) == 0 || GetFileInformationEx(handle, BasicInformation, &times, (uint)sizeof(BasicTimes)) == 0)
            return null;
        return new FileStatus(
            (file.Attributes & Folder) != 0 ? FileKind.Folder : FileKind.Regular,
            file.VolumeSerialNumber,
            ((ulong)file.FileIndexHigh << 32) | file.FileIndexLow,
            (long)(((ulong)file.FileSizeHigh << 32) | file.FileSizeLow),
            ToNanoseconds(times.LastWrite),
            ToNanoseconds(times.Change));
    }

    /// <summary>Whether an exception's result code says that a disk, a quota or the system's memory failed, and not that a name is wrong.</summary>
    public static bool IsDiskFailure(int result) => (result & 0xFFFF0000) == 0x80070000 &&
        (result & 0xFFFF) is 4 or 8 or 14 or 19 or 21 or 23 or 29 or 30 or 31 or 39 or 112 or 1117 or 1295 or 1392 or 1450 or 1455;
    // TOO_MANY_OPEN_FILES, NOT_ENOUGH_MEMORY, OUTOFMEMORY, WRITE_PROTECT, NOT_READY, CRC, WRITE_FAULT, READ_FAULT, GEN_FAILURE, HANDLE_DISK_FULL,
    // DISK_FULL, IO_DEVICE, DISK_QUOTA_EXCEEDED, FILE_CORRUPT, NO_SYSTEM_RESOURCES, COMMITMENT_LIMIT

    /// <summary>Whether it says that there is no room.</summary>
    public static bool IsDiskFull(int result) => result is unchecked((int)0x80070027) or unchecked((int)0x80070070) or unchecked((int)0x8007050F); // HANDLE_DISK_FULL, DISK_FULL, DISK_QUOTA_EXCEEDED

    /// <summary>Takes the pages of a mapped range out of the working set; they come back from the file when touched again.</summary>
    // Unlocking pages that are not locked does just that, and says that they were not.
    public static void ReleasePages(nint address, long length) => _ = VirtualUnlock(address, (nuint)length);

    /// <summary>Memory of its own pages, zeros at first.</summary>
    /// <returns>The address, or 0 where the memory is not there.</returns>
    public static nint AllocatePages(long length) => VirtualAlloc(0, (nuint)length, ReserveAndCommit, ReadAndWrite);

    /// <summary>Gives back what <see cref="AllocatePages"/> gave.</summary>
    public static void FreePages(nint address) => _ = VirtualFree(address, 0, Release);

    /// <summary>Ends the process at once: no destructor runs, no thread is waited for.</summary>
    public static void EndProcess(int code) => _ = TerminateProcess(-1, (uint)code);

    private static int ToResult(int error) => unchecked((int)0x80070000) | error;

    private static long ToNanoseconds(long time) => unchecked((time - UnixEpoch) * 100);

    // Names beyond 260 characters, and such as end in a dot, are taken as they are behind this prefix. A device (\\.\NUL) has none.
    private static string Extended(string full) =>
        full.StartsWith(@"\\.\", StringComparison.Ordinal) || full.StartsWith(@"\\?\", StringComparison.Ordinal) ? full
        : full.StartsWith(@"\\", StringComparison.Ordinal) ? @"\\?\UNC\" + full[2..]
        : @"\\?\" + full;

    [LibraryImport("kernel32", EntryPoint = "CreateFileW", StringMarshalling = StringMarshalling.Utf16, SetLastError = true)]
    private static partial SafeFileHandle CreateFile(string path, uint access, uint share, nint security, uint disposition, uint flags, nint template);

    [LibraryImport("kernel32", EntryPoint = "GetFileType")]
    private static partial int GetFileType(SafeFileHandle file);

    [LibraryImport("kernel32", EntryPoint = "GetFileInformationByHandle")]
    private static partial int GetFileInformation(SafeFileHandle file, FileInformation* information);

    [LibraryImport("kernel32", EntryPoint = "GetFileInformationByHandleEx")]
    private static partial int GetFileInformationEx(SafeFileHandle file, int kind, BasicTimes* information, uint size);

    [LibraryImport("kernel32")]
    private static partial int VirtualUnlock(nint address, nuint length);

    [LibraryImport("kernel32")]
    private static partial nint VirtualAlloc(nint address, nuint length, uint kind, uint protection);

    [LibraryImport("kernel32")]
    private static partial int VirtualFree(nint address, nuint length, uint kind);

    [LibraryImport("kernel32")]
    private static partial int TerminateProcess(nint process, uint code);

    /// <summary>BY_HANDLE_FILE_INFORMATION; its times are halves that are not aligned.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct FileInformation
    {
        public uint Attributes;
        public uint CreationLow;
        public uint CreationHigh;
        public uint AccessLow;
        public uint AccessHigh;
        public uint WriteLow;
        public uint WriteHigh;
        public uint VolumeSerialNumber;
        public uint FileSizeHigh;
        public uint FileSizeLow;
        public uint Links;
        public uint FileIndexHigh;
        public uint FileIndexLow;
    }

    /// <summary>FILE_BASIC_INFO, in units of 100 ns since 1601.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct BasicTimes
    {
        public long Creation;
        public long LastAccess;
        public long LastWrite;
        public long Change;
        public uint Attributes;
    }
}
