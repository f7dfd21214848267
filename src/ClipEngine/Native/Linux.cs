using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Native;

/// <summary>What the C library of Linux knows about files and .NET does not pass on. Everywhere else the callers do without.</summary>
internal static unsafe partial class Linux
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private const int EmptyPath = 0x1000; // AT_EMPTY_PATH: the descriptor itself
    private const uint BasicStatistics = 0x7ff; // STATX_BASIC_STATS
    private const int DoNotNeed = 4; // MADV_DONTNEED
    private const int ReadAndWrite = 3; // PROT_READ | PROT_WRITE
    private const int ReadOnly = 0; // O_RDONLY
    private const int CloseOnExecute = 0x80000; // O_CLOEXEC
    private const int Interrupted = 4; // EINTR

    /// <summary>EAGAIN: another one holds the lock.</summary>
    public const int WouldBlock = 11;

    private const int InvalidArgument = 22; // EINVAL
    private const int NotSupported = 95; // EOPNOTSUPP
    private const int PrivateAndAnonymous = 0x22; // MAP_PRIVATE | MAP_ANONYMOUS

    /// <summary>The status of a path, symbolic links followed, or null where there is nothing or it cannot be told.</summary>
    /// <exception cref="IOException">The disk failed: whether something is there is not known.</exception>
    public static FileStatus? GetStatus(string path)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        StatX status;
        if (Statx(CurrentFolder, path, 0, BasicStatistics, &status) == 0)
            return status.ToStatus();
        int error = Marshal.GetLastPInvokeError();
        return IsDiskFailure(error) ? throw Failure("stat", path, error) : null;
    }

    /// <summary>Whether an error number of the C library says that a disk, a quota or the system's memory failed, and not that a name is wrong.</summary>
    public static bool IsDiskFailure(int error) => error is 5 or 12 or 23 or 24 or 28 or 30 or 110 or 116 or 121 or 122; // EIO, ENOMEM, ENFILE, EMFILE, ENOSPC, EROFS, ETIMEDOUT, ESTALE, EREMOTEIO, EDQUOT

    /// <summary>Whether it says that there is no room.</summary>
    public static bool IsDiskFull(int error) => error is 28 or 122; // ENOSPC, EDQUOT

    /// <summary>The status of an open file, or null where it cannot be told.</summary>
    public static FileStatus? GetStatus(SafeFileHandle handle)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        StatX status;
        return Statx((int)handle.DangerousGetHandle(), "", EmptyPath, BasicStatistics, &status) == 0 ? status.ToStatus() : null;
    }

    /// <summary>Takes the whole pages of a mapped range out of resident memory; they come back from the file when touched again.</summary>
    public static void ReleasePages(nint address, long length)
    {
        if (!OperatingSystem.IsLinux())
            return;
        nint page = Environment.SystemPageSize;
        nint first = (address + page - 1) / page * page;
        nint end = (nint)(address + length) / page * page;
        if (end > first)
            _ = Advise(first, (nuint)(end - first), DoNotNeed);
    }

    /// <summary>Memory of its own pages, which goes back to the system when it is freed: what malloc keeps for later would count as used for ever.</summary>
    /// <returns>The address, or 0 where the C library is another's or the memory is not there.</returns>
    public static nint AllocatePages(long length)
    {
        if (!OperatingSystem.IsLinux())
            return 0;
        nint address = Map(0, (nuint)length, ReadAndWrite, PrivateAndAnonymous, -1, 0);
        return address == -1 ? 0 : address;
    }

    /// <summary>Gives back what <see cref="AllocatePages"/> gave.</summary>
    public static void FreePages(nint address, long length) => _ = Unmap(address, (nuint)length);

    /// <summary>The signals that the process was started to ignore, signal n in bit n - 1; none where it cannot be told.</summary>
    public static ulong IgnoredSignals()
    {
        const string Field = "SigIgn:";
        if (!OperatingSystem.IsLinux())
            return 0;
        try
        {
            string? line = File.ReadLines("/proc/self/status").FirstOrDefault(static line => line.StartsWith(Field, StringComparison.Ordinal));
            return line is not null && ulong.TryParse(line.AsSpan(Field.Length).Trim(), System.Globalization.NumberStyles.AllowHexSpecifier, System.Globalization.CultureInfo.InvariantCulture, out ulong mask) ? mask : 0;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>Ends the process at once: no destructor runs, no thread is waited for.</summary>
    public static void EndProcess(int code) => End(code);

    /// <summary>Becomes another program, with the same process id, streams and environment. Does not return.</summary>
    /// <param name="program">The path of an executable file.</param>
    /// <param name="arguments">What comes behind its name.</param>
    /// <exception cref="IOException">It cannot be started.</exception>
    public static void BecomeProgram(string program, IReadOnlyList<string> arguments)
    {
        _ = Execute(program, [program, .. arguments, null]);
        throw Failure("start", program, Marshal.GetLastPInvokeError());
    }

    /// <summary>Writes a folder's entries to the disk.</summary>
    /// <exception cref="IOException">The disk failed. File systems that cannot do it are passed over.</exception>
    public static void SyncFolder(string path)
    {
        if (!OperatingSystem.IsLinux())
            return;
        int folder = Open(path, ReadOnly | CloseOnExecute, 0);
        if (folder < 0)
            throw Failure("open", path, Marshal.GetLastPInvokeError());
        int error = FSync(folder) == 0 ? 0 : Marshal.GetLastPInvokeError();
        if (Close(folder) != 0 && error == 0)
            error = Marshal.GetLastPInvokeError();
        if (error is not (0 or InvalidArgument or NotSupported or Interrupted))
            throw Failure("fsync", path, error);
    }

    /// <summary>
    /// Closes an open file and reports what closing reports: file systems that write late (NFS, FUSE, quotas) tell a failure only then, and
    /// .NET does not look. Elsewhere the caller's own closing has to do.
    /// </summary>
    /// <exception cref="IOException">The file system refused.</exception>
    public static void CloseReporting(SafeFileHandle handle, string path)
    {
        if (!OperatingSystem.IsLinux())
            return;
        int file = (int)handle.DangerousGetHandle();
        handle.SetHandleAsInvalid();
        if (Close(file) != 0 && Marshal.GetLastPInvokeError() is var error && error != Interrupted)
            throw Failure("close", path, error);
    }

    /// <summary>Whether a process has ended and only its parent has not asked yet how.</summary>
    public static bool IsZombie(int process)
    {
        try
        {
            string status = File.ReadAllText(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"/proc/{process}/stat"));
            int state = status.LastIndexOf(')') + 2;
            return state < status.Length && status[state] is 'Z' or 'X';
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static IOException Failure(string call, string path, int error) =>
        new($"{path}: {call} failed: {Marshal.GetPInvokeErrorMessage(error)}.", error);

    // statx(2) and not stat(2): its structure is the same on every processor.
    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Statx(int folder, string path, int flags, uint mask, StatX* status);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "execv", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Execute(string program, string?[] arguments);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int file);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void End(int code);

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatX
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Inode;

        [FieldOffset(40)]
        public ulong Size;

        [FieldOffset(96)]
        public long ChangedSeconds;

        [FieldOffset(104)]
        public uint ChangedNanoseconds;

        [FieldOffset(112)]
        public long ModifiedSeconds;

        [FieldOffset(120)]
        public uint ModifiedNanoseconds;

        [FieldOffset(136)]
        public uint DeviceMajor;

        [FieldOffset(140)]
        public uint DeviceMinor;

        public readonly FileStatus ToStatus() => new(
            (Mode & 0xF000) switch
            {
                0x8000 => FileKind.Regular,
                0x4000 => FileKind.Folder,
                0x1000 => FileKind.NamedPipe,
                0x2000 or 0x6000 => FileKind.Device,
                0xC000 => FileKind.Socket,
                _ => FileKind.Other,
            },
            ((ulong)DeviceMajor << 32) | DeviceMinor,
            Inode,
            (long)Size,
            unchecked(ModifiedSeconds * 1_000_000_000 + ModifiedNanoseconds),
            unchecked(ChangedSeconds * 1_000_000_000 + ChangedNanoseconds));
    }
}

/// <summary>What a path leads to.</summary>
internal enum FileKind
{
    /// <summary>An ordinary file.</summary>
    Regular,

    /// <summary>A folder.</summary>
    Folder,

    /// <summary>A named pipe; opening it would wait for a writer, perhaps for ever.</summary>
    NamedPipe,

    /// <summary>A character or block device.</summary>
    Device,

    /// <summary>A socket.</summary>
    Socket,

    /// <summary>Anything else.</summary>
    Other,
}

/// <summary>The identity of a file and of its content as far as the file system vouches for it.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Device">The file system it lies on.</param>
/// <param name="Inode">Its number there.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ModifiedNanoseconds">When the content changed, since 1970.</param>
/// <param name="ChangedNanoseconds">When content or status changed, since 1970; a program cannot set it back.</param>
internal readonly record struct FileStatus(FileKind Kind, ulong Device, ulong Inode, long Size, long ModifiedNanoseconds, long ChangedNanoseconds);
