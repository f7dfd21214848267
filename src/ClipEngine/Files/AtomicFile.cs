using System.Collections.Concurrent;
using ClipEngine.Native;

namespace ClipEngine.Files;

/// <summary>
/// Writes a file so that its final name only ever shows a finished one that is on the disk: a private temporary file beside it, flushed,
/// closed, renamed, and the folder flushed too. An error of any of these leaves nothing under the final name, or what was there before.
/// </summary>
/// <remarks>
/// The first write into a folder removes the temporary files in it whose writers are gone: what killed processes left behind.
/// </remarks>
public static class AtomicFile
{
    /// <summary>What temporary names end in; a reader must never take such a file for a result.</summary>
    public const string TemporarySuffix = ".partial";

    private const int Tries = 5;

    /// <summary>Folders that were looked through for leftovers.</summary>
    private static readonly ConcurrentDictionary<string, byte> s_swept = new(StringComparer.Ordinal);

    /// <summary>Writes <paramref name="path"/> whole or not at all. An existing file is replaced in one step.</summary>
    /// <param name="path">The final name; its folder is created where it is missing.</param>
    /// <param name="write">Fills the stream. If it throws, the temporary file is removed and the final name is untouched.</param>
    /// <exception cref="BadInputException">The name is that of a folder, a device or another thing that is no file.</exception>
    /// <exception cref="IOException">No space, no permission, a bad disk: the message names the final path.</exception>
    public static void Write(string path, Action<FileStream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        string full = Path.GetFullPath(path), folder = Path.GetDirectoryName(full)!;
        // A rename would take the place of a device or a pipe as it does of a file.
        if (FilePlace.KindOf(full) is { } kind and not FileKind.Regular)
            throw new BadInputException(path, $"is {FilePlace.Name(kind)}; a file was to be written.", "Give another name.");
        string? temporary = null;
        try
        {
            Directory.CreateDirectory(folder);
            RemoveLeftovers(folder);
            using FileStream stream = Create(full, out temporary);
            write(stream);
            stream.Flush(flushToDisk: true);
            Linux.CloseReporting(stream.SafeFileHandle, path);
            stream.Dispose();
            Publish(temporary, full);
        }
        // A length beyond what the disk or a limit allows comes out of SetLength as a wrong argument.
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException { ParamName: "value" })
        {
            throw new IOException($"{path}: could not be written: {exception.Message}", exception);
        }
        finally
        {
            if (temporary is not null)
            {
                TryDelete(temporary);
                TemporaryName.Return(temporary);
            }
        }
    }

    /// <summary>Writes UTF-8 text without a byte order mark, whole or not at all.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="text">The whole content.</param>
    public static void WriteAllText(string path, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] bytes = new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: false).GetBytes(text);
        Write(path, stream => stream.Write(bytes));
    }

    /// <summary>A file for what has to wait until a result can be written, in the folder of the result; gone when it is closed.</summary>
    /// <param name="path">The result's final name; its folder is created where it is missing.</param>
    /// <exception cref="IOException">No permission, a bad disk: the message names the final path.</exception>
    internal static FileStream OpenScratch(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = Path.GetFullPath(path), folder = Path.GetDirectoryName(full)!;
        try
        {
            Directory.CreateDirectory(folder);
            RemoveLeftovers(folder);
            // Without a name it needs no removing, however this process ends. Windows takes the name away from no open file, but promises to do it then.
            FileStream stream = Create(full, out string temporary, OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None);
            if (!OperatingSystem.IsWindows())
                TryDelete(temporary);
            TemporaryName.Return(temporary);
            return stream;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{path}: could not be written: {exception.Message}", exception);
        }
    }

    /// <summary>Moves a finished and closed file to its final name, and has the folder say so on the disk. Where that fails, nothing new is left under the name.</summary>
    internal static void Publish(string temporary, string path)
    {
        bool isNew = !Path.Exists(path);
        try
        {
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (OperatingSystem.IsWindows() && !isNew && exception is IOException or UnauthorizedAccessException)
        {
            throw new IOException("the file that is there is open in a program, or may not be written to; Windows does not replace such a file. Close it and try again.", exception);
        }

        try
        {
            Linux.SyncFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
        catch (IOException)
        {
            // What was there before is gone by now; the new file, which is whole, is better than none.
            if (isNew)
                TryDelete(path);
            throw;
        }
    }

    /// <summary>Removes what this process is writing, where it is about to end without unwinding.</summary>
    internal static void RemoveUnfinished()
    {
        foreach (string temporary in TemporaryName.InUse(TemporarySuffix))
            TryDelete(temporary);
    }

    /// <summary>Removes the temporary files of a folder whose writers are gone. Only the first call for a folder looks.</summary>
    internal static void RemoveLeftovers(string folder)
    {
        if (!s_swept.TryAdd(folder, 0))
            return;
        try
        {
            foreach (string file in Directory.EnumerateFiles(folder, "*" + TemporarySuffix))
            {
                if (TemporaryName.IsAbandoned(file, TemporarySuffix))
                    TryDelete(file);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A folder that may be written to but not be listed; what lies there harms nobody.
        }
    }

    /// <summary>Whether a name is one that a writer left behind: the final name, its process, a random number.</summary>
    public static bool IsTemporary(string path) => TemporaryName.Is(path, TemporarySuffix);

    private static FileStream Create(string full, out string temporary, FileOptions options = FileOptions.None)
    {
        for (int attempt = 1; ; attempt++)
        {
            temporary = TemporaryName.Take(full, TemporarySuffix);
            try
            {
                var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16, options);
                if (!stream.CanSeek)
                    throw new IOException("the file system does not tell where in a file it is");
                // Between its making and its locking another process may have taken it for a leftover.
                if (attempt == Tries || File.Exists(temporary))
                    return stream;
                stream.Dispose();
            }
            catch (IOException exception) when (attempt < Tries && Platform.IsHeldByAnother(exception))
            {
                TryDelete(temporary);
            }
            catch
            {
                TryDelete(temporary);
                TemporaryName.Return(temporary);
                throw;
            }

            TemporaryName.Return(temporary);
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The write itself failed and that is what the caller hears about; the next writer removes what is left.
        }
    }
}
