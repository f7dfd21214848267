namespace ClipEngine.Files;

/// <summary>
/// Writes a file so that its final name only ever shows a finished one: a private temporary file beside it, flushed to the
/// disk, then renamed. Killed half-way, only a temporary file is left, and the next writer of the same name removes nothing
/// of it that another process may still be writing.
/// </summary>
public static class AtomicFile
{
    /// <summary>What temporary names end in; a reader must never take such a file for a result.</summary>
    public const string TemporarySuffix = ".partial";

    /// <summary>Writes <paramref name="path"/> whole or not at all. An existing file is replaced in one step.</summary>
    /// <param name="path">The final name; its folder is created where it is missing.</param>
    /// <param name="write">Fills the stream. If it throws, the temporary file is removed and the final name is untouched.</param>
    /// <exception cref="IOException">No space, no permission, a bad disk: the message names the final path.</exception>
    public static void Write(string path, Action<FileStream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        string full = Path.GetFullPath(path);
        string? temporary = null;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            // Private by process and by chance: two writers of one name never share a temporary file.
            temporary = $"{full}.{Environment.ProcessId}-{Guid.NewGuid():N}{TemporarySuffix}";
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Read, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, full, overwrite: true);
            temporary = null;
        }
        // A length beyond what the disk or a limit allows comes out of SetLength as a wrong argument.
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException { ParamName: "value" })
        {
            throw new IOException($"{path}: could not be written: {exception.Message}", exception);
        }
        finally
        {
            if (temporary is not null)
                TryDelete(temporary);
        }
    }

    /// <summary>Writes UTF-8 text without a byte order mark, whole or not at all.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="text">The whole content.</param>
    public static void WriteAllText(string path, string text)
    {
        byte[] bytes = new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: false).GetBytes(text);
        Write(path, stream => stream.Write(bytes));
    }

    /// <summary>Whether a name is one that a writer left behind: the final name, its process, a random number.</summary>
    internal static bool IsTemporary(string path)
    {
        string[] parts = Path.GetFileName(path).Split('.');
        return parts.Length >= 3 && "." + parts[^1] == TemporarySuffix && parts[^2].Split('-') is [var process, var chance]
            && process.All(char.IsAsciiDigit) && chance.Length == 32 && chance.All(char.IsAsciiHexDigitLower);
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The write itself failed and that is what the caller hears about; a leftover under a temporary name harms nobody.
        }
    }
}
