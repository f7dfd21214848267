using System.Diagnostics.CodeAnalysis;
using ClipEngine.Native;

namespace ClipEngine.Files;

/// <summary>What a path leads to, links followed: whether it may be read as a file, and whether two paths lead to the same one.</summary>
public static class FilePlace
{
    /// <summary>What is there, or null where nothing is.</summary>
    internal static FileKind? KindOf(string path)
    {
        if (Platform.GetStatus(path) is { } status)
            return status.Kind;
        return Directory.Exists(path) ? FileKind.Folder : File.Exists(path) ? FileKind.Regular : null;
    }

    /// <summary>Whether a file is there: anything but a folder, as <see cref="File.Exists"/>, which says no as well where the disk fails.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public static bool IsFile([NotNullWhen(true)] string? path) => !string.IsNullOrEmpty(path) && (Platform.GetStatus(path) is { } status ? status.Kind != FileKind.Folder : File.Exists(path));

    /// <summary>Whether a folder is there; see <see cref="IsFile"/>.</summary>
    /// <exception cref="IOException">The disk failed.</exception>
    public static bool IsFolder([NotNullWhen(true)] string? path) => !string.IsNullOrEmpty(path) && (Platform.GetStatus(path) is { } status ? status.Kind == FileKind.Folder : Directory.Exists(path));

    /// <summary>What a thing that is no ordinary file is called in messages.</summary>
    internal static string Name(FileKind kind) => kind switch
    {
        FileKind.Regular => "a file",
        FileKind.Folder => "a folder",
        FileKind.NamedPipe => "a named pipe",
        FileKind.Device => "a device",
        FileKind.Socket => "a socket",
        _ => "no ordinary file",
    };

    /// <summary>Whether a path is another name of a stream that the process was started with: standard input, or a pipe of the shell as in <c>&lt;(command)</c>.</summary>
    public static bool IsInheritedStream([NotNullWhen(true)] string? path) => path is not null && (
        path is "/dev/stdin" || path.StartsWith("/dev/fd/", StringComparison.Ordinal) || path.StartsWith("/proc/self/fd/", StringComparison.Ordinal));

    /// <summary>Whether both paths lead to the same file or folder, through whatever links; false where one of them leads nowhere.</summary>
    public static bool IsSame(string left, string right)
    {
        if (Platform.GetStatus(left) is { } first && Platform.GetStatus(right) is { } second)
            return first.Device == second.Device && first.Inode == second.Inode;
        return Path.Exists(left) && Path.Exists(right) && string.Equals(Final(left), Final(right), OperatingSystem.IsWindows() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal);
    }

    /// <summary>Refuses what cannot be read as a file of text or data from beginning to end.</summary>
    /// <param name="path">As the user wrote it.</param>
    /// <param name="what">What was expected: <c>a table</c>.</param>
    /// <param name="takesStreams">Whether standard input and pipes of the shell may stand for a file.</param>
    /// <exception cref="BadInputException">Nothing is there, or a folder, a named pipe, a device.</exception>
    public static void RequireFile(string path, string what, bool takesStreams = false)
    {
        FileKind? kind = KindOf(path);
        if (kind == FileKind.Regular || (takesStreams && kind is FileKind.NamedPipe or FileKind.Device && IsInheritedStream(path)))
            return;
        if (kind is null)
            throw new BadInputException(path, $"there is no such file; {what} was expected.", path.Contains('\\') && !OperatingSystem.IsWindows() ? "Its path has backslashes, as Windows writes them; here folders are separated by '/'." : "Check the path.");
        throw new BadInputException(path, $"is {Name(kind.Value)}; {what} was expected.", kind == FileKind.Folder ? "Name a file." : "Name a file, or write its content to one first.");
    }

    private static string Final(string path)
    {
        FileSystemInfo info = Directory.Exists(path) ? new DirectoryInfo(path) : new FileInfo(path);
        return Path.TrimEndingDirectorySeparator((info.ResolveLinkTarget(returnFinalTarget: true) ?? info).FullName);
    }
}
